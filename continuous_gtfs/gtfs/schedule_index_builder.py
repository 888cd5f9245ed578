"""Building the schedule index of a feed. What it is for: ``schedule_index``; how it is laid out: ``index_sections``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import orjson

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.index_sections import ids_sections, numbers_section, pack
from continuous_gtfs.gtfs.keys import Keys
from continuous_gtfs.gtfs.raw_table import RawTable
from continuous_gtfs.gtfs.schedule_index import NOTHING, RepeatedTrip, Window
from continuous_gtfs.gtfs.service import agency_timezone, service_dates
from continuous_gtfs.gtfs.times import time_of_day_s

Span = tuple[int, int]


def build_schedule_index(feed: Feed) -> bytes:
    """The index of a feed; the same feed gives the same bytes.

    A time that cannot be read counts as blank: it is the validator's to judge, and a trip's other stops still
    bound it. A trip of frequencies.txt is under way, in each of its windows, from the first start to the end of the
    last run, however many vehicles run it. A trip without an id is left out: nothing can refer to it.

    Raises:
        FeedStructureError: A file that the index is made of is missing, unreadable, or names no timezone.
    """
    trips = _trips(feed)
    bounds = _bounds_by_trip(feed)
    repeated = {trip_id: trip for trip_id, trip in _repeated_trips(feed, bounds).items() if trip_id in trips}
    spans = {trip_id: _merged(trip) for trip_id, trip in repeated.items()}
    dates = service_dates(feed)
    service_ids = sorted({service_id for _, service_id, _ in trips.values()} | dates.keys())
    route_ids = sorted({route_id for route_id, _, _ in trips.values()})
    every_day = [day for days in dates.values() for day in days]
    first, last = min(every_day, default=None), max(every_day, default=None)
    whole = {trip_id: (min(s for s, _ in several), max(e for _, e in several)) for trip_id, several in spans.items()}
    limits = [whole.get(trip_id) or bounds.get(trip_id) or (NOTHING, NOTHING) for trip_id in trips]
    profiles, profile_sizes = _profiles(
        service_ids,
        (
            (trips[trip_id][1], span)
            for trip_id, limit in zip(trips, limits, strict=True)
            if limit[1] != NOTHING
            for span in spans.get(trip_id, [limit])
        ),
    )
    facts = {
        "timezone": agency_timezone(feed),
        "feed_version": _feed_version(feed),
        "first_date": first and first.isoformat(),
        "last_date": last and last.isoformat(),
        "longest_day_s": max((end for _, end in limits if end != NOTHING), default=0),
        "route_ids": route_ids,
        "service_ids": service_ids,
        "service_days": [_mask(dates.get(service_id), first) for service_id in service_ids],
        "profile_sizes": profile_sizes,
    }
    stop_ids = set(_columns(feed, "stops.txt", "stop_id")["stop_id"]) if "stops.txt" in feed else set()
    return pack(
        facts,
        {
            "profiles": profiles,
            **ids_sections("trip_ids", trips),
            **ids_sections("stop_ids", sorted(stop_ids - {""})),
            "trip_routes": _positions((route_id for route_id, _, _ in trips.values()), route_ids),
            "trip_services": _positions((service_id for _, service_id, _ in trips.values()), service_ids),
            "trip_starts": numbers_section(start for start, _ in limits),
            "trip_ends": numbers_section(end for _, end in limits),
            "trip_directions": numbers_section(direction for _, _, direction in trips.values()),
            "frequencies": orjson.dumps({trip_id: _plain(repeated[trip_id]) for trip_id in sorted(repeated)}),
        },
    )


def _trips(feed: Feed) -> dict[str, tuple[str, str, int]]:
    """Route, service and direction by trip_id, sorted; of a trip_id that is there twice, the last row."""
    needed = ("trip_id", "route_id", "service_id")
    has_direction = "trips.txt" in feed and feed.has_column("trips.txt", "direction_id")
    columns = _columns(feed, "trips.txt", *needed, *(["direction_id"] if has_direction else []))
    directions = columns.get("direction_id", [""] * len(columns["trip_id"]))
    rows = {
        trip_id: (route_id, service_id, int(direction) if direction in ("0", "1") else NOTHING)
        for trip_id, route_id, service_id, direction in zip(
            *(columns[name] for name in needed), directions, strict=True
        )
        if trip_id
    }
    return {trip_id: rows[trip_id] for trip_id in sorted(rows)}


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


def _positions(values: Iterable[str], ordered: list[str]) -> bytes:
    position = {value: i for i, value in enumerate(ordered)}
    return numbers_section(position[value] for value in values)


def _mask(days: frozenset[date] | None, first: date | None) -> str | None:
    """Days as the bits of a hexadecimal number; None for a service that is in no calendar."""
    if days is None or first is None:
        return None if days is None else "0"
    return f"{sum(1 << (day - first).days for day in days):x}"


def _profiles(service_ids: list[str], spans: Iterable[tuple[str, Span]]) -> tuple[bytes, list[Span]]:
    """By service, at which seconds trips begin and how many have by then; the same of ends."""
    starts: dict[str, Counter[int]] = {service_id: Counter() for service_id in service_ids}
    ends: dict[str, Counter[int]] = {service_id: Counter() for service_id in service_ids}
    for service_id, (start, end) in spans:
        starts[service_id][start] += 1
        ends[service_id][end] += 1
    numbers: list[int] = []
    for service_id in service_ids:
        for counts in (starts[service_id], ends[service_id]):
            seconds = sorted(counts)
            numbers += seconds
            numbers += accumulate(counts[second] for second in seconds)
    return numbers_section(numbers), [(len(starts[one]), len(ends[one])) for one in service_ids]


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
    last = np.full(len(trips.values), NOTHING)
    for column in ("arrival_time", "departure_time"):
        seconds = _seconds(table.keys(column))
        has_time = seconds != NOTHING
        np.minimum.at(first, trips.codes[has_time], seconds[has_time])
        np.maximum.at(last, trips.codes[has_time], seconds[has_time])
    return {
        trip_id: (start, end)
        for trip_id, start, end in zip(trips.values, first.tolist(), last.tolist(), strict=True)
        if end != NOTHING
    }


def _seconds(column: Keys) -> npt.NDArray[np.int64]:
    seconds = [time_of_day_s(value) for value in column.values]
    distinct = np.array([NOTHING if second is None else second for second in seconds], dtype=np.int64)
    return distinct[column.codes] if len(distinct) else np.empty(0, dtype=np.int64)


def _repeated_trips(feed: Feed, bounds: Mapping[str, Span]) -> dict[str, RepeatedTrip]:
    """Where a trip repeats, stop_times.txt gives its length only: frequencies.txt says when it runs."""
    if "frequencies.txt" not in feed:
        return {}
    has_exact = feed.has_column("frequencies.txt", "exact_times")
    needed = ("trip_id", "start_time", "end_time", "headway_secs")
    rows = _columns(feed, "frequencies.txt", *needed, *(["exact_times"] if has_exact else []))
    exact = rows.get("exact_times", [""] * len(rows["trip_id"]))
    windows: dict[str, list[Window]] = {}
    for trip_id, start, end, headway, is_exact in zip(*(rows[name] for name in needed), exact, strict=True):
        start_s, end_s = time_of_day_s(start), time_of_day_s(end)
        if trip_id in bounds and start_s is not None and end_s is not None and end_s >= start_s:
            headway_s = int(headway) if headway.isascii() and headway.isdigit() else 0
            # Without a headway it cannot be told when its runs start.
            window = Window(start_s, end_s, headway_s, is_exact == "1" and headway_s > 0)
            windows.setdefault(trip_id, []).append(window)
    return {
        trip_id: RepeatedTrip(bounds[trip_id][1] - bounds[trip_id][0], tuple(sorted(several)))
        for trip_id, several in windows.items()
    }


def _plain(trip: RepeatedTrip) -> list[object]:
    return [trip.length_s, [list(window) for window in trip.windows]]


def _merged(trip: RepeatedTrip) -> list[Span]:
    """When a repeated trip is under way: its windows with the last run of each, those that overlap as one."""
    merged: list[Span] = []
    for window in trip.windows:
        end = window.end_s + trip.length_s
        if merged and window.start_s <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((window.start_s, end))
    return merged
