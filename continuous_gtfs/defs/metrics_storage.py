"""Metrics of what is so now in Dagster's storage: a few queries, however long the history is.

Not here: what is counted from one reading to the next (``metrics_totals``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from sqlalchemy import and_, func, select

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.defs.alerting import Memory
from continuous_gtfs.defs.cursor import Cursor
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.metrics import catalogue as metrics
from continuous_gtfs.metrics.samples import Sample, sample
from continuous_gtfs.pims.catalog import FeedKind

_KINDS = {FeedKind.SCHEDULE: "schedule", FeedKind.REALTIME: "realtime"}


@dataclass(frozen=True, slots=True)
class Places:
    """Which agency an environment belongs to; blank for one that none of those declares that are looked after here."""

    agencies: Sequence[Agency]

    def labels(self, pipeline: str) -> tuple[str, str, str]:
        """Agency, environment and pipeline of a pipeline tag, ``realtime/production``, or of a job's name."""
        kind, _, environment = pipeline.partition("/")
        return self.agency_of(environment), environment, kind

    def agency_of(self, environment: str) -> str:
        return next((one.name for one in self.agencies if environment in one.environments), "")

    def polled(self) -> Iterator[tuple[str, str, str, list[str]]]:
        """Sensor, agency, environment, feeds: of everything that is fetched."""
        for agency in self.agencies:
            for environment in agency.environments:
                for kind, pipeline in _KINDS.items():
                    feeds = [source.feed for source in agency.sources(environment, kind)]
                    if feeds:
                        yield names.sensor_name(pipeline, environment), agency.name, environment, feeds


def storage_samples(
    instance: DagsterInstance, places: Places, states: Mapping[str, InstigatorState]
) -> Iterator[Sample]:
    """All of them.

    Args:
        states: Of the sensors and schedules, by selector.
    """
    yield from _heartbeats(instance)
    yield from _in_flight(instance, places)
    yield from _pools(instance)
    by_name = {state.instigator_name: state for state in states.values()}
    for name, state in by_name.items():
        is_running = state.status is not InstigatorStatus.STOPPED
        yield sample(metrics.RUNNING, name, state.instigator_type.value.lower(), value=is_running)
    for sensor, agency, environment, feeds in places.polled():
        if sensor in by_name:
            yield from _fetches(_cursor_of(by_name[sensor]), (agency, environment), feeds)
    yield from _alerts(by_name)


def _heartbeats(instance: DagsterInstance) -> Iterator[Sample]:
    heartbeats = instance.get_daemon_heartbeats()
    for kind in sorted(instance.get_required_daemon_types()):
        beat = heartbeats.get(kind)
        # One that never began is to be found by the same rule as one that has ended.
        yield sample(metrics.HEARTBEAT, kind, value=0.0 if beat is None else beat.timestamp)


def _in_flight(instance: DagsterInstance, places: Places) -> Iterator[Sample]:
    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        return
    runs, tags = RunsTable.c, RunTagsTable.c
    is_tag = and_(tags.run_id == runs.run_id, tags.key == names.PIPELINE_TAG)
    pipeline = func.coalesce(tags.value, runs.pipeline_name)
    statement = (
        select(pipeline, runs.status, func.count(), func.min(runs.create_timestamp))
        .select_from(RunsTable.outerjoin(RunTagsTable, is_tag))
        .where(runs.status.in_([status.value for status in NOT_FINISHED_STATUSES]))
        .group_by(pipeline, runs.status)
    )
    with storage.connect() as connection:
        rows = connection.execute(statement).all()
    for name, status, count, _ in rows:
        yield sample(metrics.IN_FLIGHT, *places.labels(name), status.lower(), value=count)
    if rows:
        # Dagster keeps these moments in UTC without saying so.
        oldest = min(created.replace(tzinfo=created.tzinfo or UTC) for _, _, _, created in rows)
        yield sample(metrics.OLDEST_IN_FLIGHT, value=oldest.timestamp())


def _pools(instance: DagsterInstance) -> Iterator[Sample]:
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    for pool, info in sorted(storage.get_concurrency_infos(sorted(storage.get_concurrency_keys())).items()):
        yield sample(metrics.POOL_SLOTS, pool, value=info.slot_count)
        yield sample(metrics.POOL_USED, pool, value=len(info.claimed_slots))
        yield sample(metrics.POOL_WAITING, pool, value=info.pending_step_count)


def _cursor_of(state: InstigatorState) -> str | None:
    return getattr(state.instigator_data, "cursor", None)


def _fetches(text: str | None, place: tuple[str, str], feeds: Sequence[str]) -> Iterator[Sample]:
    try:
        cursor = Cursor.from_json(text, feeds)
    except ConfigurationError:
        # Its sensor says so, by failing.
        return
    for feed, memory in cursor.feeds.items():
        for outcome, count in sorted(memory.outcomes.items()):
            kind, _, reason = outcome.partition(":")
            yield sample(metrics.FETCHES, *place, feed, kind, reason, value=count)
        yield sample(metrics.FAILURES_IN_ROW, *place, feed, value=memory.failures_in_row)
        if memory.moved_to is not None:
            yield sample(metrics.UNMOVED, *place, feed, value=memory.unmoved)


def _alerts(states: Mapping[str, InstigatorState]) -> Iterator[Sample]:
    is_kept = [s for n, s in states.items() if s.instigator_type is InstigatorType.SENSOR and names.is_alerts_sensor(n)]
    memories = [Memory.from_json(_cursor_of(state)) for state in is_kept]
    if not memories:
        return
    severities = [one.problem.severity.value for memory in memories for one in memory.ledger.open.values()]
    for severity in ("warning", "error"):
        yield sample(metrics.ALERTS_OPEN, severity, value=severities.count(severity))
    waiting: dict[str, int] = {}
    for memory in memories:
        for destination, queue in memory.outbox.queues.items():
            waiting[destination] = waiting.get(destination, 0) + len(queue.waiting)
    for destination, count in sorted(waiting.items()):
        yield sample(metrics.ALERTS_WAITING, destination, value=count)
