"""Does the launcher hold still over two thousand forked runs: descriptors, threads, memory, processes left behind?

One job with one op, four runs at a time, on embedded PostgreSQL; the station is that of the launcher's tests. The
launcher is in this process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from dagster import DagsterRunStatus, RunsFilter
from tables import median, percentile, print_table

from continuous_gtfs.demo.postgres import EmbeddedPostgres
from continuous_gtfs.instance.forked_run import WORKER_TAG
from continuous_gtfs_tests.instance.station import Station, open_station, wait_for

AT_A_TIME = 4
JOB = "quiet_job"


def measured(station: Station) -> list[str]:
    """Descriptors, threads and MiB of this process and of the warm one, and what the warm one has as children."""
    warm, here = psutil.Process(station.launcher.warm_pid), psutil.Process()
    wait_for(lambda: not warm.children(), what="the end of the runs' processes")
    return [
        f"{here.num_fds()} / {warm.num_fds()}",
        f"{threading.active_count()} / {warm.num_threads()}",
        f"{here.memory_info().rss / (1 << 20):.1f} / {warm.memory_info().rss / (1 << 20):.1f}",
        str(len(warm.children())),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    rows, took = [], list[float]()
    with (
        tempfile.TemporaryDirectory(prefix="forked_runs_") as name,
        EmbeddedPostgres(Path(name) / "postgres") as url,
        open_station(Path(name), url) as station,
    ):
        warm = station.warm_up()
        station.ended(station.launch(JOB))
        for count in range(0, options.runs, AT_A_TIME):
            if count % (options.runs // 4) < AT_A_TIME:
                rows.append([str(count), *measured(station)])
            began = time.monotonic()
            for run in [station.launch(JOB) for _ in range(AT_A_TIME)]:
                station.ended(run)
            took.append((time.monotonic() - began) / AT_A_TIME)
        rows.append([str(options.runs), *measured(station)])
        runs = station.instance.get_runs(RunsFilter(job_name=JOB))
        is_the_same = warm == station.launcher.warm_pid
    forked = sum(WORKER_TAG in run.tags for run in runs)
    failed = sum(run.status is not DagsterRunStatus.SUCCESS for run in runs)
    columns = ("forked runs", "descriptors", "threads", "resident MiB", "processes left")
    print_table("The launcher's process / the warm process", columns, rows)
    sys.stdout.write(
        f"\n{forked} of {len(runs)} runs forked, {failed} failed, one warm process for all: {is_the_same}; "
        f"{median(took):.2f} s a run, {AT_A_TIME} at a time (p95 {percentile(took, 0.95):.2f})\n"
    )


if __name__ == "__main__":
    main()
