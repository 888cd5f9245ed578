"""What Dagster's storage holds of runs: which runs, and their events. A few queries, however many runs are asked for.

Not here: what the events say (``run_reports``).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dagster import (
    AssetKey,
    DagsterError,
    DagsterEventType,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterRun,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import deserialize_value
from sqlalchemy import create_engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from yaml import MarkedYAMLError, YAMLError  # type: ignore[import-untyped]

from continuous_gtfs import names
from continuous_gtfs.errors import ConfigurationError

EVENT_TYPES = (
    DagsterEventType.STEP_START,
    DagsterEventType.STEP_OUTPUT,
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_SKIPPED,
    DagsterEventType.STEP_UP_FOR_RETRY,
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.RUN_FAILURE,
)
# Runs that a person starts from the asset graph or by `dagster asset materialize` are of this job and carry no tag of
# ours.
_ASSET_JOB = "__ASSET_JOB"
_PAGE = 500
# So many of the newest runs are searched for the first letters of an id.
_SEARCHED_FOR_PREFIX = 5000
_FULL_ID_LENGTH = 36
_MISSING_VARIABLE = re.compile(r'environment variable "(\w+)" which is not set')
_POSTGRES_URL = "CONTINUOUS_GTFS_POSTGRES_URL"
_CONNECT_S = 3
# What Dagster expects of its settings is told at the length of its whole schema.
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs, the newest first.

    Attributes:
        limit: At most so many.
        pipeline: ``schedule``, ``realtime`` or another of the pipeline tag; None for all, and for what belongs to none.
        environment: ``production``; None for all.
        failed: Only those that failed.
        run_id: This one run, or the one whose id begins so; the rest is not asked then.
    """

    limit: int = 20
    pipeline: str | None = None
    environment: str | None = None
    failed: bool = False
    run_id: str | None = None


@contextmanager
def dagster_storage() -> Iterator[DagsterInstance]:
    """The instance of ``DAGSTER_HOME``.

    Raises:
        ConfigurationError: It is not set, its settings cannot be used, or its database cannot be reached.
    """
    home = os.environ.get("DAGSTER_HOME", "")
    if not home:
        raise ConfigurationError(
            "DAGSTER_HOME is not set, so there is no storage to look into: with the demo's state, "
            "first run  set -a; . .demo/env; set +a"
        )
    if not Path(home).is_dir():
        raise ConfigurationError(f"DAGSTER_HOME is {home}, where there is no folder")
    # Each of its attempts to connect is a warning of Dagster's; what came of them is one error of ours.
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        _ask_the_database(Path(home))
        with DagsterInstance.get() as instance:
            yield instance
    except _storage_errors() as error:
        raise ConfigurationError(
            f"Dagster's storage, as {home}/dagster.yaml names it, cannot be used: {_told(error)}"
        ) from error
    finally:
        logging.root.setLevel(level)


def _ask_the_database(home: Path) -> None:
    """Connect once: Dagster's own storage tries for eleven seconds before it says that nobody answers.

    Raises:
        SQLAlchemyError: It cannot be connected to.
    """
    url, settings = os.environ.get(_POSTGRES_URL, ""), home / "dagster.yaml"
    if not url or not settings.is_file() or _POSTGRES_URL.encode() not in settings.read_bytes():
        return
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_S})
    with engine.connect():
        pass


def find_runs(instance: DagsterInstance, query: RunQuery) -> list[RunRecord]:
    """The runs that are asked for, newest first.

    Raises:
        ConfigurationError: There is no run with that id, or several whose ids begin so.
    """
    if query.run_id is not None:
        return list(instance.get_run_records(RunsFilter(run_ids=[_full_id(instance, query.run_id)])))
    statuses = [DagsterRunStatus.FAILURE] if query.failed else []
    if query.pipeline is None and query.environment is None:
        return list(instance.get_run_records(RunsFilter(statuses=statuses), limit=query.limit))
    found: list[RunRecord] = []
    known = {value for _, values in instance.get_run_tags(tag_keys=[names.PIPELINE_TAG]) for value in values}
    wanted = sorted(value for value in known if _is_wanted(value, query))
    if wanted:
        tagged = RunsFilter(tags={names.PIPELINE_TAG: wanted}, statuses=statuses)
        found += instance.get_run_records(tagged, limit=query.limit)
    found += _started_by_hand(instance, query, statuses)
    return sorted(found, key=lambda record: record.storage_id, reverse=True)[: query.limit]


def events_of(instance: DagsterInstance, run_ids: Sequence[str]) -> dict[str, list[EventLogEntry]]:
    """By run, its events of ``EVENT_TYPES`` in their order."""
    events: dict[str, list[EventLogEntry]] = {run_id: [] for run_id in run_ids}
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage) or storage.is_run_sharded:
        for run_id in run_ids:
            records = instance.get_records_for_run(run_id, of_type=set(EVENT_TYPES)).records
            events[run_id] = [record.event_log_entry for record in records]
        return events
    # The public interface asks for one run at a time, each on a connection of its own.
    table = SqlEventLogStorageTable.c
    statement = (
        select(table.run_id, table.event)
        .where(table.run_id.in_(run_ids), table.dagster_event_type.in_([kind.value for kind in EVENT_TYPES]))
        .order_by(table.id)
    )
    with storage.index_connection() as connection:
        for run_id, text in connection.execute(statement):
            events[run_id].append(deserialize_value(text, EventLogEntry))
    return events


def pipeline_of(run: DagsterRun) -> str | None:
    """``realtime/production``: by the run's tag, or by the assets it was started for; None where by neither."""
    tag = run.tags.get(names.PIPELINE_TAG)
    if tag is not None:
        return tag
    selected = sorted(run.asset_selection or ())
    return next((pipeline for pipeline in map(pipeline_of_asset, selected) if pipeline), None)


def pipeline_of_asset(key: AssetKey) -> str | None:
    """The pipeline that makes an asset; None for what the vendor makes."""
    parts = key.path
    return names.pipeline_name(parts[0], parts[1]) if len(parts) == 3 and parts[0] in ("schedule", "realtime") else None


def _started_by_hand(
    instance: DagsterInstance, query: RunQuery, statuses: list[DagsterRunStatus]
) -> Iterator[RunRecord]:
    """Runs without our tag, of which only the assets tell the pipeline."""
    given, cursor = 0, None
    while given < query.limit:
        page = instance.get_run_records(RunsFilter(job_name=_ASSET_JOB, statuses=statuses), limit=_PAGE, cursor=cursor)
        for record in page:
            if names.PIPELINE_TAG not in record.dagster_run.tags:
                pipeline = pipeline_of(record.dagster_run)
                if pipeline is not None and _is_wanted(pipeline, query):
                    given += 1
                    yield record
        if len(page) < _PAGE:
            return
        cursor = page[-1].dagster_run.run_id


def _is_wanted(pipeline: str, query: RunQuery) -> bool:
    kind, _, environment = pipeline.partition("/")
    return query.pipeline in (None, kind) and query.environment in (None, environment)


def _full_id(instance: DagsterInstance, run_id: str) -> str:
    if len(run_id) >= _FULL_ID_LENGTH:
        found = [run_id] if instance.has_run(run_id) else []
    else:
        newest = instance.run_storage.get_run_ids(limit=_SEARCHED_FOR_PREFIX)
        found = [one for one in newest if one.startswith(run_id)]
    if not found:
        searched = "" if len(run_id) >= _FULL_ID_LENGTH else f" among the newest {_SEARCHED_FOR_PREFIX:,}"
        raise ConfigurationError(f"--run {run_id}: there is no such run{searched}")
    if len(found) > 1:
        raise ConfigurationError(
            f"--run {run_id}: {len(found)} runs begin so, {found[0]} and {found[1]} are two of them"
        )
    return found[0]


def _storage_errors() -> tuple[type[Exception], ...]:
    """What Dagster raises for settings and storages that it cannot use: what its modules raise, unwrapped."""
    from dagster_postgres.utils import DagsterPostgresException
    from dagster_shared.check import CheckError

    unusable = (CheckError, YAMLError, UnicodeDecodeError, ImportError, OSError)
    return DagsterError, DagsterPostgresException, SQLAlchemyError, *unusable


def _told(error: BaseException) -> str:
    """The innermost reason, in one line. Drivers name host, port and user, and never a password."""
    missing = _MISSING_VARIABLE.search(str(error))
    if missing is not None:
        return f"the environment variable {missing[1]} is not set"
    while not isinstance(error, SQLAlchemyError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, DagsterInvalidConfigError):
        return error.errors[0].message[:_LONGEST_REASON]
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem or error.context} in line {error.problem_mark.line + 1}"
    reason = getattr(error, "orig", None) or error
    return next((line.strip() for line in str(reason).splitlines() if line.strip()), type(reason).__name__)
