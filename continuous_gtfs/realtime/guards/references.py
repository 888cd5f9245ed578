"""The guards that hold a feed's trip_ids and stop_ids against the published schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from google.transit.gtfs_realtime_pb2 import FeedEntity, FeedMessage, TripDescriptor

from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.realtime.guards.result import GuardResult, percent

TRIPS_KNOWN = "trip_ids_are_known"
STOPS_KNOWN = "stop_ids_are_known"

ENTITIES_LOOKED_AT = 1_000
"""Of a larger feed one of each two, three, ... entities is looked at: a share is known from so many, in 5 ms."""

_SAMPLE_SIZE = 3
# Trips that the schedule need not have (reference.md, TripDescriptor.ScheduleRelationship).
_BESIDE_THE_SCHEDULE = frozenset(
    {TripDescriptor.ADDED, TripDescriptor.NEW, TripDescriptor.DUPLICATED, TripDescriptor.REPLACEMENT}
)


@dataclass(frozen=True, slots=True)
class References:
    """What a feed refers to, by id the number of times.

    Attributes:
        trip_ids: Of trips that the schedule should have: none that is ADDED, NEW, DUPLICATED or REPLACEMENT.
        stop_ids: Likewise.
        message: Where they were found.
        stride: 1: all entities were looked at; 2: one of each two.
    """

    trip_ids: Counter[str]
    stop_ids: Counter[str]
    message: FeedMessage
    stride: int


def references(message: FeedMessage) -> References:
    """The ids in trip updates, vehicles and alerts; blank ones are no reference."""
    trips: list[TripDescriptor] = []
    stop_ids: list[str] = []
    stride = -(-len(message.entity) // ENTITIES_LOOKED_AT) or 1
    for entity in message.entity if stride == 1 else _spread(message, stride):
        if entity.HasField("trip_update"):
            trips.append(entity.trip_update.trip)
            stop_ids += [update.stop_id for update in entity.trip_update.stop_time_update]
        if entity.HasField("vehicle"):
            trips.append(entity.vehicle.trip)
            stop_ids.append(entity.vehicle.stop_id)
        if entity.HasField("alert"):
            for informed in entity.alert.informed_entity:
                trips.append(informed.trip)
                stop_ids.append(informed.stop_id)
    found = References(
        Counter(trip.trip_id for trip in trips if trip.schedule_relationship not in _BESIDE_THE_SCHEDULE),
        Counter(stop_ids),
        message,
        stride,
    )
    del found.trip_ids[""]
    del found.stop_ids[""]
    return found


def _spread(message: FeedMessage, stride: int) -> Iterator[FeedEntity]:
    """One of every ``stride`` entities, at a place in each group that follows no pattern.

    A vendor who lists a vehicle and its trip update in turns would else be judged by one kind alone. The places are the
    same in each run.
    """
    entities = message.entity
    place = 0
    for begin in range(0, len(entities), stride):
        # Numerical Recipes' linear congruential generator; its high bits are the ones that are mixed.
        place = (place * 1_664_525 + 1_013_904_223) % 2**32
        at = begin + (place >> 16) % stride
        if at < len(entities):
            yield entities[at]


def trip_ids_are_known(found: References, index: ScheduleIndex, *, max_percent: float, least_count: int) -> GuardResult:
    """Whether at most ``max_percent`` of the trip_ids, each as often as it is named, are unknown to the schedule."""
    return _known(TRIPS_KNOWN, "trip_ids", found, found.trip_ids, index.is_known_trip, max_percent, least_count)


def stop_ids_are_known(found: References, index: ScheduleIndex, *, max_percent: float, least_count: int) -> GuardResult:
    """The same for stop_ids; a stop that the feed brings itself is known."""

    @cache
    def own_stops() -> frozenset[str]:
        return frozenset(entity.stop.stop_id for entity in found.message.entity if entity.HasField("stop"))

    def is_known(stop_id: str) -> bool:
        return index.is_known_stop(stop_id) or stop_id in own_stops()

    return _known(STOPS_KNOWN, "stop_ids", found, found.stop_ids, is_known, max_percent, least_count)


def _known(
    guard: str,
    what: str,
    found: References,
    named: Counter[str],
    is_known: Callable[[str], bool],
    max_percent: float,
    least_count: int,
) -> GuardResult:
    unknown = {key: count for key, count in named.items() if not is_known(key)}
    missing, total = sum(unknown.values()), named.total()
    share = percent(missing, total)
    told = f"{missing} of {total} {what} ({share:g} %) are not in the published schedule"
    if unknown:
        told += f", such as {', '.join(map(repr, list(unknown)[:_SAMPLE_SIZE]))}"
    if found.stride > 1:
        told += f" (1 of {found.stride} entities was looked at)"
    return GuardResult(
        guard=guard,
        passed=share <= max_percent or missing < least_count,
        value=share,
        threshold=max_percent,
        unit="%",
        message=f"{told}; at most {max_percent:g} % may be, or fewer than {least_count}",
    )
