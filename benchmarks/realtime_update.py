"""What does one realtime update take, from the vendor to a reader of the published .pb, and what does it cost?

Two editions at the given cadence on embedded PostgreSQL, real daemon and code servers; with the settings of
``dagster.yaml`` and with Dagster's own launcher, storage and compute logs. *Available* is the header timestamp of the
stand-in vendor; *detected* is when the fetch that brought the version had ended; *published* is when a reader who looks
all the time saw it at the stable URL.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from dagster import DagsterInstance, DagsterRunStatus
from realtime_platform import (
    EDITIONS,
    FEEDS,
    Reader,
    agency_without_validation,
    cpu_seconds,
    realtime_runs,
    requests_made,
    stock_settings,
)
from tables import median, percentile, print_table

from continuous_gtfs import names
from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.demo import commands
from continuous_gtfs.demo.processes import Platform

MEASURED = (commands.DAEMON, commands.CODE_REALTIME, commands.POSTGRES)
WARM_UP_RUNS = 6


class Measured:
    """One platform's updates."""

    def __init__(self, updates: int, cadence_s: float, settings: Path | None, agency: Path, folder: Path) -> None:
        self.detected: list[float] = []
        self.available: list[float] = []
        self.found: list[float] = []
        self.rows: list[int] = []
        platform = Platform(
            folder,
            realtime_every_s=cadence_s,
            instance_settings=settings,
            environment={"CONTINUOUS_GTFS_AGENCY": str(agency)},
        )
        with platform:
            os.environ.update(platform.environment)
            archive = Archive(open_store(platform.environment["CONTINUOUS_GTFS_ARCHIVE"]))
            reader = Reader(Path(platform.environment["CONTINUOUS_GTFS_PUBLISHED"]))
            with DagsterInstance.from_config(platform.environment["DAGSTER_HOME"]) as instance, reader.reading():
                self._wait(platform, instance, 0.0, WARM_UP_RUNS)
                since, began = time.time(), time.monotonic()
                cpu = {name: cpu_seconds(platform.pid(name)) for name in MEASURED}
                requests = requests_made(platform)
                self._wait(platform, instance, since, updates)
                self.requests = requests_made(platform) - requests
                self.versions = (time.monotonic() - began) / cadence_s * len(EDITIONS) * len(FEEDS)
                self.cpu = {name: cpu_seconds(platform.pid(name)) - cpu[name] for name in MEASURED}
                runs = realtime_runs(instance, since)
                self.runs = len(runs)
                self.failed = sum(record.dagster_run.status is not DagsterRunStatus.SUCCESS for record in runs)
                for record in runs:
                    self.rows.append(len(instance.all_logs(record.dagster_run.run_id)))
                    tags = record.dagster_run.tags
                    edition = tags[names.PIPELINE_TAG].partition("/")[2]
                    for feed in tags[names.CHANGED_TAG].split(","):
                        version = archive.find(edition, feed, tags[names.version_tag(feed)])
                        if version is None or version.header_timestamp is None:
                            continue
                        seen = reader.seen[edition, feed].get(version.header_timestamp)
                        if seen is not None:
                            self.detected.append(seen - version.fetched_at.timestamp())
                            self.available.append(seen - version.header_timestamp)
                            self.found.append(version.fetched_at.timestamp() - version.header_timestamp)

    def _wait(self, platform: Platform, instance: DagsterInstance, since: float, runs: int) -> None:
        while len(realtime_runs(instance, since)) < runs:
            time.sleep(1)
            platform.check()

    def rows_of(self, subject: str) -> list[list[str]]:
        def row(what: str, values: list[float]) -> list[str]:
            return [subject, what, str(len(values)), f"{median(values):.2f}", f"{percentile(values, 0.95):.2f}"]

        return [
            row("detected to published, s", self.detected),
            row("available to published, s", self.available),
            row("available to detected, s", self.found),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=30, help="runs of each subject")
    parser.add_argument("--cadence", type=float, default=20.0, help="seconds between versions at the vendor")
    parser.add_argument(
        "--without-stock", action="store_true", help="do not measure Dagster's own launcher and storage"
    )
    options = parser.parse_args()
    found: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory(prefix="realtime-update-") as folder:
        subjects: dict[str, Path | None] = {"ours": None}
        if not options.without_stock:
            subjects["stock"] = stock_settings(Path(folder))
        agency = agency_without_validation(Path(folder))
        for subject, settings in subjects.items():
            found[subject] = Measured(options.updates, options.cadence, settings, agency, Path(folder) / subject)
    print_table(
        f"One realtime update, two editions at {options.cadence:g} s",
        ("subject", "figure", "n", "p50", "p95"),
        [row for subject, measured in found.items() for row in measured.rows_of(subject)],
    )
    ours = found["ours"]
    print_table(
        "CPU seconds an update, and what it leaves and asks for",
        ("subject", *MEASURED, "together", "to ours", "event rows", "requests a version and feed"),
        [
            [
                subject,
                *(f"{measured.cpu[name] / measured.runs:.2f}" for name in MEASURED),
                f"{sum(measured.cpu.values()) / measured.runs:.2f}",
                f"{(sum(measured.cpu.values()) / measured.runs) / (sum(ours.cpu.values()) / ours.runs):.2f}",
                f"{median([float(rows) for rows in measured.rows]):.0f}",
                f"{measured.requests / measured.versions:.2f}",
            ]
            for subject, measured in found.items()
        ],
    )
    for subject, measured in found.items():
        sys.stdout.write(f"\n{subject}: {measured.runs} runs, {measured.failed} of them failed")
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
