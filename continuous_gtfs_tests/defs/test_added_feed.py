"""What docs/operations.md says of adding a feed, done as it stands there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import continuous_gtfs.agencies.sound_transit.feeds as reference
from continuous_gtfs.agencies.agency import load_agency
from continuous_gtfs_tests.documents import OPERATIONS, blocks, operations_line
from continuous_gtfs_tests.real_data import ROOT


def run(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {**os.environ, **environment, "PATH": path}
    return subprocess.run(shlex.split(line), cwd=ROOT, env=settings, capture_output=True, text=True, check=False)


def test_the_feed_of_the_page_is_loaded_and_shown_as_never_published(tmp_path: Path) -> None:
    assert reference.__file__ is not None
    folder = tmp_path / "agency"
    shutil.copytree(Path(reference.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (declared,) = blocks(OPERATIONS, "python")
    feeds = (folder / "feeds.py").read_text()
    before = 'feeds=_edition("production")'
    assert feeds.count(before) == 1
    (folder / "feeds.py").write_text(feeds.replace(before, f"feeds=({declared},) + {before[len('feeds=') :]}"))
    assert "production/alerts" in [source.feed_id for source in load_agency(str(folder)).feeds]

    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {
        "DAGSTER_HOME": str(home),
        "CONTINUOUS_GTFS_AGENCY": str(folder),
        "CONTINUOUS_GTFS_ARCHIVE": str(tmp_path / "archive"),
        "CONTINUOUS_GTFS_PUBLISHED": str(tmp_path / "published"),
    }
    validated = run(operations_line("dagster definitions validate"), environment)
    assert validated.returncode == 0, validated.stderr
    status = run("continuous-gtfs status", environment)
    assert "realtime/production/alerts: never published" in status.stdout.splitlines(), status.stderr
