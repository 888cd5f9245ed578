"""ConvertScheduledToNew: trips of the schedule shown as extra ones, for service that is not in the public schedule."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Literal

from google.transit.gtfs_realtime_pb2 import FeedEntity, TripDescriptor, TripUpdate

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.gtfs.schedule_index import IndexedTrip, ScheduleIndex
from continuous_gtfs.gtfs.trip_runs import nearest_service_date
from continuous_gtfs.pipeline.step import StepContext
from continuous_gtfs.realtime.builtin.entities import (
    ALERTS,
    OnFeeds,
    named,
    nothing_matched,
    report,
    report_unknown_routes,
    schedule_index,
    trip_descriptors,
    unique_texts,
)
from continuous_gtfs.realtime.feeds import TRIP_UPDATES, VEHICLE_POSITIONS, RealtimeFeeds

_SKIPPED = TripUpdate.StopTimeUpdate.SKIPPED
_RELATIONSHIPS = {"NEW": TripDescriptor.NEW, "ADDED": TripDescriptor.ADDED}


@dataclass(frozen=True)
class ConvertScheduledToNew(OnFeeds):
    """Shows scheduled trips as trips that are unrelated to the schedule, each under an id of its own.

    The new id is made of the trip_id and the service day (and the start, where a trip of frequencies.txt runs more
    than once a day), so the same trip has the same one in every run, in every feed and in an alert about it. Without
    ``start_date`` the service day is meant whose run of the trip is nearest in time. What the vendor left out of
    ``route_id`` and ``direction_id`` is taken from the schedule: consumers cannot look it up under the new id.

    A trip that the schedule does not know stays as it is and is counted. Without a schedule nothing is converted.
    Arrivals and departures are not made up: a trip update whose stops lack a ``stop_id`` or a time, which consumers
    would have read from the schedule, is counted as a warning.

    Attributes:
        route_ids: Only trips of these routes, by the schedule; None for all.
        prefix: What the new ids begin with.
        relationship: ``NEW`` is what the specification has for such a trip; ``ADDED``, which it has given up, is for
            consumers that do not know it yet.
    """

    _: KW_ONLY
    route_ids: Collection[str] | None = None
    prefix: str = "new-"
    relationship: Literal["NEW", "ADDED"] = "NEW"
    feeds: Collection[str] = (VEHICLE_POSITIONS, TRIP_UPDATES, ALERTS)

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = "ConvertScheduledToNew"
        if self.route_ids is not None:
            object.__setattr__(self, "route_ids", frozenset(unique_texts(kind, "route_ids", self.route_ids)))
        if not isinstance(self.prefix, str) or not self.prefix.strip():
            raise StepDefinitionError(f"{kind}: prefix={self.prefix!r} is no text or blank")
        if self.relationship not in _RELATIONSHIPS:
            raise StepDefinitionError(f"{kind}: relationship={self.relationship!r}; say NEW or ADDED")

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        index = schedule_index("ConvertScheduledToNew", context)
        if index is None:
            return
        report_unknown_routes(context, self.route_ids, index)
        found = False
        for feed_name in self.present(feed):
            wanted: list[int] = []
            unknown: list[str] = []
            for position, entity in enumerate(feed.message(feed_name).entity):
                scheduled = [trip for trip in trip_descriptors(entity) if _is_scheduled(trip)]
                if any(self._indexed(trip, index) for trip in scheduled):
                    wanted.append(position)
                unknown += [named(trip, entity) for trip in scheduled if not index.is_known_trip(trip.trip_id)]
            what = "trips left as they are, since the schedule does not know them"
            report(context, "info", "unknown_trips_kept", what, feed_name, unknown)
            if wanted:
                found = True
                entities = feed.edit(feed_name).entity
                self._convert([entities[position] for position in wanted], feed_name, index, context)
        if not found:
            nothing_matched(context, "no trip of these feeds is a scheduled one of these routes")

    def _convert(self, entities: list[FeedEntity], feed_name: str, index: ScheduleIndex, context: StepContext) -> None:
        converted: list[str] = []
        incomplete: list[str] = []
        for entity in entities:
            for trip in trip_descriptors(entity):
                indexed = self._indexed(trip, index) if _is_scheduled(trip) else None
                if indexed is None:
                    continue
                old = trip.trip_id
                trip.trip_id = self._new_id(trip, index, context.now)
                trip.schedule_relationship = _RELATIONSHIPS[self.relationship]
                if not trip.route_id and indexed.route_id:
                    trip.route_id = indexed.route_id
                if not trip.HasField("direction_id") and indexed.direction_id is not None:
                    trip.direction_id = indexed.direction_id
                converted.append(f"{old} to {trip.trip_id}")
            if entity.HasField("trip_update") and _needs_schedule(entity):
                incomplete.append(entity.trip_update.trip.trip_id)
        report(context, "info", "trips_converted", f"trips shown as {self.relationship}", feed_name, converted)
        what = f"{self.relationship} trips have stops without a stop_id or a time, which only the schedule has"
        report(context, "warning", "new_trips_without_times", what, feed_name, incomplete)

    def _indexed(self, trip: TripDescriptor, index: ScheduleIndex) -> IndexedTrip | None:
        """What the schedule has of a trip; None where it is not one to convert."""
        indexed = index.trips.get(trip.trip_id)
        if indexed is None or (self.route_ids is not None and indexed.route_id not in self.route_ids):
            return None
        return indexed

    def _new_id(self, trip: TripDescriptor, index: ScheduleIndex, now: datetime) -> str:
        start_date = trip.start_date or f"{nearest_service_date(index, trip.trip_id, now):%Y%m%d}"
        new = f"{self.prefix}{trip.trip_id}-{start_date}"
        if trip.start_time and trip.trip_id in index.repeated_trips:
            new += f"-{trip.start_time.zfill(len('HH:MM:SS'))}"
        return new


def _is_scheduled(trip: TripDescriptor) -> bool:
    """Whether a trip runs by the schedule, which is also what a feed means that does not say."""
    return bool(trip.trip_id) and trip.schedule_relationship == TripDescriptor.SCHEDULED


def _needs_schedule(entity: FeedEntity) -> bool:
    return any(
        not update.stop_id
        or (update.schedule_relationship != _SKIPPED and not (update.arrival.time or update.departure.time))
        for update in entity.trip_update.stop_time_update
    )
