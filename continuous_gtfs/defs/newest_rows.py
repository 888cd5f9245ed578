"""The newest rows of each of several sensors or checks, by one look-up in an index each.

Dagster's own queries for many at once rank or group the whole history of all of them: a quarter of a second for 40,000
ticks, every half minute. What the rows mean is not here (``alerting_facts``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dagster import AssetCheckKey
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickData
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.schedules.base import ScheduleStorage
from dagster._core.storage.schedules.schema import JobTickTable
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from dagster._core.storage.sqlalchemy_compat import db_fetch_mappings
from dagster._serdes import deserialize_value
from sqlalchemy import Select, select, union_all
from sqlalchemy.engine import Connection

# A statement has a part for each of so many.
_A_STATEMENT = 50


def newest_ticks_of(
    storage: ScheduleStorage, states: Mapping[str, InstigatorState], *, limit: int
) -> dict[str, list[InstigatorTick]]:
    """By selector, the newest ticks of each, at most ``limit``, the newest first."""
    if not isinstance(storage, SqlScheduleStorage):
        return {i: list(storage.get_ticks(s.instigator_origin_id, i, limit=limit)) for i, s in states.items()}
    table = JobTickTable.c
    parts = [
        select(table.id, table.selector_id, table.tick_body)
        .where(table.selector_id == selector)
        .order_by(table.timestamp.desc(), table.id.desc())
        .limit(limit)
        for selector in states
    ]
    found: dict[str, list[InstigatorTick]] = {}
    with storage.connect() as connection:
        for row in _rows(connection, parts):
            tick = InstigatorTick(row["id"], deserialize_value(row["tick_body"], TickData))
            found.setdefault(row["selector_id"], []).append(tick)
    return {selector: sorted(ticks, key=lambda tick: -tick.timestamp) for selector, ticks in found.items()}


def newest_results_of(
    storage: SqlEventLogStorage, checks: Collection[AssetCheckKey]
) -> dict[AssetCheckKey, AssetCheckExecutionRecord]:
    """By check, its newest execution; none where it never ran."""
    table = AssetCheckExecutionsTable.c
    columns = (
        *(table.id, table.asset_key, table.check_name, table.run_id, table.execution_status),
        *(table.evaluation_event, table.create_timestamp, table.partition),
    )
    by_name = {(key.asset_key.to_string(), key.name): key for key in checks}
    parts = [
        select(*columns).where(table.asset_key == asset, table.check_name == name).order_by(table.id.desc()).limit(1)
        for asset, name in by_name
    ]
    found = {}
    with storage.index_connection() as connection:
        for row in _rows(connection, parts):
            key = by_name[row["asset_key"], row["check_name"]]
            found[key] = AssetCheckExecutionRecord.from_db_row(row, key=key)
    return found


def _rows(connection: Connection, parts: Sequence[Select[Any]]) -> list[Any]:
    found: list[Any] = []
    for first in range(0, len(parts), _A_STATEMENT):
        # SQLite takes no limit in a part of a union but in one that is wrapped.
        wrapped = [select(part.subquery()) for part in parts[first : first + _A_STATEMENT]]
        found += db_fetch_mappings(connection, union_all(*wrapped))
    return found
