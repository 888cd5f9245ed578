"""A publication names the image that made it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from continuous_gtfs import __version__
from continuous_gtfs.pipeline_version import SETTING, pipeline_version


def test_the_image_says_its_version() -> None:
    assert pipeline_version({SETTING: "capital-2026.11.3"}) == "capital-2026.11.3"


def test_without_an_image_it_is_the_version_of_the_package() -> None:
    assert pipeline_version({}) == pipeline_version({SETTING: " "}) == __version__


def test_the_command_names_the_image_before_the_package() -> None:
    command = [str(Path(sys.executable).parent / "continuous-gtfs"), "version"]
    told = subprocess.run(command, env={**os.environ, SETTING: "capital-7"}, capture_output=True, text=True, check=True)
    lines = dict(line.split() for line in told.stdout.splitlines())
    assert list(lines) == ["pipeline", "continuous-gtfs", "dagster", "python"]
    assert (lines["pipeline"], lines["continuous-gtfs"]) == ("capital-7", __version__)
