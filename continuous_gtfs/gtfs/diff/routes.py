"""Routes added, removed and changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from continuous_gtfs.gtfs.diff.files import Pair
from continuous_gtfs.gtfs.diff.hashing import Rows
from continuous_gtfs.gtfs.diff.report import Listed, RoutesDiff, RowChange
from continuous_gtfs.gtfs.diff.tables import RowMatch, Table

_NAMES = ("route_id", "route_short_name", "route_long_name")


def routes_diff(pair: Pair, match: RowMatch | None, sample: int) -> RoutesDiff:
    """What became of the routes.

    Args:
        match: The rows of routes.txt; None where one of the feeds has none, or both have the same.
    """
    if not pair.is_table:
        return RoutesDiff(could_not_tell=pair.could_not_tell)
    if match is None:
        return (
            RoutesDiff()
            if pair.is_equal
            else RoutesDiff(added=_all(pair.after, sample), removed=_all(pair.before, sample))
        )
    return RoutesDiff(
        added=_listed(pair.after, match.added, sample),
        removed=_listed(pair.before, match.removed, sample),
        changed=_changed(pair, match, sample),
    )


def _all(table: Table | None, sample: int) -> Listed:
    return _listed(table, np.arange(len(table) if table is not None else 0), sample)


def _listed(table: Table | None, rows: Rows, sample: int) -> Listed:
    records = table.records(rows[:sample]) if table is not None else []
    return Listed(count=len(rows), sample=tuple(_names(record) for record in records))


def _changed(pair: Pair, match: RowMatch, sample: int) -> Listed:
    if pair.before is None or pair.after is None:
        return Listed()
    old = pair.before.records(match.changed_before[:sample])
    new = pair.after.records(match.changed_after[:sample])
    told = []
    for was, now in zip(old, new, strict=True):
        cells = RowChange(key={}, before=was, after=now).cells
        told.append({**_names(now), "cells": {name: {"before": b, "after": a} for name, (b, a) in cells.items()}})
    return Listed(count=len(match.changed_before), sample=tuple(told))


def _names(record: Mapping[str, str]) -> Mapping[str, Any]:
    return {name: record[name] for name in _NAMES if name in record}
