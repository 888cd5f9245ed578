"""Do database and stores stay as large as they are, month after month, under the hourly maintenance?

A month of one environment at 20 s, 4,320 updates a day, fast-forwarded: the rows that a running platform was seen to
write are written again for each hour through the real tables, its files by the real code, and after each hour comes
the real maintenance, told that it is an hour later. Exit code 1 where the last days are larger than those after day 15.

    python benchmarks/simulated_month.py                       thirty days
    python benchmarks/simulated_month.py --days 3 --state DIR  a short one, on the template in DIR or with a new one
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from dagster import DagsterInstance
from month_report import Day, is_flat, print_month, tell
from month_rows import Rows
from month_sizes import database_sizes
from month_store import HOUR, Size, Stores, write_logs
from month_template import CADENCE_S, ENVIRONMENT, Template, gather, load, save
from sqlalchemy import Engine, create_engine, text

from continuous_gtfs.defs.maintenance import maintain
from continuous_gtfs.defs.maintenance_settings import Retention
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.demo.postgres import EmbeddedPostgres

MEMORY = Path("/dev/shm")
MAINTENANCE_AT = timedelta(minutes=23)
# A schedule changes some times a month, and the vendor fails for a while now and then: 1 % of the runs.
SCHEDULE_EVERY_DAYS = 3
FAULT_EVERY_HOURS = 2
WINDOW_UPDATES = 6
# Files take longer than rows, and an hour later they are in a pack. So they are written for each update in the last
# hour before the stores are measured, and for some in the others.
FULL_HOUR = 23
FEW_FILES = 2
# An hour passes in seconds. In them autovacuum looks once or twice, where it would sixty times.
HURRIED = {"autovacuum_naptime": "1s", "autovacuum_vacuum_cost_delay": "0"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--updates", type=int, default=4320, help="realtime updates a day")
    parser.add_argument("--state", type=Path, help="a folder that keeps the template for further months")
    parser.add_argument("--autovacuum", action="append", default=[], metavar="NAME=VALUE", help="of all large tables")
    options = parser.parse_args()
    with ExitStack() as stack:
        state = options.state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="month-")))
        if not (state / "template.json").exists():
            save(gather(state, updates=WINDOW_UPDATES), state / "template.json")
        began = time.monotonic()
        month = stack.enter_context(_month(state, options.updates // 24))
        month.set_autovacuum(options.autovacuum)
        days: list[Day] = []
        try:
            for number in range(options.days):
                days.append(month.day(number))
                tell(days[-1])
        except KeyboardInterrupt:
            sys.stdout.write(f"stopped in day {len(days) + 1}\n")
        if not days:
            return 1
        print_month(days, time.monotonic() - began)
    return 0 if is_flat(days) else 1


@dataclass(slots=True, kw_only=True)
class Month:
    """A month under way: the database and the stores.

    Attributes:
        updates: Realtime updates in an hour.
    """

    engine: Engine
    instance: DagsterInstance
    artifacts: Artifacts
    rows: Rows
    template: Template
    updates: int
    begin: datetime
    logs: Path
    worker: ProcessPoolExecutor

    @property
    def urls(self) -> tuple[str, str]:
        return self.artifacts.archive_url, self.artifacts.published_url

    def set_autovacuum(self, settings: list[str]) -> None:
        """In place of what the maintenance sets, which leaves a table with settings of its own alone."""
        from continuous_gtfs.defs.maintenance_postgres import TUNED_TABLES

        with self.engine.connect() as connection:
            for table in TUNED_TABLES if settings else ():
                connection.execute(text(f"ALTER TABLE {table} SET ({', '.join(settings)})"))

    def day(self, number: int) -> Day:
        day = Day(number=number + 1)
        began = time.monotonic()
        with ThreadPoolExecutor(2) as beside:
            passed: Future[None] | None = None
            for hour in range(24):
                at = self.begin + timedelta(days=number, hours=hour)
                self._hour(at, day, beside)
                if passed:
                    passed.result()
                # The next hour does not wait for the maintenance, nor the maintenance for it.
                passed = beside.submit(self._maintain, at + HOUR + MAINTENANCE_AT, day)
        assert passed is not None
        passed.result()
        day.seconds = time.monotonic() - began
        day.database = database_sizes(self.engine)
        day.store = self.worker.submit(_store_size, *self.urls).result()
        return day

    def _hour(self, hour: datetime, day: Day, beside: ThreadPoolExecutor) -> None:
        is_faulty = hour.hour % FAULT_EVERY_HOURS == 0
        has_schedule = hour.hour == 12 and (day.number - 1) % SCHEDULE_EVERY_DAYS == 0
        files = self.updates if hour.hour == FULL_HOUR else FEW_FILES
        written = self.worker.submit(_write_hour, *self.urls, hour, files, has_schedule=has_schedule)
        before = self.rows.newest()
        copies = max(1, round(self.updates / self.template.updates))
        rewritten = beside.submit(self.rows.rewrite, copies)
        self.rows.write("update", hour, copies=copies, apart_s=self.template.updates * CADENCE_S)
        self.rows.write("quarter", hour, copies=4, apart_s=900)
        self.rows.write("hourly", hour, copies=1, apart_s=0)
        if is_faulty:
            self.rows.write("fault", hour, copies=1, apart_s=0)
        if has_schedule:
            self.rows.write("schedule", hour, copies=1, apart_s=0)
        self.rows.rewrite_new(before)
        new = self.rows.run_ids(before["runs"])
        write_logs(self.logs, new)
        day.runs += len(new)
        day.files_s += written.result()
        rewritten.result()

    def _maintain(self, now: datetime, day: Day) -> None:
        report = maintain(self.instance, self.artifacts, Retention(), now=now.timestamp())
        if report.failures:
            raise RuntimeError("; ".join(report.failures))
        day.add(report)


@contextmanager
def _month(state: Path, updates: int) -> Iterator[Month]:
    """Copies of what the template's platform has left: the database on disk, the stores in memory if there is any."""
    with ExitStack() as stack:
        disk = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="month-", dir=state)))
        memory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="month-", dir=MEMORY if MEMORY.is_dir() else state))
        )
        disk.chmod(0o755)
        # With its owner, who is another where this is root.
        subprocess.run(["cp", "-a", str(state / "postgres"), str(disk / "postgres")], check=True)
        shutil.copytree(state / "dagster_home", disk / "dagster_home")
        for store in ("archive", "published"):
            shutil.copytree(state / store, memory / store)
        url = stack.enter_context(EmbeddedPostgres(disk / "postgres"))
        os.environ |= {"CONTINUOUS_GTFS_POSTGRES_URL": url, "DAGSTER_HOME": str(disk / "dagster_home")}
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        stack.callback(engine.dispose)
        with engine.connect() as connection:
            for name, value in HURRIED.items():
                connection.execute(text(f"ALTER SYSTEM SET {name} = '{value}'"))
            connection.execute(text("ALTER DATABASE dagster SET synchronous_commit = off"))
            connection.execute(text("SELECT pg_reload_conf(), pg_stat_reset()"))
        engine.dispose()
        template = load(state / "template.json")
        yield Month(
            engine=engine,
            instance=stack.enter_context(DagsterInstance.from_config(str(disk / "dagster_home"))),
            artifacts=Artifacts(archive_url=str(memory / "archive"), published_url=str(memory / "published")),
            rows=Rows(engine, template),
            template=template,
            updates=updates,
            begin=datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1),
            logs=disk / "dagster_home" / "storage",
            worker=stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn"))),
        )


def _write_hour(archive: str, published: str, hour: datetime, updates: int, *, has_schedule: bool) -> float:
    """In a process of its own, beside the rows: seconds that it took."""
    began = time.monotonic()
    stores = _stores(archive, published)
    stores.updates(hour, updates)
    if has_schedule:
        stores.schedule(hour)
    stores.pack(hour)
    return time.monotonic() - began


def _store_size(archive: str, published: str) -> Size:
    return _stores(archive, published).size()


@cache
def _stores(archive: str, published: str) -> Stores:
    return Stores(Artifacts(archive_url=archive, published_url=published), ENVIRONMENT)


if __name__ == "__main__":
    sys.exit(main())
