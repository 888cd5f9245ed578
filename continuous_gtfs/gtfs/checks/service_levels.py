"""How much service a feed has: rows, and trips that run on each date. What the checks of coverage and size compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.service import service_dates


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLevels:
    """One feed from one service date on.

    Attributes:
        stop_times: Rows of stop_times.txt.
        trips: Rows of trips.txt.
        trips_on: Trips that run on each of the dates asked for, in order, 0 included.
    """

    stop_times: int
    trips: int
    trips_on: Mapping[date, int]


def service_levels(feed: Feed, dates: Sequence[date]) -> ServiceLevels:
    """Count what runs; a trip repeated by frequencies.txt counts once.

    Raises:
        FeedStructureError: trips.txt or the calendars cannot be read: see ``service_dates``.
    """
    trips_of: Counter[str] = Counter()
    trips = 0
    if feed.has_column("trips.txt", "service_id"):
        keys = feed.keys("trips.txt", "service_id")
        trips = len(keys)
        counts = np.bincount(keys.codes, minlength=len(keys.values)).tolist()
        trips_of.update(dict(zip(keys.values, counts, strict=True)))
    trips_on = dict.fromkeys(dates, 0)
    for service_id, running in service_dates(feed).items():
        for day in running & trips_on.keys():
            trips_on[day] += trips_of[service_id]
    stop_times = feed.row_counts()["stop_times.txt"] if "stop_times.txt" in feed else 0
    return ServiceLevels(stop_times=stop_times, trips=trips, trips_on=trips_on)


def dates_from(first: date, days: int) -> tuple[date, ...]:
    """``days`` dates in a row."""
    return tuple(first + timedelta(days=offset) for offset in range(days))
