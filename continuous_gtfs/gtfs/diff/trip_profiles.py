"""What a trip is, as numbers to compare: route, direction, first departure, stop pattern, times, service dates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from continuous_gtfs.gtfs.diff.hashing import Hashes, Rows, blocks, combined, mixed, text_hashes
from continuous_gtfs.gtfs.diff.service_days import Dates
from continuous_gtfs.gtfs.diff.tables import Part, Table
from continuous_gtfs.gtfs.keys import Codes, Keys
from continuous_gtfs.gtfs.times import time_of_day_s

Numbers = npt.NDArray[np.int64]
NO_TIME = -1
_TIES = ("stop_id", "departure_time", "arrival_time")

_ARRIVES, _DEPARTS = np.uint64(0xA0761D6478BD642F), np.uint64(0xE7037ED1A0B428DB)


@dataclass(frozen=True, slots=True, eq=False)
class TripList:
    """The trips of trips.txt, each id once; of rows that share an id the least counts, in whatever order they come."""

    ids: tuple[str, ...]
    route_ids: tuple[str, ...]
    direction_ids: tuple[str, ...]
    service_ids: tuple[str, ...]

    @classmethod
    def of(cls, table: Table | None) -> TripList:
        if table is None:
            return cls((), (), (), ())
        columns = ("trip_id", "route_id", "direction_id", "service_id")
        table.load(columns)
        rows = list(zip(*(table.keys(name).texts() for name in columns), strict=True))
        if len(by_id := {row[0]: row for row in rows}) < len(rows):
            rows = list({row[0]: row for row in sorted(rows, reverse=True)}.values())
        return cls(*zip(*rows, strict=True)) if by_id else cls.of(None)

    def at(self, places: Sequence[int]) -> TripList:
        columns = (self.ids, self.route_ids, self.direction_ids, self.service_ids)
        return TripList(*(tuple(column[place] for place in places) for column in columns))


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """One entry for each trip of ``trips``: equal numbers, equal things.

    Attributes:
        pattern: Its stops in order.
        times: Arrival and departure at each of them.
        dates: The dates it runs on, of those that both feeds cover; its service_id where they cannot be told.
        departs_s: First departure; NO_TIME where the trip has none. ``arrives_s`` likewise, the last arrival.
    """

    trips: TripList
    names: Hashes
    line: Hashes
    service: Hashes
    pattern: Hashes
    times: Hashes
    dates: Hashes
    departs_s: Numbers
    arrives_s: Numbers

    @property
    def path(self) -> Hashes:
        """Route, direction and stop pattern."""
        return combined(self.line, self.pattern)

    @property
    def identity(self) -> Hashes:
        return combined(self.line, self.pattern, self.departs_s.view(np.uint64))


def profiles(trips: TripList, stop_times: Part | None, dates: Dates) -> Profiles:
    """Profiles of some trips, of which ``stop_times`` has all the rows."""
    count = len(trips.ids)
    seconds = _Seconds()
    visits = _Visits.of(stop_times, {trip_id: place for place, trip_id in enumerate(trips.ids)})
    services = text_hashes(trips.service_ids, count)
    by_dates = [hash(dates[one]) if one in dates else hash(one) for one in trips.service_ids] if dates else None
    return Profiles(
        trips=trips,
        names=text_hashes(trips.ids, count),
        line=combined(text_hashes(trips.route_ids, count), text_hashes(trips.direction_ids, count)),
        service=services,
        pattern=visits.pattern(count),
        times=visits.times(count, seconds),
        dates=services if by_dates is None else np.array(by_dates, dtype=np.int64).view(np.uint64),
        departs_s=visits.first_departures(count, seconds),
        arrives_s=visits.last_arrivals(count, seconds),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Visits:
    """Rows of stop_times.txt, those of a trip together and in the order of stop_sequence.

    Attributes:
        trip: The place of its trip.
        number: Its number in the trip, from 0.
    """

    trip: Codes
    number: Codes
    stop: Keys
    arrival: Keys
    departure: Keys

    @classmethod
    def of(cls, part: Part | None, places: Mapping[str, int]) -> _Visits:
        if part is None or not len(part):
            none = np.empty(0, dtype=np.int32)
            return cls(none, none, *(Keys(none, ()) for _ in range(3)))
        part.load(("trip_id", "stop_sequence", "stop_id", "arrival_time", "departure_time"))
        trip = _by_value(part.keys("trip_id"), lambda value: places.get(value, -1)).astype(np.int32)
        sequence = _by_value(part.keys("stop_sequence"), _whole_number)
        order = _order(trip, sequence, lambda: [_by_text(part.keys(name)) for name in _TIES])
        trip = trip[order]
        stop, arrival, departure = (part.keys(name).at(order) for name in ("stop_id", "arrival_time", "departure_time"))
        return cls(trip, _numbers_in_trip(trip), stop, arrival, departure)

    def pattern(self, count: int) -> Hashes:
        by_stop = mixed(text_hashes(self.stop.values, len(self.stop.values)))
        sums = np.zeros(count, dtype=np.uint64)
        for block in blocks(len(self.trip)):
            visits = by_stop[self.stop.codes[block]] + self._by_number(block)
            np.add.at(sums, self.trip[block], mixed(visits))
        return sums

    def times(self, count: int, seconds: _Seconds) -> Hashes:
        arrives, departs = (seconds.of(keys).view(np.uint64) for keys in (self.arrival, self.departure))
        sums = np.zeros(count, dtype=np.uint64)
        for block in blocks(len(self.trip)):
            visits = arrives[self.arrival.codes[block]] * _ARRIVES + departs[self.departure.codes[block]] * _DEPARTS
            np.add.at(sums, self.trip[block], mixed(visits + self._by_number(block)))
        return sums

    def _by_number(self, block: slice) -> Hashes:
        return mixed(self.number[block].astype(np.uint64) + np.uint64(1))

    def first_departures(self, count: int, seconds: _Seconds) -> Numbers:
        return self._at(np.flatnonzero(self.number == 0), self.departure, self.arrival, count, seconds)

    def last_arrivals(self, count: int, seconds: _Seconds) -> Numbers:
        is_last = np.append(self.trip[1:] != self.trip[:-1], True)[: len(self.trip)]
        return self._at(np.flatnonzero(is_last), self.arrival, self.departure, count, seconds)

    def _at(self, rows: Rows, wanted: Keys, instead: Keys, count: int, seconds: _Seconds) -> Numbers:
        """For each trip the time at its row of ``rows``, or the other time where that one is blank."""
        time = seconds.of(wanted)[wanted.codes[rows]]
        other = seconds.of(instead)[instead.codes[rows]]
        found = np.full(count, NO_TIME, dtype=np.int64)
        found[self.trip[rows]] = np.where(time == NO_TIME, other, time)
        return found


def _by_value(keys: Keys, number: Callable[[str], int]) -> Numbers:
    return np.fromiter(map(number, keys.values), dtype=np.int64, count=len(keys.values))[keys.codes]


class _Seconds(dict[str, int]):
    """The seconds of each text that was asked for; arrivals and departures are mostly the same texts."""

    def of(self, keys: Keys) -> Numbers:
        """By code."""
        return np.fromiter(map(self.__getitem__, keys.values), dtype=np.int64, count=len(keys.values))

    def __missing__(self, text: str) -> int:
        """A blank is NO_TIME, and what is no time is told apart by its text."""
        seconds = time_of_day_s(text) if text else NO_TIME
        self[text] = seconds if seconds is not None else -2 - (hash(text) & 0x7FFF_FFFF_FFFF_FF)
        return self[text]


def _by_text(keys: Keys) -> Numbers:
    """For each row the place of its value in the order of texts."""
    ranks = {value: rank for rank, value in enumerate(sorted(keys.values))}
    return _by_value(keys, ranks.__getitem__)


def _whole_number(text: str) -> int:
    """A stop_sequence; what is none keeps its place in the file."""
    return int(text) if len(text) < 19 and text.isascii() and text.isdigit() else 0


def _order(trip: Codes, sequence: Numbers, ties: Callable[[], list[Numbers]]) -> Rows | slice:
    """Rows of known trips, each trip's together and by sequence; mostly they lie so.

    Args:
        ties: What decides between rows of one trip and sequence, so that the order of the file does not.
    """
    is_known = trip >= 0
    same = trip[1:] == trip[:-1]
    groups = len(trip) - int(same.sum())
    is_together = groups == int((np.bincount(trip + 1) > 0).sum())
    if is_together and bool((sequence[1:][same] > sequence[:-1][same]).all()):
        return slice(None) if is_known.all() else np.flatnonzero(is_known)
    order = np.lexsort((sequence, trip))
    is_tied = (trip[order][1:] == trip[order][:-1]) & (sequence[order][1:] == sequence[order][:-1])
    if is_tied.any():
        order = np.lexsort([*ties(), sequence, trip.astype(np.int64)])
    return order[is_known[order]]


def _numbers_in_trip(trip: Codes) -> Codes:
    numbers = np.arange(len(trip), dtype=np.int32)
    is_first = np.ones(len(trip), dtype=bool)
    is_first[1:] = trip[1:] != trip[:-1]
    numbers -= np.maximum.accumulate(np.where(is_first, numbers, np.int32(0)))
    return numbers
