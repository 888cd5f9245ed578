"""A new database is told of every archived schedule version, so that each can be run and rolled back to again."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagster import DagsterInstance

from continuous_gtfs.defs import keys
from continuous_gtfs.defs.archive_reports import ArchiveReport, report_archive
from continuous_gtfs_tests.builders import small_feed
from continuous_gtfs_tests.defs.conftest import Bench

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARTITIONS = "schedule_production_versions"


def archived(bench: Bench, count: int) -> list[str]:
    bodies = [small_feed(feed_version=str(number)) for number in range(count)]
    return [
        bench.archive("production", "schedule", body, NOW + timedelta(days=number)).version_id
        for number, body in enumerate(bodies)
    ]


def latest(instance: DagsterInstance) -> str | None:
    event = instance.get_latest_materialization_event(keys.pims_key("production", "schedule"))
    return event.asset_materialization.partition if event and event.asset_materialization else None


def test_every_archived_version_is_a_partition_again_and_the_newest_is_the_latest(bench: Bench) -> None:
    versions = archived(bench, 3)
    with DagsterInstance.ephemeral() as empty:
        told = report_archive(empty, bench.agency, bench.artifacts)
        assert told[0] == ArchiveReport(environment="production", archived=3, added=tuple(versions))
        assert told[1] == ArchiveReport(environment="qa", archived=0, added=())
        assert set(empty.get_dynamic_partitions(PARTITIONS)) == set(versions)
        assert empty.get_materialized_partitions(keys.pims_key("production", "schedule")) == set(versions)
        assert latest(empty) == versions[-1]


def test_what_the_sensor_has_reported_already_stays_the_latest(bench: Bench) -> None:
    versions = archived(bench, 2)
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS, [versions[1]])
        report_archive(instance, bench.agency, bench.artifacts)
        assert latest(instance) == versions[1]
        assert [each.added for each in report_archive(instance, bench.agency, bench.artifacts)] == [(), ()]


def test_the_command_says_how_many(bench: Bench, tmp_path: Path) -> None:
    archived(bench, 2)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    settings = {"DAGSTER_HOME": str(tmp_path / "home"), "CONTINUOUS_GTFS_ARCHIVE": bench.artifacts.archive_url}
    command = [str(Path(sys.executable).parent / "continuous-gtfs"), "report-archive"]
    told = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines() == [
        "production: 2 schedule versions archived, 2 reported",
        "qa: 0 schedule versions archived, 0 reported",
    ]


def test_without_an_archive_the_command_says_what_to_set(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "continuous-gtfs"), "report-archive"]
    environment = {"PATH": os.environ["PATH"], "DAGSTER_HOME": str(tmp_path)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert told.stderr.startswith("error: CONTINUOUS_GTFS_ARCHIVE is not set")
