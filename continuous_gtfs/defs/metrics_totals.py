"""Metrics that count: read from Dagster's event log and ticks, from where the last reading ended.

The totals and the place up to which they count are kept in Dagster's own key-value table, so they go on after a
restart, are the same for an endpoint and for a textfile, and do not fall when the maintenance removes old runs. They
depend on nothing but the events: whoever goes on from an older place comes to the same. They go back, which Prometheus
takes for a reset, with a new or restored database. Not here: what is counted of a run (``metrics_runs``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from dagster import DagsterInstance, RunsFilter
from dagster._core.scheduler.instigation import InstigatorState
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.schedules.schema import JobTickTable
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from sqlalchemy import func, or_, select

from continuous_gtfs.defs.metrics_runs import ENDED, count_run
from continuous_gtfs.defs.metrics_storage import Places
from continuous_gtfs.defs.run_queries import events_of
from continuous_gtfs.metrics import catalogue as metrics
from continuous_gtfs.metrics.samples import SECONDS_KEPT, Totals

KEY = "continuous_gtfs/metrics"
SCHEMA = 1
KEPT_EVERY_S = 60.0
# The first look counts no more than this of what was before it.
FIRST_EVENTS, FIRST_TICKS = 10_000, 1_000
ROWS_A_LOOK, RUNS_A_BATCH, SECONDS_A_LOOK = 5_000, 20, 2.0
# Rows get their number before they can be seen: one that is younger may have a neighbour that is still to come.
SETTLED_AFTER_S = 3.0
# A tick that began so long ago, in seconds, and has no end died with its daemon.
TICK_ENDS_WITHIN_S = 3600.0
_MOST_TICKS_UNDER_WAY = 1_000
_TICK_STATUSES = ("success", "skipped", "failure")


@dataclass(slots=True, kw_only=True)
class State:
    """How far has been counted, and what it came to.

    Attributes:
        event_id: Of the last event that is counted.
        tick_id: Of the last tick that was seen.
        under_way: Ticks before it that had not ended, with the POSIX second at which they were seen first.
    """

    event_id: int
    tick_id: int
    under_way: dict[int, float] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)

    def to_json(self) -> str:
        return json.dumps(
            {
                "schema": SCHEMA,
                "event_id": self.event_id,
                "tick_id": self.tick_id,
                "under_way": list(self.under_way.items()),
                "totals": self.totals.to_list(),
            }
        )

    @classmethod
    def from_json(cls, text: str | None) -> State | None:
        """The state; None where there is none that this release reads."""
        try:
            found: Mapping[str, Any] = json.loads(text or "{}")
            if found.get("schema") != SCHEMA:
                return None
            under_way = {int(number): float(at) for number, at in found["under_way"]}
            totals = Totals.from_list(found["totals"])
            return cls(
                event_id=int(found["event_id"]), tick_id=int(found["tick_id"]), under_way=under_way, totals=totals
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


class Counting:
    """Counts on at each look; one for the life of a process."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._kept_id = 0
        self._kept_at = float("-inf")

    def look(
        self, instance: DagsterInstance, places: Places, states: Mapping[str, InstigatorState], *, now: float
    ) -> Totals:
        """The totals up to a moment ago; after a long pause perhaps not yet so far, in bounded time."""
        events, ticks = instance.event_log_storage, instance.schedule_storage
        if not isinstance(events, SqlEventLogStorage) or not isinstance(ticks, SqlScheduleStorage):
            return Totals()
        state, kept = self._state, _kept(instance)
        # What was kept is gone, or older: this is another database than before.
        if state is None or kept is None or kept.event_id < self._kept_id:
            state = kept or _first(events, ticks)
        before = (state.event_id, state.tick_id)
        _count_events(state, instance, events, places, now=now)
        _count_ticks(state, ticks, states, now=now)
        state.totals.forget(before=now - SECONDS_KEPT)
        if kept is None or (now - self._kept_at >= KEPT_EVERY_S and before != (state.event_id, state.tick_id)):
            # Where another process has counted further, its state stays.
            if kept is None or kept.event_id <= state.event_id:
                instance.run_storage.set_cursor_values({KEY: state.to_json()})
            self._kept_id, self._kept_at = state.event_id, now
        self._state = state
        return state.totals


def _first(events: SqlEventLogStorage, ticks: SqlScheduleStorage) -> State:
    newest_event, newest_tick = _newest(events, ticks)
    return State(event_id=max(newest_event - FIRST_EVENTS, 0), tick_id=max(newest_tick - FIRST_TICKS, 0))


def _newest(events: SqlEventLogStorage, ticks: SqlScheduleStorage) -> tuple[int, int]:
    with events.index_connection() as connection:
        newest_event = connection.execute(select(func.max(SqlEventLogStorageTable.c.id))).scalar()
    with ticks.connect() as connection:
        newest_tick = connection.execute(select(func.max(JobTickTable.c.id))).scalar()
    return newest_event or 0, newest_tick or 0


def _kept(instance: DagsterInstance) -> State | None:
    return State.from_json(instance.run_storage.get_cursor_values({KEY}).get(KEY))


def _count_events(
    state: State, instance: DagsterInstance, storage: SqlEventLogStorage, places: Places, *, now: float
) -> None:
    """Count the runs whose end lies after the last event counted."""
    stop_at, table = time.monotonic() + SECONDS_A_LOOK, SqlEventLogStorageTable.c
    while time.monotonic() < stop_at:
        statement = (
            select(table.id, table.run_id, table.dagster_event_type, table.timestamp)
            .where(table.id > state.event_id)
            .order_by(table.id)
            .limit(ROWS_A_LOOK)
        )
        with storage.index_connection() as connection:
            rows = connection.execute(statement).all()
        settled = 0
        for row in rows:
            # A clock that is ahead of this one must not hold everything up.
            if -60.0 < now - _posix(row.timestamp) < SETTLED_AFTER_S:
                break
            settled += 1
        ended = [(row.id, row.run_id) for row in rows[:settled] if row.dagster_event_type in ENDED]
        for first in range(0, len(ended), RUNS_A_BATCH):
            if time.monotonic() >= stop_at:
                return
            batch = ended[first : first + RUNS_A_BATCH]
            _count_runs(state.totals, instance, [run_id for _, run_id in batch], places)
            state.event_id = batch[-1][0]
        if settled:
            state.event_id = rows[settled - 1].id
        if settled < ROWS_A_LOOK:
            return


def _count_runs(totals: Totals, instance: DagsterInstance, run_ids: Sequence[str], places: Places) -> None:
    records = {one.dagster_run.run_id: one for one in instance.get_run_records(RunsFilter(run_ids=list(run_ids)))}
    events = events_of(instance, list(records)) if records else {}
    for run_id in run_ids:
        # A run that a person has deleted since is not counted.
        if run_id in records:
            count_run(totals, records[run_id], events[run_id], places)


def _count_ticks(
    state: State, storage: SqlScheduleStorage, states: Mapping[str, InstigatorState], *, now: float
) -> None:
    """Count the ticks that have ended since; a tick is written when it begins and again when it ends."""
    table = JobTickTable.c
    statement = (
        select(table.id, table.selector_id, table.status)
        .where(or_(table.id > state.tick_id, table.id.in_(list(state.under_way))))
        .order_by(table.id)
        .limit(ROWS_A_LOOK + _MOST_TICKS_UNDER_WAY)
    )
    with storage.connect() as connection:
        rows = connection.execute(statement).all()
    under_way: dict[int, float] = {}
    for number, selector, status in rows:
        if status == "STARTED":
            seen_at = state.under_way.get(number, now)
            if now - seen_at < TICK_ENDS_WITHIN_S and len(under_way) < _MOST_TICKS_UNDER_WAY:
                under_way[number] = seen_at
        elif selector in states:
            one = states[selector]
            labels = (one.instigator_name, one.instigator_type.value.lower())
            for each in _TICK_STATUSES:
                state.totals.count(metrics.TICKS, *labels, each, at=now, by=status.lower() == each)
        state.tick_id = max(state.tick_id, number)
    state.under_way = under_way


def _posix(stored: Any) -> float:
    """Dagster keeps moments in UTC without saying so."""
    return float(stored.replace(tzinfo=stored.tzinfo or UTC).timestamp())
