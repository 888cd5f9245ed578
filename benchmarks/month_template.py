"""What a running platform writes into Dagster's tables in some minutes, kept as templates for the simulated month.

One environment of the reference agency, embedded PostgreSQL, real daemon, code servers and runs. The rows are copied
into tables of a schema ``month`` of the same database, by what made them:

    update     a window of realtime updates with all that is written meanwhile: runs, reports of sensors, ticks
    fault      a stretch in which the vendor fails and runs are refused
    quarter    a run of the sampled validation          hourly    a run of the packing and of the maintenance
    schedule   a new schedule version and its run

Not a benchmark of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from continuous_gtfs.demo import commands
from continuous_gtfs.demo.processes import Platform

ENVIRONMENT = "production"
CADENCE_S = 20.0
WARM_UP_RUNS = 3
_PROCESSES = (
    commands.POSTGRES,
    commands.MIGRATE,
    commands.CODE_SCHEDULE,
    commands.CODE_REALTIME,
    commands.DAEMON,
    commands.SIMULATOR,
)
_FEEDS = """\
from dataclasses import replace

from continuous_gtfs.agencies.agency import ValidationSampling
from continuous_gtfs.agencies.sound_transit.feeds import AGENCY as SOUND_TRANSIT

AGENCY = replace(
    SOUND_TRANSIT,
    feeds=tuple(source for source in SOUND_TRANSIT.feeds if source.environment == "production"),
    realtime_validation=ValidationSampling(every_min=None),
)
"""
_MARKS = {"events": "event_logs", "runs": "runs", "ticks": "job_ticks"}
_ENDED = "status IN ('SUCCESS', 'FAILURE', 'CANCELED')"
# What a job's runs write belongs to the job, whenever it was written.
_JOBS = {
    f"validate_realtime_{ENVIRONMENT}": "quarter",
    f"archive_realtime_{ENVIRONMENT}": "hourly",
    "maintenance": "hourly",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What was gathered.

    Attributes:
        updates: Realtime updates in the window of ``update``.
        fault_s: Length of the stretch of ``fault``, in seconds.
        rewritten: By table, how many rows the window changed in place.
    """

    updates: int
    fault_s: float
    rewritten: Mapping[str, int]


def gather(state: Path, *, updates: int) -> Template:
    """Run the platform for some minutes; afterwards ``state/postgres`` holds its database with the templates.

    Args:
        updates: How many realtime updates make a window.
    """
    agency = _agency(state)
    platform = Platform(
        state,
        realtime_every_s=CADENCE_S,
        names=_PROCESSES,
        environment={"CONTINUOUS_GTFS_AGENCY": str(agency)},
    )
    with platform:
        engine = create_engine(platform.environment["CONTINUOUS_GTFS_POSTGRES_URL"], isolation_level="AUTOCOMMIT")
        try:
            return _Gathering(platform, engine).gather(updates)
        finally:
            engine.dispose()


class _Gathering:
    def __init__(self, platform: Platform, engine: Engine) -> None:
        self._platform = platform
        self._engine = engine
        self._marks: dict[str, tuple[dict[str, int], dict[str, int]]] = {}

    def gather(self, updates: int) -> Template:
        self._until(lambda: self._ended("schedule/%") >= 1 and self._ended("realtime/%") >= WARM_UP_RUNS)
        began, before = self._mark(), self._rewritten()
        since = self._next_end()
        began, before = self._mark(), self._rewritten()
        self._until(lambda: self._ended("realtime/%") >= since + updates)
        self._marks["update"] = began, self._mark()
        if self._count("runs", f"id > {began['runs']} AND status = 'FAILURE'"):
            raise RuntimeError(f"realtime runs have failed, without a fault: see {self._platform.state}/logs")
        rewritten = {table: count - before.get(table, 0) for table, count in self._rewritten().items()}
        fault_s = self._fault()
        self._jobs()
        schedule = self._mark()
        self._control("schedule", {"edition": ENVIRONMENT})
        self._until(lambda: self._ended("schedule/%") >= 2)
        self._marks["schedule"] = schedule, self._mark()
        self._keep()
        return Template(
            updates=updates, fault_s=fault_s, rewritten={table: count for table, count in rewritten.items() if count}
        )

    def _fault(self) -> float:
        """An empty feed, which a guard refuses, so that runs fail; then errors that the sensor alone sees."""
        self._next_end()
        began, start = self._mark(), time.monotonic()
        failed = self._count("runs", "status = 'FAILURE'")
        self._control("faults", {"edition": ENVIRONMENT, "feed": "vehicle_positions", "kind": "header_only"})
        self._until(lambda: self._count("runs", "status = 'FAILURE'") >= failed + 2)
        self._control("faults", None)
        self._control("faults", {"edition": ENVIRONMENT, "feed": "trip_updates", "kind": "http_500", "count": 3})
        self._next_end()
        self._next_end()
        self._marks["fault"] = began, self._mark()
        return time.monotonic() - start

    def _jobs(self) -> None:
        """The jobs that come by the clock, as an operator starts them."""
        past = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
        tags = json.dumps({"dagster/partition": f"{past:%Y-%m-%d-%H:%M}"})
        for location, job, options in (
            ("realtime", f"validate_realtime_{ENVIRONMENT}", ()),
            ("realtime", f"archive_realtime_{ENVIRONMENT}", ("--tags", tags)),
            ("schedule", "maintenance", ()),
        ):
            command = ["dagster", "job", "execute", "-m", f"continuous_gtfs.definitions.{location}", "-j", job]
            script = str(Path(sysconfig.get_path("scripts")) / command[0])
            environment = os.environ | dict(self._platform.environment)
            subprocess.run([script, *command[1:], *options], env=environment, check=True, capture_output=True)

    def _keep(self) -> None:
        """Copy the rows into the schema ``month``, each with its kind."""
        statements = ["DROP SCHEMA IF EXISTS month CASCADE", "CREATE SCHEMA month"]
        statements.append(
            "CREATE TABLE month.kinds (kind text, first_event bigint, last_event bigint, first_run bigint, "
            "last_run bigint, first_tick bigint, last_tick bigint, began timestamp)"
        )
        for kind, (first, last) in self._marks.items():
            bounds = ", ".join(f"{mark[name]}" for name in _MARKS for mark in (first, last))
            statements.append(
                f"INSERT INTO month.kinds SELECT '{kind}', {bounds}, "
                f"(SELECT min(timestamp) FROM event_logs WHERE id > {first['events']})"
            )
        jobs = " ".join(f"WHEN r.pipeline_name = '{job}' THEN '{kind}'" for job, kind in _JOBS.items())
        statements += [
            # A run is of the stretch that it began in; those of jobs and of the other pipeline are told by their name.
            f"""CREATE TABLE month.runs AS SELECT coalesce(CASE {jobs}
                  WHEN r.pipeline_name LIKE 'schedule_%' AND k.kind = 'schedule' THEN 'schedule'
                  WHEN r.pipeline_name LIKE 'realtime_%' AND k.kind IN ('update', 'fault') THEN k.kind END) AS kind, r.*
                FROM runs r LEFT JOIN month.kinds k ON r.id > k.first_run AND r.id <= k.last_run WHERE {_ENDED}""",
            "DELETE FROM month.runs WHERE kind IS NULL",
            "CREATE TABLE month.run_tags AS SELECT r.kind, t.* FROM run_tags t JOIN month.runs r USING (run_id)",
            """CREATE TABLE month.event_logs AS
                SELECT coalesce(r.kind, k.kind) AS kind, e.* FROM event_logs e LEFT JOIN month.runs r USING (run_id)
                LEFT JOIN month.kinds k ON e.run_id = '' AND e.id > k.first_event AND e.id <= k.last_event
                  AND (k.kind <> 'schedule' OR e.asset_key LIKE '%"schedule"%')
                WHERE coalesce(r.kind, k.kind) IS NOT NULL""",
            "CREATE TABLE month.asset_event_tags AS SELECT e.kind, t.* FROM asset_event_tags t "
            "JOIN month.event_logs e ON e.id = t.event_id",
            """CREATE TABLE month.asset_check_executions AS SELECT e.kind, c.* FROM asset_check_executions c
                JOIN month.event_logs e ON e.id = c.evaluation_event_storage_id""",
            "CREATE TABLE month.job_ticks AS SELECT k.kind, t.* FROM job_ticks t JOIN month.kinds k "
            "ON t.id > k.first_tick AND t.id <= k.last_tick AND k.kind <> 'schedule' WHERE t.type = 'SENSOR'",
            "CREATE TABLE month.ordinals AS SELECT id, row_number() OVER (PARTITION BY kind ORDER BY id) AS ordinal "
            "FROM month.event_logs",
            "CREATE TABLE month.began AS SELECT kind, min(at) AS at FROM (SELECT kind, timestamp AS at FROM "
            "month.event_logs UNION ALL SELECT kind, timestamp FROM month.job_ticks) everything GROUP BY kind",
        ]
        with self._engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def _mark(self) -> dict[str, int]:
        return {name: self._one(f"SELECT coalesce(max(id), 0) FROM {table}") for name, table in _MARKS.items()}

    def _rewritten(self) -> dict[str, int]:
        # Backends hand in what they counted when they have been idle for ten seconds, or at their next statement.
        time.sleep(1)
        with self._engine.connect() as connection:
            rows = connection.execute(text("SELECT relname, n_tup_upd FROM pg_stat_user_tables"))
            return {table: int(count) for table, count in rows}

    def _ended(self, pipeline: str) -> int:
        return self._count(
            "runs r JOIN run_tags t USING (run_id)",
            f"{_ENDED} AND t.key = 'continuous_gtfs/pipeline' AND t.value LIKE '{pipeline}'",
        )

    def _next_end(self) -> int:
        """Wait for the end of another realtime run; how many have ended by then."""
        since = self._ended("realtime/%")
        self._until(lambda: self._ended("realtime/%") > since)
        return self._ended("realtime/%")

    def _count(self, table: str, where: str) -> int:
        return self._one(f"SELECT count(*) FROM {table} WHERE {where}")

    def _one(self, statement: str) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(text(statement)).scalar_one())

    def _until(self, condition: Callable[[], bool], timeout_s: float = 600) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            self._platform.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"the platform did not get on in {timeout_s:g} s: see {self._platform.state}/logs")
            time.sleep(0.5)

    def _control(self, what: str, fields: Mapping[str, object] | None) -> None:
        request = urllib.request.Request(
            f"{self._platform.url(commands.SIMULATOR)}/control/{what}",
            method="POST" if fields else "DELETE",
            data=json.dumps(fields).encode() if fields else None,
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            response.read()


def _agency(state: Path) -> Path:
    agency = state / "agency"
    agency.mkdir(parents=True, exist_ok=True)
    (agency / "feeds.py").write_text(_FEEDS)
    for pipeline in ("schedule", "realtime"):
        module = f"continuous_gtfs.agencies.sound_transit.{pipeline}"
        (agency / f"{pipeline}.py").write_text(f"from {module} import STEPS\n\n__all__ = ['STEPS']\n")
    return agency


def save(template: Template, path: Path) -> None:
    path.write_text(json.dumps(asdict(template)))


def load(path: Path) -> Template:
    return Template(**json.loads(path.read_text()))
