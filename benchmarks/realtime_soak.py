"""Does the platform stay as it is, at ten times the usual pace: 900 versions of each feed, two editions, half an hour?

Memory of each process with its children, shared pages counted once, by quarters of the time; whether anything was
published out of order, failed, or was left unpublished without being superseded; event rows and bytes an update.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from dagster import DagsterInstance, DagsterRunStatus
from realtime_platform import EDITIONS, FEEDS, Reader, memory_beside_buffers_mib, memory_mib, realtime_runs
from tables import median, print_table

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.demo import commands
from continuous_gtfs.demo.processes import Platform

MEASURED = (commands.DAEMON, commands.CODE_REALTIME, commands.CODE_SCHEDULE, commands.WEBSERVER, commands.POSTGRES)
BESIDE_BUFFERS = "PostgreSQL without its shared buffers"
SAMPLED_EVERY_S = 5.0
QUARTERS = 4
# A version may still be on its way to its reader when the time is over.
IN_FLIGHT_S = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=900, help="versions of each feed at the vendor")
    parser.add_argument("--cadence", type=float, default=2.0, help="seconds between them")
    options = parser.parse_args()
    samples: dict[str, list[float]] = {name: [] for name in (*MEASURED, BESIDE_BUFFERS)}
    with tempfile.TemporaryDirectory(prefix="realtime-soak-") as folder:
        platform = Platform(Path(folder), realtime_every_s=options.cadence)
        with platform:
            os.environ.update(platform.environment)
            archive = Archive(open_store(platform.environment["CONTINUOUS_GTFS_ARCHIVE"]))
            reader = Reader(Path(platform.environment["CONTINUOUS_GTFS_PUBLISHED"]))
            with DagsterInstance.from_config(platform.environment["DAGSTER_HOME"]) as instance, reader.reading():
                while len(realtime_runs(instance, 0)) < 2 * len(EDITIONS):
                    time.sleep(1)
                    platform.check()
                since = time.time()
                end = time.monotonic() + options.versions * options.cadence
                while time.monotonic() < end:
                    for name in MEASURED:
                        samples[name].append(memory_mib(platform.pid(name)))
                    samples[BESIDE_BUFFERS].append(memory_beside_buffers_mib(platform.pid(commands.POSTGRES)))
                    platform.check()
                    time.sleep(SAMPLED_EVERY_S)
                over = time.time()
                runs = realtime_runs(instance, since)
                rows = [len(instance.all_logs(record.dagster_run.run_id)) for record in runs[-50:]]
                lost = _lost(archive, reader, since, over - IN_FLIGHT_S)
                published = sum(sum(at > since for at in times.values()) for times in reader.seen.values())
                fetched = sum(
                    version.fetched_at.timestamp() > since
                    for edition in EDITIONS
                    for feed in FEEDS
                    for version in archive.versions(edition, feed)
                )
                made = options.versions * len(EDITIONS) * len(FEEDS)
    print_table(
        f"Memory over {options.versions * options.cadence / 60:.0f} minutes at {options.cadence:g} s, MiB",
        ("process and its children", "1st quarter", "2nd", "3rd", "4th", "4th to 3rd"),
        [_memory_row(name, values) for name, values in samples.items()],
    )
    failed = [r for r in runs if r.dagster_run.status is not DagsterRunStatus.SUCCESS]
    print_table(
        "What became of the versions",
        ("figure", "count"),
        [
            ["versions of the four feeds at the vendor", str(made)],
            ["fetched by the sensors", str(fetched)],
            ["published", str(published)],
            ["fetched, and neither published nor superseded by a newer one", str(len(lost))],
            ["seen by a reader after a newer one", str(len(reader.backwards))],
            ["runs", str(len(runs))],
            ["runs that failed", str(len(failed))],
            ["event rows an update, median", f"{median([float(count) for count in rows]):.0f}"],
        ],
    )
    for line in [*lost[:5], *reader.backwards[:5], *(record.dagster_run.run_id for record in failed[:5])]:
        sys.stdout.write(f"{line}\n")


def _memory_row(name: str, values: list[float]) -> list[str]:
    size = len(values) // QUARTERS
    quarters = [median(values[i * size : (i + 1) * size]) for i in range(QUARTERS)]
    return [name, *(f"{value:.0f}" for value in quarters), f"{quarters[3] / quarters[2]:.3f}"]


def _lost(archive: Archive, reader: Reader, since: float, until: float) -> list[str]:
    """Versions that were fetched in this time and of which no reader has seen them or anything newer."""
    lost = []
    for edition in EDITIONS:
        for feed in FEEDS:
            newest = max(reader.seen.get((edition, feed), {0: 0.0}))
            lost += [
                f"{version.feed_id} {version.version_id}"
                for version in archive.versions(edition, feed)
                if since < version.fetched_at.timestamp() < until and (version.header_timestamp or 0) > newest
            ]
    return lost


if __name__ == "__main__":
    main()
