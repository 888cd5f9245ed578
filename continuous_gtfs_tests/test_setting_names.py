"""A misspelt setting is told of, and nothing else is."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from continuous_gtfs.definitions.settings import warn_of_misspelt_settings
from continuous_gtfs.setting_names import NAMES, PREFIX, misspelt
from continuous_gtfs_tests.deploy.test_settings_example import read_by_anything


def test_every_setting_that_anything_reads_is_known_and_no_other() -> None:
    assert {name for name in read_by_anything() if name.startswith(PREFIX)} - {PREFIX} == NAMES


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CONTINUOUS_GTFS_KEEP_TICK_DAYS", "CONTINUOUS_GTFS_KEEP_TICKS_DAYS"),
        ("CONTINUOUS_GTFS_ALERT_URL", "CONTINUOUS_GTFS_ALERT_URLS"),
        ("CONTINUOUS_GTFS_ALLOW_PRIVATE_HOST", "CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS"),
        ("CONTINUOUS_GTFS_POSTGRESURL", "CONTINUOUS_GTFS_POSTGRES_URL"),
        ("continuous_gtfs_archive", "CONTINUOUS_GTFS_ARCHIVE"),
    ],
)
def test_a_name_close_to_a_setting_is_taken_for_it(name: str, meant: str) -> None:
    assert list(misspelt({name: "x"})) == [f"{name} is no setting and is ignored; did you mean {meant}?"]


def test_settings_and_names_of_others_are_left_alone() -> None:
    assert list(misspelt([*NAMES, "CONTINUOUS_GTFS_TEST_DATA", "CONTINUOUS_GTFS_STOP_NAMES_FILE", "ARCHIVE"])) == []


def test_the_command_line_and_the_code_servers_tell_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_KEEP_TICK_DAYS", "3")
    told = "CONTINUOUS_GTFS_KEEP_TICK_DAYS is no setting and is ignored; did you mean CONTINUOUS_GTFS_KEEP_TICKS_DAYS?"
    command = [str(Path(sys.executable).parent / "continuous-gtfs"), "version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == f"warning: {told}\n"
    with caplog.at_level(logging.WARNING):
        warn_of_misspelt_settings()
    assert caplog.messages == [told]
