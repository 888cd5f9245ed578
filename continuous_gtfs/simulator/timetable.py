"""When the generated agency runs: every trip of every service with its start, and the blocks that chain them.

A revision of the timetable keeps every trip_id and moves some departures by a minute.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from continuous_gtfs.simulator.network import HUB_STATION, Mode, Network, Pattern, Route
from continuous_gtfs.simulator.service_days import EVENT, SATURDAY, SUNDAY, WEEKDAY

LONGEST_DELAY_S = 240
"""No trip is ever later than this; see ``movement``."""

_LAYOVER_S = LONGEST_DELAY_S + 180
"""A block's next trip starts this long after the last one's scheduled end, so that even a late vehicle whose
next departure a revision moved (a minute either way) is never on two trips at once."""

_SHIFTED_EVERY = 10
"""A revision moves every tenth trip."""


@dataclass(frozen=True, slots=True)
class Trip:
    """One row of trips.txt. Its times are ``pattern``'s, counted from ``start_s`` after the day's origin."""

    trip_id: str
    service_id: str
    pattern: Pattern
    start_s: int
    block_id: str
    vehicle_id: str

    @property
    def end_s(self) -> int:
        return self.start_s + self.pattern.duration_s


@dataclass(frozen=True)
class Timetable:
    """All trips, by service and in order of their start."""

    trips_by_service: Mapping[str, tuple[Trip, ...]]

    @cached_property
    def longest_s(self) -> int:
        """Duration of the longest trip."""
        return max(trip.pattern.duration_s for trips in self.trips_by_service.values() for trip in trips)

    @cached_property
    def _starts(self) -> Mapping[str, list[int]]:
        return {service: [trip.start_s for trip in trips] for service, trips in self.trips_by_service.items()}

    def trips_started(self, service_id: str, *, since_s: int, until_s: int) -> Sequence[Trip]:
        """Trips of a service with ``since_s <= start_s <= until_s``."""
        starts = self._starts[service_id]
        return self.trips_by_service[service_id][bisect_left(starts, since_s) : bisect_left(starts, until_s + 1)]

    def __iter__(self) -> Iterator[Trip]:
        for trips in self.trips_by_service.values():
            yield from trips


_Band = tuple[float, float, int]  # from hour, to hour (of the service day), minutes between departures

_ALL_DAY: Mapping[Mode, Mapping[str, tuple[_Band, ...]]] = {
    Mode.FREQUENT_RAIL: {
        WEEKDAY: ((4.25, 6, 12), (6, 9.5, 8), (9.5, 15, 10), (15, 18.5, 8), (18.5, 22, 10), (22, 25.5, 15)),
        SATURDAY: ((4.25, 6, 15), (6, 22, 10), (22, 25.5, 15)),
        SUNDAY: ((4.25, 6, 15), (6, 22, 10), (22, 24.5, 15)),
        EVENT: ((21.6, 23.6, 15),),
    },
    Mode.RAIL: {
        WEEKDAY: ((4.5, 6, 15), (6, 22, 10), (22, 25.5, 20)),
        SATURDAY: ((5, 25.5, 15),),
        SUNDAY: ((5, 24.5, 15),),
    },
    Mode.TRAM: {
        WEEKDAY: ((5, 22, 12), (22, 24.5, 20)),
        SATURDAY: ((7, 23, 15),),
        SUNDAY: ((8, 22, 20),),
    },
    Mode.EXPRESS: {
        WEEKDAY: ((4.75, 6, 30), (6, 9, 15), (9, 15, 30), (15, 18.5, 15), (18.5, 24.5, 30)),
        SATURDAY: ((5.5, 24, 30),),
        SUNDAY: ((6, 23, 30),),
    },
    # An hour into the next service day: in the night on which clocks go back, the next service day's 04:00
    # comes 25 hours after this one's.
    Mode.NIGHT: dict.fromkeys((WEEKDAY, SATURDAY, SUNDAY), ((22, 29, 20),)),
}

# Commuter rail runs on weekdays only: to the hub in the morning, away from it in the afternoon.
_TO_HUB: Sequence[_Band] = ((5.5, 8.5, 30),)
_FROM_HUB: Sequence[_Band] = ((15.25, 18.5, 30),)


def build_timetable(network: Network, *, revision: int) -> Timetable:
    """The timetable of a revision: the same trips, blocks and vehicles in each, some departures moved."""
    by_service: dict[str, list[Trip]] = {}
    for route in network.routes:
        patterns = [pattern for pattern in network.patterns if pattern.route is route]
        for service_id in (WEEKDAY, SATURDAY, SUNDAY, EVENT):
            by_service.setdefault(service_id, []).extend(_route_trips(route, patterns, service_id, revision))
    return Timetable(
        {
            service_id: tuple(sorted(trips, key=lambda trip: (trip.start_s, trip.trip_id)))
            for service_id, trips in by_service.items()
        }
    )


def _bands(pattern: Pattern, service_id: str) -> Sequence[_Band]:
    if pattern.route.mode is not Mode.COMMUTER:
        return _ALL_DAY[pattern.route.mode].get(service_id, ())
    if service_id != WEEKDAY:
        return ()
    return _TO_HUB if pattern.stops[-1].place == HUB_STATION else _FROM_HUB


def _departures(bands: Sequence[_Band], offset_s: int) -> Iterator[int]:
    for from_hour, to_hour, minutes in bands:
        yield from range(int(from_hour * 3600) + offset_s, int(to_hour * 3600) + offset_s, minutes * 60)


def _route_trips(route: Route, patterns: Sequence[Pattern], service_id: str, revision: int) -> list[Trip]:
    # The two directions leave four minutes apart, so that not all vehicles meet at the same stops.
    planned = sorted(
        (
            (start_s, pattern)
            for pattern in patterns
            for start_s in _departures(_bands(pattern, service_id), 240 * pattern.direction_id)
        ),
        key=lambda departure: (departure[0], departure[1].direction_id),
    )
    trips: list[Trip] = []
    free: dict[str, list[tuple[int, int]]] = {}  # place -> (free from, block number), in order of arrival
    blocks = 0
    # Event trains are extra vehicles: they run among the Saturday's.
    first_vehicle = 500 if service_id == EVENT else 100
    for number, (start_s, pattern) in enumerate(planned):
        waiting = free.setdefault(pattern.stops[0].place, [])
        if waiting and waiting[0][0] <= start_s:
            block = waiting.pop(0)[1]
        else:
            blocks += 1
            block = blocks
        arrivals = free.setdefault(pattern.stops[-1].place, [])
        arrivals.append((start_s + pattern.duration_s + _LAYOVER_S, block))
        is_shifted = revision > 0 and number % _SHIFTED_EVERY == revision % _SHIFTED_EVERY
        trips.append(
            Trip(
                trip_id=f"{service_id}_{route.route_id}_{pattern.direction_id}_{number + 1001}",
                service_id=service_id,
                pattern=pattern,
                start_s=start_s + (60 if is_shifted else 0),
                block_id=f"{route.route_id}-{service_id}-{block:02d}",
                vehicle_id=f"{route.route_id}.{first_vehicle + block}",
            )
        )
    return trips
