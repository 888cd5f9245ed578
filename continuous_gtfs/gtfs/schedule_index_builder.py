"""Building the schedule index of a feed, and the form in which it is written. What it is for: ``schedule_index``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from zlib_ng import zlib_ng

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.keys import Keys
from continuous_gtfs.gtfs.raw_table import RawTable
from continuous_gtfs.gtfs.schedule_index import FORM
from continuous_gtfs.gtfs.service import agency_timezone, service_dates
from continuous_gtfs.gtfs.times import time_of_day_s

_GZIP_WINDOW = zlib_ng.MAX_WBITS + 16
_LEVEL = 6
_NO_TIME = -1


def build_schedule_index(feed: Feed) -> bytes:
    """The index of a feed, gzipped JSON; the same feed gives the same bytes.

    A time that cannot be read counts as blank: it is the validator's to judge, and a trip's other stops still
    bound it. A trip of frequencies.txt is under way from its first departure to the end of its last run,
    however many vehicles run it.

    Raises:
        FeedStructureError: A file that the index is made of is missing, unreadable, or names no timezone.
    """
    trips = _columns(feed, "trips.txt", "trip_id", "route_id", "service_id")
    bounds = _bounds_by_trip(feed)
    _extend_by_frequencies(feed, bounds)
    dates = service_dates(feed)
    route_ids = sorted(set(trips["route_id"]))
    service_ids = sorted(set(trips["service_id"]))
    first = min((day for days in dates.values() for day in days), default=date(1970, 1, 1))
    order = sorted(range(len(trips["trip_id"])), key=trips["trip_id"].__getitem__)
    ids = [trips["trip_id"][i] for i in order]
    limits = [bounds.get(trip_id, (None, None)) for trip_id in ids]
    document = {
        "form": FORM,
        "timezone": agency_timezone(feed),
        "feed_version": _feed_version(feed),
        "route_ids": route_ids,
        "service_ids": service_ids,
        "trips": {
            "trip_id": ids,
            "route": _positions((trips["route_id"][i] for i in order), route_ids),
            "service": _positions((trips["service_id"][i] for i in order), service_ids),
            "start_s": [start for start, _ in limits],
            "end_s": [end for _, end in limits],
        },
        "stop_ids": sorted(set(_columns(feed, "stops.txt", "stop_id")["stop_id"])) if "stops.txt" in feed else [],
        "first_date": first.isoformat(),
        "service_days": {
            service_id: sorted((day - first).days for day in dates[service_id]) for service_id in sorted(dates)
        },
    }
    # A gzip stream made this way has no name and no timestamp.
    packer = zlib_ng.compressobj(_LEVEL, zlib_ng.DEFLATED, _GZIP_WINDOW)
    return packer.compress(orjson.dumps(document)) + packer.flush()


def _table(feed: Feed, file: str, columns: Iterable[str]) -> RawTable:
    table = feed.raw(file)
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise FeedStructureError(f"{file} has no column {', '.join(absent)}")
    table.load(columns)
    return table


def _columns(feed: Feed, file: str, *columns: str) -> dict[str, list[str]]:
    """Columns as lists, surrounding spaces taken off, as every reader of ids does."""
    table = _table(feed, file, columns)
    return {name: table.keys(name).texts() for name in columns}


def _positions(values: Iterable[str], ordered: list[str]) -> list[int]:
    position = {value: i for i, value in enumerate(ordered)}
    return [position[value] for value in values]


def _feed_version(feed: Feed) -> str:
    if "feed_info.txt" not in feed:
        return ""
    values = (
        feed.keys("feed_info.txt", "feed_version").texts() if feed.has_column("feed_info.txt", "feed_version") else []
    )
    return values[0] if values else ""


def _bounds_by_trip(feed: Feed) -> dict[str, tuple[int, int]]:
    """First and last time of each trip that has any; each distinct id and time is looked at once."""
    table = _table(feed, "stop_times.txt", ("trip_id", "arrival_time", "departure_time"))
    trips = table.keys("trip_id")
    first = np.full(len(trips.values), np.iinfo(np.int64).max)
    last = np.full(len(trips.values), _NO_TIME)
    for column in ("arrival_time", "departure_time"):
        seconds = _seconds(table.keys(column))
        has_time = seconds != _NO_TIME
        np.minimum.at(first, trips.codes[has_time], seconds[has_time])
        np.maximum.at(last, trips.codes[has_time], seconds[has_time])
    return {
        trip_id: (start, end)
        for trip_id, start, end in zip(trips.values, first.tolist(), last.tolist(), strict=True)
        if end != _NO_TIME
    }


def _seconds(column: Keys) -> npt.NDArray[np.int64]:
    seconds = [time_of_day_s(value) for value in column.values]
    distinct = np.array([_NO_TIME if second is None else second for second in seconds], dtype=np.int64)
    return distinct[column.codes] if len(distinct) else np.empty(0, dtype=np.int64)


def _extend_by_frequencies(feed: Feed, bounds: dict[str, tuple[int, int]]) -> None:
    """Where a trip repeats, stop_times.txt gives its length only: frequencies.txt says when it runs."""
    if "frequencies.txt" not in feed:
        return
    rows: dict[str, Any] = _columns(feed, "frequencies.txt", "trip_id", "start_time", "end_time")
    spans: dict[str, list[tuple[int, int]]] = {}
    for trip_id, start, end in zip(rows["trip_id"], rows["start_time"], rows["end_time"], strict=True):
        start_s, end_s = time_of_day_s(start), time_of_day_s(end)
        if trip_id in bounds and start_s is not None and end_s is not None:
            spans.setdefault(trip_id, []).append((start_s, end_s))
    for trip_id, span in spans.items():
        length = bounds[trip_id][1] - bounds[trip_id][0]
        bounds[trip_id] = (min(start for start, _ in span), max(end for _, end in span) + length)
