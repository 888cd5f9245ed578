"""Where does one machine end? The whole platform under 500 feeds, then with ever more pipelines at 20 s.

Real daemon, code servers and embedded PostgreSQL; stand-in vendors with a tenth of the feeds hanging, failing, cut or
frozen. First 50 environments of ten feeds, of which some change every 20 s and the others every ten minutes: are
requests late, versions missed? Then environments of two feeds, more of them at 20 s from step to step, until versions
wait for long to be published: that is where the machine ends.

    python benchmarks/many_feeds_platform.py                    both, a quarter of an hour
    python benchmarks/many_feeds_platform.py --only ramp --steps 5,10 --seconds 30
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2
import yaml
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from google.transit.gtfs_realtime_pb2 import FeedMessage
from load_vendor import HEALTHY, Plan, Served, Vendors, vendors
from realtime_platform import PROJECT, cpu_seconds
from tables import percentile, print_table

from continuous_gtfs.demo import commands
from continuous_gtfs.demo.processes import Platform

AGENCY = Path(__file__).resolve().parent / "load_agency"
NAMES = (commands.POSTGRES, commands.MIGRATE, commands.CODE_SCHEDULE, commands.CODE_REALTIME, commands.DAEMON)
MEASURED = (commands.DAEMON, commands.CODE_REALTIME, commands.CODE_SCHEDULE, commands.POSTGRES)
POLL_EVERY_S = 5.0
EVERY_S = 20.0
SLOW_S = 600.0
LOOKS_EVERY_S = 1.0
# A version of the last seconds may be on its way.
IN_FLIGHT_S = 15.0
# Where it takes longer than this from a version's detection to its publication, in one of a hundred, the ramp ends.
TOO_LATE_S = 5.0


@dataclass
class Published:
    """When each version went out at its stable URL: by environment, feed and header timestamp, POSIX seconds."""

    folder: Path
    plan: Plan

    def __post_init__(self) -> None:
        self.at: dict[tuple[int, int, int], float] = {}
        self._seen: dict[tuple[int, int], int] = {}

    def look(self) -> None:
        """To be called more often than a feed changes: a file's change time is when it was published."""
        for environment in range(self.plan.environments):
            for feed in range(self.plan.feeds):
                path = self.folder / "realtime" / f"e{environment:02}" / f"feed_{feed}.pb"
                try:
                    found = path.stat()
                    if self._seen.get((environment, feed)) == found.st_mtime_ns:
                        continue
                    body = path.read_bytes()
                except FileNotFoundError:
                    continue
                self._seen[environment, feed] = found.st_mtime_ns
                message = FeedMessage.FromString(body)
                self.at.setdefault((environment, feed, message.header.timestamp), found.st_mtime)


class Load:
    """One platform under load."""

    def __init__(self, folder: Path, plan: Plan, active: int, vendor: Vendors) -> None:
        self.plan, self.active, self.vendor = plan, active, vendor
        self.delays = folder / "delays"
        self.platform = Platform(
            folder,
            names=NAMES,
            instance_settings=_settings(folder, plan.environments),
            environment={
                "CONTINUOUS_GTFS_AGENCY": str(AGENCY),
                "LOAD_ENVIRONMENTS": str(plan.environments),
                "LOAD_FEEDS": str(plan.feeds),
                "LOAD_VENDOR_URL": f"http://127.0.0.1:{vendor.port}",
                "LOAD_DELAYS": str(self.delays),
            },
        )
        self.published = Published(folder / "published", plan)
        self.first: dict[tuple[int, int, int], tuple[float, float]] = {}
        self.asked = 0

    @contextmanager
    def running(self) -> Iterator[DagsterInstance]:
        with self.platform:
            os.environ.update(self.platform.environment)
            with DagsterInstance.from_config(self.platform.environment["DAGSTER_HOME"]) as instance:
                yield instance

    def settle(self, instance: DagsterInstance, at_most_s: float) -> float:
        """Until every environment has published and no run is left; the seconds that it took."""
        began = time.monotonic()
        while time.monotonic() - began < at_most_s:
            time.sleep(LOOKS_EVERY_S)
            self.platform.check()
            self.published.look()
            done = len({environment for environment, _, _ in self.published.at})
            if done == self.plan.environments and self.in_progress(instance) <= 1 + self.active / 10:
                break
        return time.monotonic() - began

    def watch(self, seconds: float) -> tuple[float, float]:
        """Lets it run; from when to when, POSIX seconds."""
        began = time.time()
        while time.time() < began + seconds:
            self.platform.check()
            self.published.look()
            time.sleep(LOOKS_EVERY_S)
        return began, time.time()

    def finish(self) -> None:
        """What the vendors saw meanwhile."""
        served: Served = self.vendor.served()
        for key, times in served.first.items():
            self.first.setdefault(key, times)
        self.asked += sum(served.asked.values())

    def in_progress(self, instance: DagsterInstance) -> int:
        return instance.get_runs_count(RunsFilter(statuses=list(IN_PROGRESS_RUN_STATUSES)))

    def is_healthy(self, environment: int, feed: int) -> bool:
        return self.plan.kind(environment, feed) == HEALTHY

    def late(self, began: float, over: float) -> list[float]:
        """By how much each request for a healthy feed was late, seconds."""
        found = []
        for line in self.delays.read_text().splitlines():
            at, feed_id, late_s = line.split()
            environment, feed = (int(part) for part in feed_id.lstrip("e").split("/feed_"))
            if began <= float(at) < over and self.is_healthy(environment, feed):
                found.append(max(0.0, float(late_s)))
        return found

    def due(self, began: float, over: float, active: int) -> dict[tuple[int, int, int], float]:
        """The versions of healthy feeds that could be had in a time, and since when."""
        found = {}
        for environment in range(self.plan.environments):
            for feed in (feed for feed in range(self.plan.feeds) if self.is_healthy(environment, feed)):
                at = over
                while at >= began:
                    stamp, since = self.plan.version(environment, feed, active, at)
                    if began <= since < over:
                        found[environment, feed, stamp] = since
                    at = since - 0.5
        return found

    def to_publish(self, began: float, over: float, active: int) -> list[float]:
        """From a version's detection to its publication, seconds, of those that were published."""
        return [
            self.published.at[key] - self.first[key][1]
            for key in self.due(began, over, active)
            if key in self.published.at and key in self.first
        ]


def _settings(folder: Path, environments: int) -> Path:
    """The project's dagster.yaml with a thread for each sensor."""
    settings = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
    settings["sensors"]["num_workers"] = environments + 14
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "load.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def _database_mib(load: Load) -> float:
    with (
        closing(psycopg2.connect(load.platform.environment["CONTINUOUS_GTFS_POSTGRES_URL"])) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_database_size(current_database())")
        (size,) = cursor.fetchone() or (0,)
        return float(size) / (1 << 20)


def _process_rows(load: Load) -> list[list[str]]:
    rows = []
    for name in MEASURED:
        root = psutil.Process(load.platform.pid(name))
        rss, pss, threads, files, processes = 0, 0, 0, 0, 0
        for process in (root, *root.children(recursive=True)):
            try:
                memory = process.memory_full_info()
                opened = process.num_fds()
                threads += process.num_threads()
            except psutil.NoSuchProcess:
                continue
            rss, pss, files, processes = rss + memory.rss, pss + memory.pss, files + opened, processes + 1
        sizes = [f"{size / (1 << 20):.0f}" for size in (rss, pss)]
        rows.append([name, str(processes), *sizes, str(threads), str(files)])
    return rows


def _figure(values: Sequence[float], share: float) -> str:
    return f"{percentile(values, share):.2f}" if values else "none"


def _tick_gaps(instance: DagsterInstance, began: float, over: float) -> tuple[int, int, list[float]]:
    """Ticks of the sensors in a time, those that failed, and seconds from the end of each to the start of the next."""
    ticks, failed, gaps = 0, 0, []
    for state in instance.all_instigator_state():
        if not state.instigator_name.startswith("realtime_") or "alerts" in state.instigator_name:
            continue
        found = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=began, before=over)
        found = sorted(found, key=lambda tick: tick.timestamp)
        ticks += len(found)
        failed += sum(tick.is_failure for tick in found)
        ends = [tick.tick_data.end_timestamp for tick in found]
        gaps += [after.timestamp - end for end, after in zip(ends, found[1:], strict=False) if end is not None]
    return ticks, failed, gaps


def full(folder: Path, environments: int, feeds: int, active: int, seconds: float) -> None:
    plan = Plan(environments=environments, feeds=feeds, entities=100, every_s=EVERY_S, slow_s=SLOW_S)
    with vendors(plan, active) as vendor:
        load = Load(folder, plan, active, vendor)
        with load.running() as instance:
            settled_s = load.settle(instance, 180.0)
            load.watch(EVERY_S)
            load.finish()
            load.asked = 0
            size, cpu = _database_mib(load), {name: cpu_seconds(load.platform.pid(name)) for name in MEASURED}
            busy = psutil.cpu_times()
            began, over = load.watch(seconds)
            spent = {name: cpu_seconds(load.platform.pid(name)) - cpu[name] for name in MEASURED}
            all_busy = psutil.cpu_times()
            idle = (all_busy.idle + all_busy.iowait - busy.idle - busy.iowait) / (over - began)
            processes, grown = _process_rows(load), _database_mib(load) - size
            load.watch(IN_FLIGHT_S)
            load.finish()
            ticks, failed_ticks, gaps = _tick_gaps(instance, began, over)
            runs = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE]))
            runs = [run for run in runs if began <= run.create_timestamp.timestamp() < over]
            failed_runs = sum(run.dagster_run.status is DagsterRunStatus.FAILURE for run in runs)
    late = load.late(began, over)
    due = load.due(began, over, active)
    waits = [load.first[key][1] - since for key, since in due.items() if key in load.first]
    lasted_s = over - began
    print_table(
        f"{environments * feeds} feeds in {environments} environments, {active} of them at {EVERY_S:g} s, "
        f"{lasted_s:.0f} s, a tenth of the feeds faulty",
        ("figure", "value"),
        [
            ["requests", str(load.asked)],
            ["sensor ticks", str(ticks)],
            ["sensor ticks that failed", str(failed_ticks)],
            ["from a tick's end to the next tick, p50 s", _figure(gaps, 0.5)],
            ["from a tick's end to the next tick, longest s", _figure(gaps, 1.0)],
            ["start delay of healthy feeds, p50 s", _figure(late, 0.5)],
            ["start delay, p99 s", _figure(late, 0.99)],
            ["start delay, longest s", _figure(late, 1.0)],
            ["polls of healthy feeds missed", str(sum(each >= POLL_EVERY_S for each in late))],
            ["versions of healthy feeds", str(len(due))],
            ["versions of healthy feeds missed", str(len(due) - len(waits))],
            ["from the version at the vendor to its answer, p50 s", _figure(waits, 0.5)],
            ["from the version at the vendor to its answer, p99 s", _figure(waits, 0.99)],
            ["from its answer to its publication, p50 s", _figure(load.to_publish(began, over, active), 0.5)],
            ["from its answer to its publication, p99 s", _figure(load.to_publish(began, over, active), 0.99)],
            ["runs", str(len(runs))],
            ["runs that failed", str(failed_runs)],
            ["cores of the platform", f"{sum(spent.values()) / lasted_s:.2f}"],
            ["cores idle, of all work on the machine", f"{idle:.2f}"],
            ["database, growth in MiB an hour", f"{grown / lasted_s * 3600:.0f}"],
            ["seconds from the start until all environments had published", f"{settled_s:.0f}"],
        ],
    )
    print_table(
        f"Its processes with their children at the end, and CPU over the {lasted_s:.0f} s",
        ("process", "processes", "RSS, MiB", "PSS, MiB", "threads", "open files", "cores"),
        [[*row, f"{spent[row[0]] / lasted_s:.2f}"] for row in processes],
    )


def ramp(folder: Path, steps: Sequence[int], seconds: float, at_most_s: float) -> None:
    environments = max(steps)
    plan = Plan(environments=environments, feeds=2, entities=100, every_s=EVERY_S, slow_s=SLOW_S)
    rows = []
    with vendors(plan, 0) as vendor:
        load = Load(folder, plan, 0, vendor)
        with load.running() as instance:
            load.settle(instance, 180.0)
            give_up = time.monotonic() + at_most_s
            for active in steps:
                vendor.set_active(active)
                load.active = active
                load.watch(EVERY_S + 5)
                cpu = {name: cpu_seconds(load.platform.pid(name)) for name in MEASURED}
                busy = psutil.cpu_times()
                began, over = load.watch(seconds)
                spent = sum(cpu_seconds(load.platform.pid(name)) - cpu[name] for name in MEASURED) / (over - began)
                all_busy = psutil.cpu_times()
                idle = (all_busy.idle + all_busy.iowait - busy.idle - busy.iowait) / (over - began)
                in_progress = load.in_progress(instance)
                load.watch(IN_FLIGHT_S / 2)
                load.finish()
                due = {key: since for key, since in load.due(began, over, active).items() if key[0] < active}
                waits, late = load.to_publish(began, over, active), load.late(began, over)
                published = sum(key in load.published.at for key in due)
                rows.append(
                    [
                        str(active),
                        f"{published / max(len(due), 1):.0%}",
                        *(_figure(waits, share) for share in (0.5, 0.95, 0.99)),
                        _figure(late, 0.99),
                        str(in_progress),
                        f"{spent:.2f}",
                        f"{idle:.2f}",
                    ]
                )
                if not waits or percentile(waits, 0.99) > TOO_LATE_S or time.monotonic() > give_up:
                    break
    print_table(
        f"Pipelines of two feeds at {EVERY_S:g} s, {seconds:.0f} s each, on {psutil.cpu_count()} cores",
        (
            "pipelines",
            "versions published",
            "detected to published, p50 s",
            "p95 s",
            "p99 s",
            "start delay p99 s",
            "runs in progress at the end",
            "cores",
            "cores idle",
        ),
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("full", "ramp"))
    parser.add_argument("--environments", type=int, default=50)
    parser.add_argument("--feeds", type=int, default=10, help="of each environment")
    parser.add_argument("--active", type=int, default=8, help="environments that change every 20 s")
    parser.add_argument("--seconds", type=float, default=180.0, help="that are measured of the whole")
    parser.add_argument("--steps", default="5,10,20,30,40,50", help="of the ramp: pipelines at 20 s")
    parser.add_argument("--step-seconds", type=float, default=45.0, help="that are measured of each step")
    parser.add_argument("--ramp-seconds", type=float, default=420.0, help="no step begins later than that")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-feeds-") as folder:
        if options.only != "ramp":
            full(Path(folder) / "full", options.environments, options.feeds, options.active, options.seconds)
        if options.only != "full":
            steps = [int(step) for step in options.steps.split(",")]
            ramp(Path(folder) / "ramp", steps, options.step_seconds, options.ramp_seconds)


if __name__ == "__main__":
    sys.exit(main())
