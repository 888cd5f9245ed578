"""ScheduleIndex: what realtime must know of a published schedule, loaded in milliseconds and without pandas.

Built once a version by ``schedule_index_builder``. How it is laid out: ``index_sections``. Which runs of trips are
under way at a moment, and to which service day a trip of a realtime feed belongs: ``trip_runs``.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.index_sections import Sections, SortedIds
from continuous_gtfs.gtfs.times import DAY_S, service_day_at, service_day_start

NOTHING = -1
"""In the columns of the index: no time, no direction."""


class IndexedTrip(NamedTuple):
    """One trip. Times are seconds since the start of its service day and may pass 24 h.

    Attributes:
        start_s: First time at any stop; None where the feed gives the trip no time.
        end_s: Last time at any stop; with frequencies, the end of the last run.
        direction_id: 0 or 1; None where the feed gives none.
    """

    route_id: str
    service_id: str
    start_s: int | None
    end_s: int | None
    direction_id: int | None = None


class Window(NamedTuple):
    """One row of frequencies.txt, in seconds; no run starts at ``end_s`` or later."""

    start_s: int
    end_s: int
    headway_s: int
    is_exact: bool


class RepeatedTrip(NamedTuple):
    """A trip of frequencies.txt: it is run again and again, each run ``length_s`` long."""

    length_s: int
    windows: tuple[Window, ...]

    @property
    def is_exact(self) -> bool:
        """Whether its runs start at known times (``exact_times=1``), so that one of them can be told by its start."""
        return all(window.is_exact for window in self.windows)


class ScheduleIndex:
    """The trips, stops and service dates of one schedule version. Made with ``from_bytes``.

    Attributes:
        timezone: Of the agency; every time of the feed is in it.
        feed_version: From feed_info.txt; blank where the feed has none.
        first_date: The first date on which any service runs; None where none ever does. Likewise ``last_date``.
        longest_day_s: The latest time of any trip, in seconds since the start of its service day.
    """

    def __init__(self, sections: Sections) -> None:
        facts = sections.facts
        self._sections = sections
        self.timezone = ZoneInfo(facts["timezone"])
        self.feed_version: str = facts["feed_version"]
        self.service_ids: list[str] = facts["service_ids"]
        self.route_ids: list[str] = facts["route_ids"]
        self.first_date = _date(facts["first_date"])
        self.last_date = _date(facts["last_date"])
        self.longest_day_s: int = facts["longest_day_s"]

    @classmethod
    def from_bytes(cls, data: bytes) -> ScheduleIndex:
        """Read an index as ``schedule_index_builder`` writes it.

        Raises:
            FeedStructureError: Not an index, a damaged one, or one of another form.
        """
        sections = Sections(data)
        try:
            return cls(sections)
        except (KeyError, TypeError, ValueError, ZoneInfoNotFoundError) as error:
            raise FeedStructureError(
                f"not a schedule index ({len(data):,} bytes): {type(error).__name__}: {error}"
            ) from None

    @cached_property
    def trips(self) -> Trips:
        """By trip_id, in the order of the ids."""
        return Trips(self._sections, self.route_ids, self.service_ids)

    @cached_property
    def stop_ids(self) -> SortedIds:
        """Of stops, stations and every other location."""
        return self._sections.ids("stop_ids")

    @cached_property
    def repeated_trips(self) -> Mapping[str, RepeatedTrip]:
        """The trips of frequencies.txt by trip_id."""
        return {
            trip_id: RepeatedTrip(length_s, tuple(Window(*window) for window in windows))
            for trip_id, (length_s, windows) in orjson.loads(self._sections.content("frequencies")).items()
        }

    @cached_property
    def dates_by_service(self) -> Mapping[str, frozenset[date]]:
        """The dates on which each service runs; for ``runs_on`` and ``service_ids_on`` they need not be listed."""
        first = self.first_date or date.min
        return {
            service_id: frozenset(
                first + timedelta(days=number) for number in range(mask.bit_length()) if mask >> number & 1
            )
            for service_id, mask in zip(self.service_ids, self._masks, strict=True)
            if mask is not None
        }

    def is_known_trip(self, trip_id: str) -> bool:
        return trip_id in self.trips

    def is_known_stop(self, stop_id: str) -> bool:
        return stop_id in self.stop_ids

    def service_ids_on(self, service_date: date) -> frozenset[str]:
        """Service that runs on a service date, exceptions applied."""
        return frozenset(self.service_ids[code] for code in self.services_on(service_date))

    def services_on(self, service_date: date) -> list[int]:
        """The same as positions in ``service_ids``."""
        number = (service_date - (self.first_date or service_date)).days
        if number < 0:
            return []
        return [code for code, mask in enumerate(self._masks) if mask and mask >> number & 1]

    def runs_on(self, trip_id: str, service_date: date) -> bool:
        """Whether a trip is scheduled on a service date."""
        position = self.trips.ids.position(trip_id)
        if position is None or self.first_date is None or service_date < self.first_date:
            return False
        mask = self._masks[self.trips.services[position]] or 0
        return bool(mask >> (service_date - self.first_date).days & 1)

    def covers(self, now: datetime) -> bool:
        """Whether the service day of ``now`` lies between the schedule's first and last service date.

        The night after the last date is still the schedule's own, and the night before the first not yet: then trips
        run that only the schedule before it knows.

        Before and after, that no trip runs says nothing of the agency: the schedule has expired or has not begun.
        """
        if self.first_date is None or self.last_date is None:
            return False
        return self.first_date <= service_day_at(now, self.timezone) <= self.last_date

    def service_days_reaching(self, now: datetime) -> Iterator[tuple[date, int]]:
        """The service days of which a trip may be under way at ``now``, each with ``now`` in its own seconds.

        A trip at 25:10:00 belongs to the service day before, so the days back as far as the latest time reaches are
        looked at; and tomorrow's, which begins at 23:00 today when clocks go forward.
        """
        today = now.astimezone(self.timezone).date()
        for offset in range(-(self.longest_day_s // DAY_S + 1), 2):
            service_date = today + timedelta(days=offset)
            elapsed = now.astimezone(UTC) - service_day_start(service_date, self.timezone)
            second = int(elapsed.total_seconds())
            if 0 <= second <= self.longest_day_s:
                yield service_date, second

    def trips_running_at(self, now: datetime) -> int:
        """Trips that the schedule has under way at ``now``, first and last moment included.

        A trip of frequencies.txt counts as one however many vehicles run it, from the first start to the end of the
        last run of each of its windows.
        """
        return sum(
            self._profiles.running(code, second)
            for service_date, second in self.service_days_reaching(now)
            for code in self.services_on(service_date)
        )

    @cached_property
    def _masks(self) -> list[int | None]:
        """By service the days on which it runs, as bits counted from the first date; None: not in the calendar."""
        return [None if mask is None else int(mask, 16) for mask in self._sections.facts["service_days"]]

    @cached_property
    def _profiles(self) -> _Profiles:
        return _Profiles(self._sections.numbers("profiles"), self._sections.facts["profile_sizes"])


class Trips(Mapping[str, IndexedTrip]):
    """The trips of an index. What an ``IndexedTrip`` is made of is unpacked when the first one is asked for.

    Attributes:
        ids: The trip_ids; the columns below are in their order.
    """

    def __init__(self, sections: Sections, route_ids: list[str], service_ids: list[str]) -> None:
        self._sections = sections
        self._route_ids = route_ids
        self._service_ids = service_ids

    @cached_property
    def ids(self) -> SortedIds:
        return self._sections.ids("trip_ids")

    @cached_property
    def routes(self) -> array[int]:
        """Positions in the index's ``route_ids``."""
        return self._sections.numbers("trip_routes")

    @cached_property
    def services(self) -> array[int]:
        """Positions in the index's ``service_ids``."""
        return self._sections.numbers("trip_services")

    @cached_property
    def starts(self) -> array[int]:
        """Seconds, or ``NOTHING``; likewise ``ends``."""
        return self._sections.numbers("trip_starts")

    @cached_property
    def ends(self) -> array[int]:
        return self._sections.numbers("trip_ends")

    @cached_property
    def directions(self) -> array[int]:
        """0, 1 or ``NOTHING``."""
        return self._sections.numbers("trip_directions")

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, trip_id: object) -> bool:
        return trip_id in self.ids

    def __getitem__(self, trip_id: str) -> IndexedTrip:
        position = self.ids.position(trip_id)
        if position is None:
            raise KeyError(trip_id)
        start, end, direction = self.starts[position], self.ends[position], self.directions[position]
        return IndexedTrip(
            route_id=self._route_ids[self.routes[position]],
            service_id=self._service_ids[self.services[position]],
            start_s=None if start == NOTHING else start,
            end_s=None if end == NOTHING else end,
            direction_id=None if direction == NOTHING else direction,
        )


class _Profiles:
    """How many trips have begun, and how many are over, by service and second.

    Args:
        numbers: By service the seconds at which trips begin, how many have by then, and the same of ends.
        sizes: By service the number of such seconds, of begins and of ends.
    """

    def __init__(self, numbers: array[int], sizes: list[list[int]]) -> None:
        self._numbers = numbers
        self._sizes = sizes
        self._begins = [0, *accumulate(2 * (starts + ends) for starts, ends in sizes)]

    def running(self, code: int, second: int) -> int:
        """Trips begun and not over: those begun less those over, since none ends before it begins."""
        starts, ends = self._sizes[code]
        begin = self._begins[code]
        return self._counted(begin, starts, second, bisect_right) - self._counted(
            begin + 2 * starts, ends, second, bisect_left
        )

    def _counted(self, begin: int, size: int, second: int, bisect: Callable[..., int]) -> int:
        at = bisect(self._numbers, second, begin, begin + size) - 1
        return self._numbers[at + size] if at >= begin else 0


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
