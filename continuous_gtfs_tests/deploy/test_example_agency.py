"""docs/examples/agency is a repository to start from: its tests pass, and its image replaces the release's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from continuous_gtfs import __version__
from continuous_gtfs_tests.builders import small_feed
from continuous_gtfs_tests.deploy import compose
from continuous_gtfs_tests.documents import EXAMPLE as EXAMPLE_PAGE
from continuous_gtfs_tests.documents import blocks, example_block
from continuous_gtfs_tests.real_data import ROOT
from tools.dockerfile import instructions

EXAMPLE = ROOT / "docs" / "examples" / "agency"
DEFINITIONS = (
    "import sys\n"
    "from continuous_gtfs.definitions import realtime\n"
    "print(sorted(realtime.defs().get_repository_def().job_names))\n"
    "assert 'pandas' not in sys.modules"
)


def run(folder: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **settings}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_what_its_page_says_is_done_in_a_repository_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "capital"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "feed.zip").write_bytes(small_feed())
    schedule, tests = example_block("pytest").splitlines()
    program, *arguments = schedule.split()
    told = run(folder, str(Path(sys.executable).with_name(program)), *arguments)
    assert told.returncode == 0, told.stderr
    assert (folder / "out.zip").is_file()
    assert tests.split()[0] == "python"
    told = run(folder, *tests.split()[1:], "-q", "-p", "no:cacheprovider")
    assert told.returncode == 0, told.stdout
    assert "3 passed" in told.stdout


def test_the_image_that_its_page_builds_is_the_one_that_it_stands_on() -> None:
    (line,) = [line for body in blocks(EXAMPLE_PAGE, "console") for line in body.splitlines()]
    assert f"--tag continuous-gtfs:{__version__} " in line
    assert f"CONTINUOUS_GTFS_PIPELINE_VERSION={__version__} " in line


def test_the_agency_makes_a_code_location() -> None:
    told = run(EXAMPLE, "-c", DEFINITIONS, CONTINUOUS_GTFS_AGENCY="capital_transit", PYTHONPATH=str(EXAMPLE))
    assert told.returncode == 0, told.stderr
    assert "'realtime_production'" in told.stdout


def test_its_image_stands_on_this_release_and_has_a_tag_of_its_own() -> None:
    told = {instruction.name: instruction.text for instruction in instructions(EXAMPLE / "Dockerfile")}
    assert told["FROM"] == f"continuous-gtfs:{__version__}"
    assert told["ENV"] == "CONTINUOUS_GTFS_PIPELINE_VERSION=$CONTINUOUS_GTFS_PIPELINE_VERSION"
    assert "USER" not in told, "the user of the release stays"


def test_its_override_replaces_the_image_of_every_service_and_nothing_else() -> None:
    override = yaml.safe_load((EXAMPLE / "compose.override.yaml").read_text())["services"]
    ours = yaml.safe_load(compose.FILE.read_text())["services"]
    assert set(override) == {name for name, service in ours.items() if "build" in service}
    assert {tuple(service) for service in override.values()} == {("image", "build")}
    checker = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    command = [*checker, str(EXAMPLE / "compose.override.yaml")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_its_settings_are_known_to_the_release_and_hold_no_secret() -> None:
    settings = compose.read_env(EXAMPLE / ".env.example")
    assert set(settings) <= set(compose.read_env(ROOT / ".env.example"))
    assert {value for name, value in settings.items() if "TOKEN" in name or "PASSWORD" in name} == {""}
