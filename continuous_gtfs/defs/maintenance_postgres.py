"""Pruning Dagster's tables in PostgreSQL by sets: a few statements for hundreds of runs, each batch a transaction.

Dagster's own way is a run at a time, 25 ms each, and it takes with a run what an asset's page and its partitions are
made of. Here stay, of each asset, the run and the event of the newest materialization, observation and check; of
each partition its newest event; of each pipeline the runs that its sensor looks at. The tables are those of the pinned
release; a test compares them with what is written here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from dagster import DagsterEventType, DagsterInstance
from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine

from continuous_gtfs import names
from continuous_gtfs.defs.maintenance_report import MaintenanceReport
from continuous_gtfs.defs.maintenance_settings import Retention

RUNS_A_BATCH = 200
ROWS_A_BATCH = 5000
SHORT_LIVED = ("realtime", "realtime_validation", "archive", "replay", "maintenance")
"""Pipelines that run all the time: the first part of the pipeline tag."""
KINDS = ("runs", "events of runs", "check results", "reports of sensors", "tags of events", "ticks")
_NEWEST_OF = (
    DagsterEventType.ASSET_MATERIALIZATION.value,
    DagsterEventType.ASSET_OBSERVATION.value,
    DagsterEventType.ASSET_CHECK_EVALUATION.value,
    DagsterEventType.ASSET_FAILED_TO_MATERIALIZE.value,
    DagsterEventType.FRESHNESS_STATE_CHANGE.value,
)
_REPORTED = (DagsterEventType.ASSET_MATERIALIZATION.value, DagsterEventType.ASSET_OBSERVATION.value)
# Any number that nothing else in the database uses.
_LOCK = 0x67746673
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")
_BACKFILL_ENDED = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")

# Left behind are a few dead rows at most, where PostgreSQL would let a fifth of a table be dead before it looks.
TUNED = {"autovacuum_vacuum_scale_factor": "0.02", "autovacuum_analyze_scale_factor": "0.05"}
TUNED_TABLES = ("event_logs", "asset_event_tags", "asset_check_executions", "runs", "run_tags", "job_ticks")

_KEPT_RUNS = """
SELECT newest.run_id FROM asset_keys a CROSS JOIN unnest(:kinds) AS kind(name) CROSS JOIN LATERAL (
  SELECT e.run_id FROM event_logs e
  WHERE e.asset_key = a.asset_key AND e.dagster_event_type = kind.name ORDER BY e.id DESC LIMIT 1) newest
UNION SELECT c.run_id FROM asset_check_executions c WHERE c.id IN (
  SELECT max(id) FROM asset_check_executions GROUP BY asset_key, check_name, evaluation_event_storage_id IS NULL)
UNION SELECT r.run_id FROM runs r WHERE r.id IN (SELECT max(id) FROM runs GROUP BY pipeline_name, status)
UNION SELECT r.run_id FROM runs r WHERE r.id IN (
  SELECT max(o.id) FROM runs o
  JOIN run_tags p ON p.run_id = o.run_id AND p.key = :pipeline_tag
  JOIN run_tags t ON t.run_id = o.run_id AND t.key = :trigger_tag
  GROUP BY p.value, o.status)
UNION SELECT run_id FROM concurrency_slots WHERE run_id IS NOT NULL
UNION SELECT run_id FROM pending_steps WHERE run_id IS NOT NULL
"""
_OLD_RUNS = """
SELECT r.run_id FROM runs r LEFT JOIN run_tags p ON p.run_id = r.run_id AND p.key = :pipeline_tag
WHERE r.status = ANY(:ended)
  AND coalesce(r.end_time, extract(epoch FROM r.create_timestamp)) < CASE
    WHEN split_part(coalesce(p.value, ''), '/', 1) <> ALL(:short_lived) THEN :others_before
    WHEN r.status = 'SUCCESS' THEN :success_before ELSE :failure_before END
  AND r.run_id <> ALL(:kept)
  AND NOT EXISTS (SELECT 1 FROM bulk_actions b WHERE b.key = r.backfill_id AND b.status <> ALL(:backfill_ended))
ORDER BY r.id
"""
# The newest event of its asset, kind and partition: what a page or a partition's status is made of.
_IS_NEWEST = """
e.asset_key IS NOT NULL AND e.dagster_event_type = ANY(:kinds) AND NOT EXISTS (
  SELECT 1 FROM event_logs n WHERE n.asset_key = e.asset_key AND n.dagster_event_type = e.dagster_event_type
  AND n.id > e.id AND n.partition IS NOT DISTINCT FROM e.partition)
"""
_IN_RUNS = f"e.run_id = ANY(:run_ids) AND NOT ({_IS_NEWEST})"
_RUNLESS = f"""
e.id IN (SELECT e.id FROM event_logs e WHERE e.run_id = '' AND e.timestamp < CASE
    WHEN e.dagster_event_type = ANY(:reported) THEN CAST(:success_at AS timestamptz)
    ELSE CAST(:failure_at AS timestamptz) END
  AND NOT ({_IS_NEWEST})
  AND e.id NOT IN (SELECT max(c.evaluation_event_storage_id) FROM asset_check_executions c
    WHERE c.evaluation_event_storage_id IS NOT NULL GROUP BY c.asset_key, c.check_name)
  ORDER BY e.id LIMIT :limit)
"""
_DELETE_EVENTS = """
WITH gone AS (DELETE FROM event_logs e WHERE {where} RETURNING e.id, pg_column_size(e.event) AS size),
tags AS (DELETE FROM asset_event_tags t USING gone WHERE t.event_id = gone.id RETURNING 1)
SELECT count(*), coalesce(sum(size), 0), (SELECT count(*) FROM tags) FROM gone
"""
_COUNT_EVENTS = """
SELECT count(*), coalesce(sum(pg_column_size(e.event)), 0),
  (SELECT count(*) FROM asset_event_tags t WHERE t.event_id IN (SELECT e.id FROM event_logs e WHERE {where}))
FROM event_logs e WHERE {where}
"""
_OLD_CHECKS = """
c.run_id = '' AND c.create_timestamp < CAST(:failure_at AS timestamptz) AND EXISTS (
  SELECT 1 FROM asset_check_executions n
  WHERE n.asset_key = c.asset_key AND n.check_name = c.check_name AND n.id > c.id)
"""
_OLD_TICKS = """
t.id IN (SELECT t.id FROM job_ticks t WHERE t.timestamp < CASE
    WHEN t.type = 'SENSOR' AND t.status IN ('SUCCESS', 'SKIPPED') THEN CAST(:tick_success_at AS timestamptz)
    ELSE CAST(:ticks_at AS timestamptz) END
  AND EXISTS (SELECT 1 FROM job_ticks n WHERE n.selector_id = t.selector_id AND n.timestamp > t.timestamp)
ORDER BY t.id LIMIT :limit)
"""


def postgres_engine(instance: DagsterInstance) -> Engine | None:
    """The engine of a storage whose three parts lie in one PostgreSQL database; None for any other."""
    from dagster_postgres.event_log import PostgresEventLogStorage
    from dagster_postgres.run_storage import PostgresRunStorage
    from dagster_postgres.schedule_storage import PostgresScheduleStorage

    kinds = (PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage)
    storages = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    if not all(isinstance(storage, kind) for storage, kind in zip(storages, kinds, strict=True)):
        return None
    engines: list[Engine] = [storage._engine for storage in storages]  # type: ignore[union-attr]
    if len({engine.url for engine in engines}) > 1:
        return None
    # The storage's own connections commit each statement by itself.
    return engines[0].execution_options(isolation_level="READ COMMITTED")


@contextmanager
def alone(engine: Engine) -> Iterator[bool]:
    """Keep other passes out meanwhile, of whichever process; whether that could be done, which never waits."""
    with engine.connect() as connection:
        is_alone = bool(connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}).scalar_one())
        # It belongs to the session, and no transaction stays open for it.
        connection.commit()
        try:
            yield is_alone
        finally:
            if is_alone:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
                connection.commit()


class PostgresPruning:
    """One pass over Dagster's tables.

    Args:
        now: POSIX seconds; what is old is counted from here.
        may_go_on: Asked before each batch: whether there is time for another. What is left is for the next pass.
    """

    def __init__(
        self,
        engine: Engine,
        retention: Retention,
        report: MaintenanceReport,
        *,
        now: float,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self._engine = engine
        self._report = report
        self._may_go_on = may_go_on
        success, failure = now - retention.realtime_success_s, now - retention.realtime_failure_s
        self._values: dict[str, Any] = {
            "kinds": list(_NEWEST_OF),
            "reported": list(_REPORTED),
            "ended": list(_ENDED),
            "backfill_ended": list(_BACKFILL_ENDED),
            "short_lived": list(SHORT_LIVED),
            "pipeline_tag": names.PIPELINE_TAG,
            "trigger_tag": names.TRIGGER_TAG,
            "success_before": success,
            "failure_before": failure,
            "others_before": now - retention.others_s,
            "success_at": datetime.fromtimestamp(success, UTC),
            "failure_at": datetime.fromtimestamp(failure, UTC),
            "tick_success_at": datetime.fromtimestamp(max(success, now - retention.ticks_s), UTC),
            "ticks_at": datetime.fromtimestamp(now - retention.ticks_s, UTC),
            "limit": ROWS_A_BATCH,
        }

    def prune(self) -> None:
        """Runs with all that is theirs, then what the sensors reported, then ticks."""
        with self._engine.begin() as connection:
            kept = [row[0] for row in self._execute(connection, _KEPT_RUNS)]
        for kind in KINDS:
            self._report.add(kind, 0)
        if self._report.is_dry_run:
            self._count(kept)
        else:
            self._prune_runs(kept)
            self._prune_rows(self._runless_events)
            self._prune_rows(self._runless_checks)
            self._prune_rows(self._ticks)
            with self._engine.begin() as connection:
                self._tune(connection)
        with self._engine.begin() as connection:
            size = self._execute(connection, "SELECT pg_database_size(current_database())").scalar_one()
            self._report.database_bytes = int(size)

    def _prune_runs(self, kept: list[str]) -> None:
        while self._has_time("runs"):
            with self._engine.begin() as connection:
                # A run or a page that waits for us is worth more than a tidy table.
                connection.execute(text("SET LOCAL lock_timeout = '5s'"))
                chosen = self._execute(connection, f"{_OLD_RUNS} LIMIT {RUNS_A_BATCH} FOR UPDATE OF r", kept=kept)
                run_ids = [row[0] for row in chosen]
                if not run_ids:
                    return
                self._delete_events(connection, "events of runs", _IN_RUNS, run_ids=run_ids)
                statement = "DELETE FROM asset_check_executions WHERE run_id = ANY(:run_ids)"
                self._report.add("check results", self._execute(connection, statement, run_ids=run_ids).rowcount)
                # Its tags go with it.
                deleted = self._execute(connection, "DELETE FROM runs WHERE run_id = ANY(:run_ids)", run_ids=run_ids)
                self._report.add("runs", deleted.rowcount)

    def _prune_rows(self, delete: Callable[[Connection], int]) -> None:
        while self._has_time("events and ticks"):
            with self._engine.begin() as connection:
                connection.execute(text("SET LOCAL lock_timeout = '5s'"))
                if delete(connection) < ROWS_A_BATCH:
                    return

    def _runless_events(self, connection: Connection) -> int:
        return self._delete_events(connection, "reports of sensors", _RUNLESS)

    def _runless_checks(self, connection: Connection) -> int:
        deleted = self._execute(connection, f"DELETE FROM asset_check_executions c WHERE {_OLD_CHECKS}").rowcount
        self._report.add("check results", deleted)
        return 0

    def _ticks(self, connection: Connection) -> int:
        deleted: int = self._execute(connection, f"DELETE FROM job_ticks t WHERE {_OLD_TICKS}").rowcount
        self._report.add("ticks", deleted)
        return deleted

    def _delete_events(self, connection: Connection, kind: str, where: str, **values: Any) -> int:
        count, size, tags = self._execute(connection, _DELETE_EVENTS.format(where=where), **values).one()
        self._report.add(kind, count, int(size))
        self._report.add("tags of events", tags)
        return int(count)

    def _count(self, kept: list[str]) -> None:
        everything = {"limit": 2**62}
        with self._engine.begin() as connection:
            run_ids = [row[0] for row in self._execute(connection, _OLD_RUNS, kept=kept)]
            for kind, where, values in (
                ("events of runs", _IN_RUNS, {"run_ids": run_ids}),
                ("reports of sensors", _RUNLESS, everything),
            ):
                count, size, tags = self._execute(connection, _COUNT_EVENTS.format(where=where), **values).one()
                self._report.add(kind, count, int(size))
                self._report.add("tags of events", tags)
            checks = f"SELECT count(*) FROM asset_check_executions c WHERE run_id = ANY(:run_ids) OR ({_OLD_CHECKS})"
            self._report.add("check results", self._execute(connection, checks, run_ids=run_ids).scalar_one())
            self._report.add("runs", len(run_ids))
            ticks = f"SELECT count(*) FROM job_ticks t WHERE {_OLD_TICKS}"
            self._report.add("ticks", self._execute(connection, ticks, **everything).scalar_one())

    def _tune(self, connection: Connection) -> None:
        """Have autovacuum look at these tables more often; once, and not where somebody has decided otherwise."""
        plain = "SELECT relname FROM pg_class WHERE oid = ANY(CAST(:tables AS regclass[])) AND reloptions IS NULL"
        settings = ", ".join(f"{name} = {value}" for name, value in TUNED.items())
        for (table,) in self._execute(connection, plain, tables=list(TUNED_TABLES)).all():
            connection.execute(text(f"ALTER TABLE {table} SET ({settings})"))

    def _has_time(self, what: str) -> bool:
        if self._may_go_on():
            return True
        note = f"time was up: more old {what} are left for the next pass"
        if note not in self._report.notes:
            self._report.notes.append(note)
        return False

    def _execute(self, connection: Connection, statement: str, **values: Any) -> Any:
        wanted: Mapping[str, Any] = self._values | values
        bound = text(statement)
        return connection.execute(bound, {name: wanted[name] for name in bound.compile().params})


def deadline(seconds: float) -> Callable[[], bool]:
    """Whether fewer than ``seconds`` have gone by since this call."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end
