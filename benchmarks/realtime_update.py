"""What does one realtime update cost on this stack: from detection to the run's success, and in CPU?

Two editions at the given cadence on embedded PostgreSQL, real daemon and code servers. Detection is when the fetch that
brought the newest version of the run ended; success is the run's end in Dagster's storage.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import psutil
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from tables import median, percentile, print_table

from continuous_gtfs import names
from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.demo import commands
from continuous_gtfs.demo.processes import Platform

MEASURED = (commands.DAEMON, commands.CODE_REALTIME, commands.POSTGRES)
FEEDS = ("vehicle_positions", "trip_updates")


def cpu_seconds(pid: int) -> float:
    """CPU of a process, of its living descendants and of the children it has reaped."""
    total = 0.0
    for process in (root := psutil.Process(pid), *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def successes(instance: DagsterInstance, since: float) -> list[tuple[dict[str, str], str, float]]:
    """Tags, pipeline and end time of the realtime runs that succeeded after ``since``."""
    records = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.SUCCESS]))
    found = []
    for record in records:
        pipeline = record.dagster_run.tags.get(names.PIPELINE_TAG, "")
        if pipeline.startswith("realtime/") and record.end_time and (record.start_time or 0) > since:
            found.append((dict(record.dagster_run.tags), pipeline, record.end_time))
    return found


def detected_at(archive: Archive, tags: dict[str, str], pipeline: str) -> float:
    """When the newest of the versions that a run was asked to process had been fetched, POSIX seconds."""
    environment = pipeline.partition("/")[2]
    versions = [archive.find(environment, feed, tags[names.version_tag(feed)]) for feed in FEEDS]
    return max(version.fetched_at.timestamp() for version in versions if version is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--cadence", type=float, default=20.0, help="seconds between versions at the vendor")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="realtime-update-") as folder,
        Platform(Path(folder), realtime_every_s=options.cadence) as platform,
    ):
        os.environ.update(platform.environment)
        archive = Archive(open_store(platform.environment["CONTINUOUS_GTFS_ARCHIVE"]))
        with DagsterInstance.from_config(platform.environment["DAGSTER_HOME"]) as instance:
            deadline = time.monotonic() + 60 + options.updates * options.cadence
            while not successes(instance, 0):
                time.sleep(1)
                platform.check()
            since = time.time()
            before = {name: cpu_seconds(platform.pid(name)) for name in MEASURED}
            while len(successes(instance, since)) < options.updates and time.monotonic() < deadline:
                time.sleep(1)
                platform.check()
            runs = successes(instance, since)
            spent = {name: cpu_seconds(platform.pid(name)) - before[name] for name in MEASURED}
            delays = [ended - detected_at(archive, tags, pipeline) for tags, pipeline, ended in runs]
    print_table(
        f"One realtime update, two editions at {options.cadence:g} s (n = {len(delays)} runs)",
        ("figure", "p50", "p95"),
        [("detection to run success, s", f"{median(delays):.2f}", f"{percentile(delays, 0.95):.2f}")],
    )
    print_table(
        f"CPU seconds an update ({len(runs)} runs)",
        ("process", "CPU s"),
        [
            *((name, f"{seconds / len(runs):.2f}") for name, seconds in spent.items()),
            ("together", f"{sum(spent.values()) / len(runs):.2f}"),
        ],
    )


if __name__ == "__main__":
    main()
