from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from continuous_gtfs.demo.ports import Ports
from continuous_gtfs.demo.settings import (
    TOKEN_NAMES,
    platform_environment,
    prepare_state,
    project_folder,
    read_environment,
    tokens_of,
    write_environment,
)
from continuous_gtfs.errors import ConfigurationError

ODD = {"PLAIN": "1", "PIMS_QA_TOKEN": 'a\'b "c" $HOME `x` \\', "EMPTY": "", "FOLDER": "/tmp/my state/postgres?host=/x"}


def test_a_shell_reads_the_env_file_as_it_was_meant(tmp_path: Path) -> None:
    write_environment(tmp_path / "env", ODD)
    shell = subprocess.run(
        ["sh", "-c", 'set -a; . "$0"; set +a; exec env -0', str(tmp_path / "env")],
        check=True,
        capture_output=True,
        text=True,
        env={},
    )
    seen = dict(pair.split("=", 1) for pair in shell.stdout.split("\0") if "=" in pair)
    assert {name: seen[name] for name in ODD} == ODD
    assert read_environment(tmp_path / "env") == ODD


def test_the_env_file_with_its_tokens_is_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("")
    (tmp_path / "env").chmod(0o644)
    write_environment(tmp_path / "env", ODD)
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600


def test_tokens_are_random_and_a_second_start_keeps_them(tmp_path: Path) -> None:
    first, other = tokens_of(tmp_path), tokens_of(tmp_path)
    assert set(first) == set(TOKEN_NAMES)
    assert len({*first.values(), *other.values()}) == 4
    write_environment(tmp_path / "env", first)
    assert tokens_of(tmp_path) == first


def test_the_agency_may_be_chosen_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_AGENCY", "some.where")
    settings = platform_environment(tmp_path, ports=Ports.from_base(4000), postgres_url="x", tokens={})
    assert settings["CONTINUOUS_GTFS_AGENCY"] == "some.where"


def test_a_state_has_its_own_copy_of_the_instance_settings(tmp_path: Path) -> None:
    prepare_state(tmp_path / "state")
    copied = tmp_path / "state" / "dagster_home" / "dagster.yaml"
    assert copied.read_text() == (project_folder() / "dagster.yaml").read_text()


def test_a_state_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"state folder .*file"):
        prepare_state(tmp_path / "file")
