"""The built-in steps of realtime pipelines. What a step is and how it is run: ``pipeline``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from google.transit.gtfs_realtime_pb2 import FeedMessage, TripUpdate, VehiclePosition

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import Step, StepContext
from continuous_gtfs.realtime.feeds import TRIP_UPDATES, VEHICLE_POSITIONS, RealtimeFeeds

_NO_FEEDS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PassThrough(Step[RealtimeFeeds]):
    """Changes nothing: for an agency whose feeds go out as they came in."""

    name: str = "PassThrough"
    files: frozenset[str] | None = _NO_FEEDS

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        context.log(f"{', '.join(feed.names) or 'no feed'}: passed through as fetched")


@dataclass(frozen=True)
class FilterStopsByID(Step[RealtimeFeeds]):
    """Takes stops out of public view, such as stations that are built but not open.

    Updates for these stops leave their trips, and a vehicle at or bound for one says no longer where it
    stops. Vehicles, trips and every other field stay. A trip that has no update left stays as an entity,
    which is counted as a warning: consumers then know no more of it than the schedule says.

    An update or vehicle that names its stop by ``stop_sequence`` alone, without ``stop_id``, is not recognised.

    Args:
        ids: ``stop_id`` of the platforms and their stations; no parent is looked up.
    """

    ids: Collection[str]
    name: str = "FilterStopsByID"
    files: frozenset[str] | None = frozenset({VEHICLE_POSITIONS, TRIP_UPDATES})

    def __post_init__(self) -> None:
        if isinstance(self.ids, str):
            raise StepDefinitionError(f"FilterStopsByID(ids={self.ids!r}): ids is a list of stop_ids")
        if not self.ids or not all(isinstance(stop_id, str) and stop_id for stop_id in self.ids):
            raise StepDefinitionError("FilterStopsByID: ids needs stop_ids, none of them empty")
        # A set is asked for each stop of each update; its order is none, so neither is the hash's.
        object.__setattr__(self, "ids", frozenset(self.ids))

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        for feed_name in (VEHICLE_POSITIONS, TRIP_UPDATES):
            # Editing copies the whole message: only for a feed that names one of the stops.
            if feed_name in feed and self._names_a_stop(feed.message(feed_name)):
                self._filter(feed.edit(feed_name), feed_name, context)

    def _names_a_stop(self, message: FeedMessage) -> bool:
        return any(
            (entity.HasField("vehicle") and entity.vehicle.stop_id in self.ids)
            or (
                entity.HasField("trip_update")
                and any(self._stop_of(update) for update in entity.trip_update.stop_time_update)
            )
            for entity in message.entity
        )

    def _filter(self, message: FeedMessage, feed_name: str, context: StepContext) -> None:
        updates: Counter[str] = Counter()
        vehicles: Counter[str] = Counter()
        emptied: list[str] = []
        for entity in message.entity:
            if entity.HasField("trip_update"):
                removed = self._remove_updates(entity.trip_update)
                updates += removed
                if removed and not entity.trip_update.stop_time_update:
                    emptied.append(entity.trip_update.trip.trip_id or entity.id)
            if entity.HasField("vehicle") and entity.vehicle.stop_id in self.ids:
                vehicles[entity.vehicle.stop_id] += 1
                _forget_stop(entity.vehicle)
        for stop_id, count in sorted(updates.items()):
            _report(context, "stop_time_updates_removed", f"updates for stop {stop_id}", feed_name, count, stop_id)
        for stop_id, count in sorted(vehicles.items()):
            _report(context, "vehicle_stops_cleared", f"vehicles at stop {stop_id}", feed_name, count, stop_id)
        if emptied:
            context.find(
                Finding(
                    "warning",
                    "trip_updates_left_without_stops",
                    "trip updates of which every stop was filtered",
                    file=feed_name,
                    count=len(emptied),
                    sample=tuple(emptied),
                )
            )

    def _remove_updates(self, trip_update: TripUpdate) -> Counter[str]:
        removed: Counter[str] = Counter()
        updates = trip_update.stop_time_update
        for position in range(len(updates) - 1, -1, -1):
            stop_id = self._stop_of(updates[position])
            if stop_id:
                removed[stop_id] += 1
                del updates[position]
        return removed

    def _stop_of(self, update: TripUpdate.StopTimeUpdate) -> str | None:
        """The filtered stop that an update is about: as scheduled, or as assigned for today."""
        if update.stop_id in self.ids:
            return update.stop_id
        assigned = update.stop_time_properties.assigned_stop_id
        return assigned if assigned in self.ids else None


@dataclass(frozen=True)
class UpdateFeedHeader(Step[RealtimeFeeds]):
    """Sets fields of the header of every feed.

    Args:
        version: ``gtfs_realtime_version``.
        timestamp: POSIX seconds, or ``"now"`` for the time of the run. A new timestamp makes old data look
            fresh to whatever looks at the header later, the header age guard included.
    """

    version: str | None = None
    timestamp: int | Literal["now"] | None = None
    name: str = "UpdateFeedHeader"
    files: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.version is None and self.timestamp is None:
            raise StepDefinitionError("UpdateFeedHeader: says nothing to set; give version= or timestamp=")
        if self.version is not None and not self.version.strip():
            raise StepDefinitionError("UpdateFeedHeader: version is blank, and no consumer could read the feed")
        if isinstance(self.timestamp, int) and self.timestamp <= 0:
            raise StepDefinitionError(f"UpdateFeedHeader: timestamp {self.timestamp} is no POSIX time")

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        timestamp = int(context.now.timestamp()) if self.timestamp == "now" else self.timestamp
        for feed_name in feed.names:
            header = feed.message(feed_name).header
            if self.version is not None and header.gtfs_realtime_version != self.version:
                context.log(f"{feed_name}: version {header.gtfs_realtime_version} to {self.version}")
                feed.edit(feed_name).header.gtfs_realtime_version = self.version
            if timestamp is not None and header.timestamp != timestamp:
                context.log(f"{feed_name}: timestamp {header.timestamp} to {timestamp}")
                feed.edit(feed_name).header.timestamp = timestamp


def _forget_stop(vehicle: VehiclePosition) -> None:
    """The three fields that say together where a vehicle stops; a status without its stop would mislead."""
    vehicle.ClearField("stop_id")
    vehicle.ClearField("current_stop_sequence")
    vehicle.ClearField("current_status")


def _report(context: StepContext, code: str, what: str, feed_name: str, count: int, stop_id: str) -> None:
    context.find(Finding("info", code, f"{count} {what}", file=feed_name, count=count, sample=(stop_id,)))
