"""Stops added, removed, moved and renamed, and where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import asin, cos, isfinite, radians, sin, sqrt
from typing import Any

import numpy as np

from continuous_gtfs.gtfs.diff.files import Pair
from continuous_gtfs.gtfs.diff.hashing import Rows
from continuous_gtfs.gtfs.diff.report import Listed, Place, StopPlaces, StopsDiff
from continuous_gtfs.gtfs.diff.tables import RowMatch, Table

MOVED_FROM_M = 0.5
"""Below that it is the same place written with fewer digits."""

_EARTH_RADIUS_M = 6_371_008.8
_COLUMNS = ("stop_id", "stop_name", "stop_lon", "stop_lat")

Row = Mapping[str, str]


def distance_m(one: Place, other: Place) -> float:
    """Metres between two places on a sphere (haversine)."""
    (lon_1, lat_1), (lon_2, lat_2) = (tuple(map(radians, place)) for place in (one, other))
    half = sin((lat_2 - lat_1) / 2) ** 2 + cos(lat_1) * cos(lat_2) * sin((lon_2 - lon_1) / 2) ** 2
    return 2 * _EARTH_RADIUS_M * asin(min(1.0, sqrt(half)))


def stops_diff(pair: Pair, match: RowMatch | None, sample: int) -> StopsDiff:
    """What became of the stops.

    Args:
        match: The rows of stops.txt; None where one of the feeds has none.
    """
    if not pair.is_table:
        return StopsDiff(could_not_tell=pair.could_not_tell)
    if match is None:
        everywhere = StopPlaces(
            added=_places(_rows(pair.after)) if not pair.is_equal else (),
            removed=_places(_rows(pair.before)) if not pair.is_equal else (),
        )
        if pair.is_equal:
            return StopsDiff(places=StopPlaces(kept=_places(_rows(pair.after))))
        return StopsDiff(
            added=_named(_rows(pair.after), sample), removed=_named(_rows(pair.before), sample), places=everywhere
        )
    added, removed = _rows(pair.after, match.added), _rows(pair.before, match.removed)
    old, new = _rows(pair.before, match.changed_before), _rows(pair.after, match.changed_after)
    moved, renamed, places_moved, stayed = [], [], [], []
    for was, now in zip(old, new, strict=True):
        if was["stop_name"] != now["stop_name"]:
            renamed.append({"stop_id": now["stop_id"], "before": was["stop_name"], "after": now["stop_name"]})
        here, there = _place(was), _place(now)
        metres = distance_m(here, there) if here and there else 0.0
        if here and there and metres >= MOVED_FROM_M:
            moved.append({"stop_id": now["stop_id"], "stop_name": now["stop_name"], "metres": round(metres, 1)})
            places_moved.append((here, there))
        else:
            stayed.append(now)
    moved.sort(key=lambda one: (-float(str(one["metres"])), str(one["stop_id"])))
    untouched = _rows(pair.after, _rest(pair.after, match))
    return StopsDiff(
        added=_named(added, sample),
        removed=_named(removed, sample),
        changed=_named(new, sample),
        moved=Listed(count=len(moved), sample=tuple(moved[:sample])),
        renamed=Listed(count=len(renamed), sample=tuple(renamed[:sample])),
        places=StopPlaces(
            kept=_places([*untouched, *stayed]),
            added=_places(added),
            removed=_places(removed),
            moved=tuple(places_moved),
        ),
    )


def _rows(table: Table | None, rows: Rows | None = None) -> list[dict[str, str]]:
    if table is None:
        return []
    table.load(_COLUMNS)
    chosen = slice(None) if rows is None else rows
    columns = [table.keys(name).at(chosen).texts() for name in _COLUMNS]
    return [dict(zip(_COLUMNS, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _rest(table: Table | None, match: RowMatch) -> Rows:
    count = len(table) if table is not None else 0
    return np.setdiff1d(np.arange(count), np.concatenate([match.added, match.changed_after]))


def _named(rows: list[dict[str, str]], sample: int) -> Listed:
    some: list[Mapping[str, Any]] = [
        {"stop_id": row["stop_id"], "stop_name": row["stop_name"]} for row in rows[:sample]
    ]
    return Listed(count=len(rows), sample=tuple(some))


def _places(rows: Iterable[Row]) -> tuple[Place, ...]:
    return tuple(place for row in rows if (place := _place(row)) is not None)


def _place(row: Row) -> Place | None:
    """Where a stop lies; None where it does not say so, or lies on no map."""
    try:
        place = (float(row["stop_lon"]), float(row["stop_lat"]))
    except ValueError:
        return None
    return place if all(map(isfinite, place)) and abs(place[0]) <= 180 and abs(place[1]) <= 90 else None
