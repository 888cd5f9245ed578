"""Dagster's storage of what sensors did, for a clock that may be set back.

The daemon leaves a sensor alone until its last tick is old enough. A tick from before the clock was set back by an hour
lies an hour ahead: Dagster would not ask the sensor for that hour, and nothing would say so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster_postgres import PostgresScheduleStorage

# The clocks of two machines differ by less.
AHEAD_BY_S = 5.0


class ScheduleStorage(PostgresScheduleStorage):
    """Dagster's own, but a sensor's tick that lies ahead of the clock is read as if there had been none."""

    def all_instigator_state(
        self,
        repository_origin_id: str | None = None,
        repository_selector_id: str | None = None,
        instigator_type: InstigatorType | None = None,
        instigator_statuses: set[InstigatorStatus] | None = None,
    ) -> Sequence[InstigatorState]:
        states = super().all_instigator_state(
            repository_origin_id, repository_selector_id, instigator_type, instigator_statuses
        )
        return [_without_what_lies_ahead(state) for state in states]

    def get_instigator_state(self, origin_id: str, selector_id: str) -> InstigatorState | None:
        state = super().get_instigator_state(origin_id, selector_id)
        return state and _without_what_lies_ahead(state)


def _without_what_lies_ahead(state: InstigatorState) -> InstigatorState:
    data = state.instigator_data
    if not isinstance(data, SensorInstigatorData):
        return state
    latest = time.time() + AHEAD_BY_S
    if max(data.last_tick_timestamp or 0.0, data.last_tick_start_timestamp or 0.0) <= latest:
        return state
    # Both, since the later one counts; the next tick writes them anew.
    return state.with_data(data._replace(last_tick_timestamp=None, last_tick_start_timestamp=None))
