"""DropStaleVehicles and DropUnknownTrips: what is too old to be shown, and what no schedule knows."""

from __future__ import annotations

from collections.abc import Collection, Set
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Literal

from google.transit.gtfs_realtime_pb2 import FeedEntity, FeedMessage, TripDescriptor

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import StepContext
from continuous_gtfs.realtime.builtin.entities import (
    OnFeeds,
    drop_parts,
    named,
    nothing_matched,
    report,
    require_duration,
    require_limits,
    schedule_index,
)
from continuous_gtfs.realtime.feeds import VEHICLE_POSITIONS, RealtimeFeeds

_POLICIES = ("drop", "clear")
_OF_NO_SCHEDULE = frozenset({TripDescriptor.ADDED, TripDescriptor.UNSCHEDULED, TripDescriptor.NEW})
"""Trips that are not those of the schedule, so that it need not know them."""
_VEHICLES_OF_NO_SCHEDULE = _OF_NO_SCHEDULE | {TripDescriptor.DUPLICATED}
"""A duplicated trip is named by the trip it copies in a trip update, and by the id it got there in a vehicle position:
https://gtfs.org/documentation/realtime/reference/#message-tripdescriptor (trip_id)."""


@dataclass(frozen=True)
class DropStaleVehicles(OnFeeds):
    """Takes out vehicles that have not been seen for a while: they stand on the map where they no longer are.

    The time is the vehicle's own (``timestamp``), held against the clock of the run. A vehicle without one stays and
    is counted: how old it is cannot be told.

    Attributes:
        older_than: A vehicle of exactly this age stays.
    """

    older_than: timedelta
    _: KW_ONLY
    feeds: Collection[str] = (VEHICLE_POSITIONS,)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("DropStaleVehicles", "older_than", self.older_than)

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        oldest = context.now.timestamp() - self.older_than.total_seconds()
        found = False
        for feed_name in self.present(feed):
            stale: dict[int, str] = {}
            undated: list[str] = []
            for position, entity in enumerate(feed.message(feed_name).entity):
                if not entity.HasField("vehicle"):
                    continue
                if not entity.vehicle.timestamp:
                    undated.append(_vehicle(entity))
                elif entity.vehicle.timestamp < oldest:
                    stale[position] = _vehicle(entity)
            if stale:
                found = True
                drop_parts(feed.edit(feed_name), stale, "vehicle")
            what = f"vehicles dropped, not seen for more than {self.older_than.total_seconds():g} s"
            report(context, "info", "stale_vehicles_dropped", what, feed_name, stale.values())
            what = "vehicles kept that do not say when they were seen"
            report(context, "info", "vehicles_without_timestamp", what, feed_name, undated)
        if not found:
            nothing_matched(context, "no vehicle is stale")


@dataclass(frozen=True)
class DropUnknownTrips(OnFeeds):
    """Takes out trips that the published schedule does not know: no consumer could show them.

    Only what says that it is a trip of the schedule is held against it, a cancelled or replaced one and the one that
    an update duplicates included; an added or new trip need not be there, nor one without a trip_id. A trip update is
    dropped. Without a schedule, or with one that does not cover today, nothing is.

    Where too much of a feed is unknown, schedule and feed do not belong together, and what is left would be no feed.
    Then all of it stays, with a warning, and the guard ``trip_ids_are_known`` sees it and decides.

    Attributes:
        vehicles: What becomes of the vehicle of an unknown trip: ``drop`` it, or ``clear`` its trip, so that it stays
            on the map as one of no trip.
        max_share: Share of a feed's trips of the schedule, 0 to 1, that may be unknown, each as often as it is named.
        always_allowed: So many may be whatever share they are; the guard blocks none for fewer than its
            ``least_count``, which is one more.
    """

    _: KW_ONLY
    vehicles: Literal["drop", "clear"] = "drop"
    max_share: float = 0.5
    always_allowed: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vehicles not in _POLICIES:
            raise StepDefinitionError(f"DropUnknownTrips: vehicles={self.vehicles!r}; say drop or clear")
        require_limits("DropUnknownTrips", self.max_share, self.always_allowed)

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        index = schedule_index("DropUnknownTrips", context)
        if index is None:
            return
        if not index.covers(context.now):
            told = f"the schedule covers {index.first_date} to {index.last_date}, not today: no trip was dropped"
            context.find(Finding("warning", "schedule_does_not_cover_today", told))
            return
        found = False
        for feed_name in self.present(feed):
            asked = 0
            updates: dict[int, str] = {}
            vehicles: dict[int, str] = {}
            for position, entity in enumerate(feed.message(feed_name).entity):
                if entity.HasField("trip_update") and _is_asked(entity.trip_update.trip, _OF_NO_SCHEDULE):
                    asked += 1
                    if not index.is_known_trip(entity.trip_update.trip.trip_id):
                        updates[position] = named(entity.trip_update.trip, entity)
                if entity.HasField("vehicle") and _is_asked(entity.vehicle.trip, _VEHICLES_OF_NO_SCHEDULE):
                    asked += 1
                    if not index.is_known_trip(entity.vehicle.trip.trip_id):
                        vehicles[position] = f"{entity.vehicle.trip.trip_id} of vehicle {_vehicle(entity)}"
            if len(updates) + len(vehicles) > max(self.max_share * asked, self.always_allowed):
                found = True
                what = (
                    f"of {asked:,} trips are unknown to the schedule, more than may be ({self.max_share:.0%}, at least "
                    f"{self.always_allowed}): none was dropped"
                )
                unknown = [*updates.values(), *vehicles.values()]
                report(context, "warning", "too_many_trips_unknown", what, feed_name, unknown)
                continue
            if updates or vehicles:
                found = True
                self._drop(feed.edit(feed_name), updates.keys(), vehicles.keys())
            what = "trip updates dropped, of trips that the schedule does not know"
            report(context, "warning", "unknown_trips_dropped", what, feed_name, updates.values())
            if self.vehicles == "drop":
                what = "vehicles dropped, on trips that the schedule does not know"
                report(context, "warning", "vehicles_of_unknown_trips_dropped", what, feed_name, vehicles.values())
            else:
                what = "vehicles left without their trips, which the schedule does not know"
                report(context, "warning", "unknown_trips_cleared", what, feed_name, vehicles.values())
        if not found:
            nothing_matched(context, "the schedule knows every trip")

    def _drop(self, message: FeedMessage, updates: Set[int], vehicles: Set[int]) -> None:
        if self.vehicles == "clear":
            for position in vehicles:
                message.entity[position].vehicle.ClearField("trip")
            vehicles = frozenset()
        # One after the other from the end, since positions shift.
        for position in sorted(updates | vehicles, reverse=True):
            parts = [part for part, at in (("trip_update", updates), ("vehicle", vehicles)) if position in at]
            drop_parts(message, [position], *parts)


def _is_asked(trip: TripDescriptor, of_no_schedule: Set[int]) -> bool:
    """Whether the schedule should know a trip."""
    return bool(trip.trip_id) and trip.schedule_relationship not in of_no_schedule


def _vehicle(entity: FeedEntity) -> str:
    """What names a vehicle: its id, else its label, else the entity."""
    vehicle = entity.vehicle.vehicle
    name: str = vehicle.id or vehicle.label or f"entity {entity.id}"
    return name
