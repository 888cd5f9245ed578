"""ScheduleIndex: what realtime must know of a published schedule, loaded in milliseconds and without pandas.

Built once a version by ``schedule_index_builder``, which also writes the form that is read here.
"""

from __future__ import annotations

import gzip
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.times import DAY_S, service_day_start

FORM = 1
"""Number of the written form; a reader refuses another."""


class IndexedTrip(NamedTuple):
    """One trip. Times are seconds since the start of its service day and may pass 24 h.

    Attributes:
        start_s: First time at any stop; None where the feed gives the trip no time.
        end_s: Last time at any stop; with frequencies, the end of the last run.
    """

    route_id: str
    service_id: str
    start_s: int | None
    end_s: int | None


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Starts and ends of one service's trips, each sorted."""

    starts: list[int]
    ends: list[int]

    def running_at(self, second: int) -> int:
        """Trips begun and not over: those begun less those over, since none ends before it begins."""
        return bisect_right(self.starts, second) - bisect_left(self.ends, second)


@dataclass(frozen=True, slots=True)
class ScheduleIndex:
    """The trips, stops and service dates of one schedule version.

    Attributes:
        timezone: Of the agency; every time of the feed is in it.
        feed_version: From feed_info.txt; blank where the feed has none.
        trips: By trip_id.
        stop_ids: Of stops, stations and every other location.
        dates_by_service: The dates on which each service runs.
    """

    timezone: ZoneInfo
    feed_version: str
    trips: Mapping[str, IndexedTrip]
    stop_ids: frozenset[str]
    dates_by_service: Mapping[str, frozenset[date]]
    _bounds: Mapping[str, _Bounds]
    _longest_day_s: int

    @classmethod
    def from_bytes(cls, data: bytes) -> ScheduleIndex:
        """Read an index as ``schedule_index_builder`` writes it.

        Raises:
            FeedStructureError: Not an index, a damaged one, or one of another form.
        """
        try:
            document = orjson.loads(gzip.decompress(data))
            if document["form"] != FORM:
                raise FeedStructureError(
                    f"the schedule index has form {document['form']}, this version reads {FORM}: "
                    "publish the schedule again"
                )
            return cls._from_document(document)
        except (
            OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, IndexError, ZoneInfoNotFoundError,
        ) as error:  # fmt: skip
            raise FeedStructureError(
                f"not a schedule index ({len(data):,} bytes): {type(error).__name__}: {error}"
            ) from None

    @classmethod
    def _from_document(cls, document: Mapping[str, Any]) -> ScheduleIndex:
        routes, services = document["route_ids"], document["service_ids"]
        columns = document["trips"]
        trips = {
            trip_id: IndexedTrip(routes[route], services[service], start_s, end_s)
            for trip_id, route, service, start_s, end_s in zip(
                columns["trip_id"],
                columns["route"],
                columns["service"],
                columns["start_s"],
                columns["end_s"],
                strict=True,
            )
        }
        starts: dict[str, list[int]] = {}
        ends: dict[str, list[int]] = {}
        for trip in trips.values():
            if trip.start_s is not None and trip.end_s is not None:
                starts.setdefault(trip.service_id, []).append(trip.start_s)
                ends.setdefault(trip.service_id, []).append(trip.end_s)
        first = date.fromisoformat(document["first_date"])
        return cls(
            timezone=ZoneInfo(document["timezone"]),
            feed_version=document["feed_version"],
            trips=trips,
            stop_ids=frozenset(document["stop_ids"]),
            dates_by_service={
                service_id: frozenset(first + timedelta(days=number) for number in numbers)
                for service_id, numbers in document["service_days"].items()
            },
            _bounds={service: _Bounds(sorted(starts[service]), sorted(ends[service])) for service in starts},
            _longest_day_s=max((max(values) for values in ends.values()), default=0),
        )

    def is_known_trip(self, trip_id: str) -> bool:
        return trip_id in self.trips

    def is_known_stop(self, stop_id: str) -> bool:
        return stop_id in self.stop_ids

    def service_ids_on(self, service_date: date) -> frozenset[str]:
        """Service that runs on a service date, exceptions applied."""
        return frozenset(service_id for service_id, dates in self.dates_by_service.items() if service_date in dates)

    def covers(self, now: datetime) -> bool:
        """Whether ``now`` lies between the schedule's first and last service date.

        Before and after, that no trip runs says nothing of the agency: the schedule has expired or has not begun.
        """
        dates = [service_date for each in self.dates_by_service.values() for service_date in each]
        today = now.astimezone(self.timezone).date()
        return bool(dates) and min(dates) <= today <= max(dates)

    def trips_running_at(self, now: datetime) -> int:
        """Trips that the schedule has under way at ``now``, first and last moment included.

        A trip at 25:10:00 belongs to the service day before, so the days back as far as the latest time
        reaches are looked at; and tomorrow's, which begins at 23:00 today when clocks go forward.
        """
        today = now.astimezone(self.timezone).date()
        days_back = self._longest_day_s // DAY_S + 1
        running = 0
        for offset in range(-days_back, 2):
            service_date = today + timedelta(days=offset)
            elapsed = now.astimezone(UTC) - service_day_start(service_date, self.timezone)
            second = int(elapsed.total_seconds())
            for service_id in self.service_ids_on(service_date):
                if bounds := self._bounds.get(service_id):
                    running += bounds.running_at(second)
        return running
