"""The commands of docs/operations.md, as they stand there, on a Dagster instance with archived versions."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from dagster import DagsterInstance, SupersessionWarning
from dagster._cli import create_dagster_cli
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.artifacts.transformed import TransformedFeed
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs_tests.builders import feed_zip, small_feed, small_feed_files
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.documents import operations_line
from continuous_gtfs_tests.real_data import ROOT

NAME = names.schedule_publication("production")
TODAY = datetime.now(UTC).date()
SPAN = {"first_date": TODAY - timedelta(days=30), "last_date": TODAY + timedelta(days=60)}


def filled(command: str, names_in_it: Mapping[str, str]) -> str:
    for placeholder, value in names_in_it.items():
        command = command.replace(placeholder, value)
    return command


@dataclass
class Console:
    """A shell of an operator: the environment's settings, and the stores behind them."""

    bench: Bench
    environment: dict[str, str]

    def run(self, command: str, **names_in_it: str) -> Result:
        """Run a documented command of Dagster's with its placeholders filled in, in this process."""
        program, *arguments = shlex.split(filled(command, names_in_it))
        assert program == "dagster"
        # As ``Bench.run`` does, and for the reason that it tells.
        DefinitionsLoadContext.set(DefinitionsLoadContext(load_type=DefinitionsLoadType.INITIALIZATION))
        with warnings.catch_warnings():
            # Of the command, for which Dagster has another program by now.
            warnings.simplefilter("ignore", SupersessionWarning)
            return CliRunner().invoke(create_dagster_cli(), arguments, env=self.environment)

    def run_as_process(self, command: str, **names_in_it: str) -> subprocess.CompletedProcess[str]:
        """The same as an operator's shell does it, which takes three seconds longer."""
        return subprocess.run(
            shlex.split(filled(command, names_in_it)),
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def archive(self, days_ago: int, body: bytes) -> str:
        at = datetime.now(UTC) - timedelta(days=days_ago)
        return self.bench.archive("production", "schedule", body, at).version_id

    def live_version(self) -> str:
        manifest = self.bench.live(NAME)
        assert manifest is not None
        version_id: str = manifest.facts["inputs"]["schedule"]["version_id"]
        return version_id

    def record(self, version_id: str) -> TransformedFeed | None:
        return self.bench.artifacts.transformed().load("production", version_id)


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    artifacts = Artifacts(archive_url=str(tmp_path / "archive"), published_url=str(tmp_path / "published"))
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DAGSTER_HOME": str(home),
        "CONTINUOUS_GTFS_ARCHIVE": artifacts.archive_url,
        "CONTINUOUS_GTFS_PUBLISHED": artifacts.published_url,
    }
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with DagsterInstance.get() as instance:
        bench = Bench(load_agency(DEFAULT_AGENCY), artifacts, instance, tmp_path / "published")
        yield Console(bench, environment)


def test_an_operator_publishes_rolls_back_and_goes_forward_again(console: Console) -> None:
    older = console.archive(3, small_feed(**SPAN, feed_version="1"))
    newer = console.archive(1, small_feed(**SPAN, feed_version="2"))
    publish, rollback = operations_line("published_feed"), operations_line("rollback_schedule_production")
    shell = console.run_as_process(publish, VERSION=older)
    assert shell.returncode == 0, shell.stderr
    assert console.live_version() == older
    done = console.run(publish, VERSION=newer)
    assert done.exit_code == 0, done.output
    assert console.live_version() == newer
    done = console.run(rollback, VERSION=older)
    assert done.exit_code == 0, done.output
    assert console.live_version() == older
    assert console.run(publish, VERSION=newer).exit_code == 0
    assert console.live_version() == older, "what was rolled back from does not come back of itself"
    assert console.run(rollback, VERSION=newer).exit_code == 0
    assert console.live_version() == newer
    kept = {path.name for path in (console.bench.published / "schedule/production/versions/gtfs").glob("*.zip")}
    assert {name.partition("-")[0] for name in kept} == {older, newer}


def test_an_operator_reads_what_would_change_and_accepts_it_by_name(console: Console) -> None:
    good = console.archive(3, small_feed(**SPAN))
    assert console.run(operations_line("published_feed"), VERSION=good).exit_code == 0
    files = small_feed_files(**SPAN)
    one_trip = {
        name: "".join(
            line for line in files[name].splitlines(keepends=True) if "T2" not in line and "NIGHT" not in line
        )
        for name in ("trips.txt", "stop_times.txt")
    }
    smaller = console.archive(0, feed_zip(files | one_trip))
    refused = console.run(operations_line("published_feed"), VERSION=smaller)
    assert refused.exit_code == 1
    assert "does_not_shrink" in refused.output
    assert console.live_version() == good
    assert console.run(operations_line("feed_diff --partition"), VERSION=smaller).exit_code == 0
    assert list((Path(console.bench.artifacts.archive_url) / "transformed/production" / smaller).glob("feed_diff.*"))
    accepted = console.run(operations_line("-j schedule_production"), VERSION=smaller)
    assert accepted.exit_code == 0, accepted.output
    assert console.live_version() == smaller
    manifest = json.loads((console.bench.published / f"{NAME}.manifest.json").read_text())
    assert "trips fall from 3 to 1, by 66.7 %" in manifest["facts"]["accepted"]["does_not_shrink"]


def test_archived_versions_are_run_again_alone_and_as_a_range_and_nothing_published_moves(console: Console) -> None:
    versions = [console.archive(4 - n, small_feed(**SPAN, feed_version=str(n))) for n in range(4)]
    first, second, third, live = versions
    assert console.run(operations_line("published_feed"), VERSION=live).exit_code == 0
    before = (console.bench.published / f"{NAME}.manifest.json").read_bytes()
    done = console.run(operations_line("transformed_feed --partition-range"), FIRST=first, LAST=second)
    assert done.exit_code == 0, done.output
    assert [console.record(version_id) is not None for version_id in versions] == [True, True, False, True]
    done = console.run(operations_line("transformed_feed --partition VERSION"), VERSION=third)
    assert done.exit_code == 0, done.output
    assert console.record(third) is not None
    done = console.run(operations_line("published_feed"), VERSION=first)
    assert done.exit_code == 0, done.output
    assert (console.bench.published / f"{NAME}.manifest.json").read_bytes() == before
