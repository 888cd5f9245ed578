"""FilterStopsByID: stops that riders may not see yet, or no longer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, dataclass
from functools import cache
from typing import Literal

from google.transit.gtfs_realtime_pb2 import FeedMessage, TripUpdate, VehiclePosition

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import StepContext
from continuous_gtfs.realtime.builtin.cancellations import CANCELLED
from continuous_gtfs.realtime.builtin.entities import OnFeeds, drop_parts, nothing_matched, report
from continuous_gtfs.realtime.feeds import RealtimeFeeds

_POLICIES = ("keep", "drop")
IsFiltered = Callable[[str], bool]


@dataclass(frozen=True)
class FilterStopsByID(OnFeeds):
    """Takes stops out of public view, such as stations that are built but not open.

    Updates for these stops leave their trips, and a vehicle at or bound for one says no longer where it
    stops. Vehicles, trips and every other field stay. An update is about the stop that it names and about the one
    it is assigned to today (``assigned_stop_id``).

    An update or vehicle that names its stop by ``stop_sequence`` alone, without ``stop_id``, is not recognised.

    Attributes:
        ids: ``stop_id`` of the platforms and their stations; no parent is looked up.
        matches: A regular expression (``re.search``: anchor it with ``^`` and ``$``) for further ones.
        empty_trip_update: For a trip whose every update was filtered. ``keep`` leaves the entity, of which consumers
            then know no more than the schedule says; ``drop`` takes the trip update out. Both are counted. One that
            came without updates stays, as does a cancelled trip.
    """

    ids: Collection[str] = ()
    _: KW_ONLY
    matches: str | None = None
    empty_trip_update: Literal["keep", "drop"] = "keep"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.ids, str):
            raise StepDefinitionError(f"FilterStopsByID(ids={self.ids!r}): ids is a list of stop_ids")
        if not all(isinstance(stop_id, str) and stop_id for stop_id in self.ids):
            raise StepDefinitionError("FilterStopsByID: ids needs stop_ids, none of them empty")
        if not self.ids and self.matches is None:
            raise StepDefinitionError("FilterStopsByID: no stop could ever match; give ids or matches")
        if self.matches is not None:
            try:
                matches_blank = re.search(self.matches, "") is not None
            except (re.error, TypeError) as error:
                raise StepDefinitionError(
                    f"FilterStopsByID: matches={self.matches!r} is no regular expression: {error}"
                ) from None
            if matches_blank:
                raise StepDefinitionError(
                    f"FilterStopsByID: matches={self.matches!r} matches every stop_id, the empty one too"
                )
        if self.empty_trip_update not in _POLICIES:
            raise StepDefinitionError(
                f"FilterStopsByID: empty_trip_update={self.empty_trip_update!r}; say keep or drop"
            )
        # A set is asked for each stop of each update; its order is none, so neither is the hash's.
        object.__setattr__(self, "ids", frozenset(self.ids))

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        is_filtered = self._is_filtered()
        found = False
        for feed_name in self.present(feed):
            # Going through the entities takes time, and editing copies the whole message.
            if self.matches is None and not feed.may_hold(feed_name, self.ids):
                continue
            if _names_a_stop(feed.message(feed_name), is_filtered):
                found = True
                self._filter(feed.edit(feed_name), feed_name, is_filtered, context)
        if not found:
            nothing_matched(context, "no update and no vehicle is at one of the stops")

    def _is_filtered(self) -> IsFiltered:
        """Asked once for each stop_id; a blank is none of the ids, and no pattern that matches it is let through."""
        ids = frozenset(self.ids)
        pattern = None if self.matches is None else re.compile(self.matches)

        @cache
        def is_filtered(stop_id: str) -> bool:
            # Protobuf hands out bytes in place of text that is not UTF-8.
            if not isinstance(stop_id, str):
                return False
            return stop_id in ids or (pattern is not None and pattern.search(stop_id) is not None)

        return is_filtered

    def _filter(self, message: FeedMessage, feed_name: str, is_filtered: IsFiltered, context: StepContext) -> None:
        updates: Counter[str] = Counter()
        vehicles: Counter[str] = Counter()
        emptied: dict[int, str] = {}
        for position, entity in enumerate(message.entity):
            if entity.HasField("trip_update"):
                removed = _remove_updates(entity.trip_update, is_filtered)
                updates.update(removed)
                is_emptied = removed and not entity.trip_update.stop_time_update
                # A cancellation is about the whole trip, whatever stops it lists.
                if is_emptied and entity.trip_update.trip.schedule_relationship not in CANCELLED:
                    emptied[position] = entity.trip_update.trip.trip_id or entity.id
            if entity.HasField("vehicle") and is_filtered(entity.vehicle.stop_id):
                vehicles[entity.vehicle.stop_id] += 1
                _forget_stop(entity.vehicle)
        for stop_id, count in sorted(updates.items()):
            _count(context, "stop_time_updates_removed", f"updates for stop {stop_id}", feed_name, count, stop_id)
        for stop_id, count in sorted(vehicles.items()):
            _count(context, "vehicle_stops_cleared", f"vehicles at stop {stop_id}", feed_name, count, stop_id)
        if self.empty_trip_update == "drop":
            drop_parts(message, emptied, "trip_update")
            what = "trip updates dropped, since every stop of theirs was filtered"
            report(context, "warning", "trip_updates_dropped", what, feed_name, emptied.values())
        else:
            what = "trip updates of which every stop was filtered"
            report(context, "warning", "trip_updates_left_without_stops", what, feed_name, emptied.values())


def _names_a_stop(message: FeedMessage, is_filtered: IsFiltered) -> bool:
    return any(
        (entity.HasField("vehicle") and is_filtered(entity.vehicle.stop_id))
        or (
            entity.HasField("trip_update")
            and any(_stop_of(update, is_filtered) for update in entity.trip_update.stop_time_update)
        )
        for entity in message.entity
    )


def _remove_updates(trip_update: TripUpdate, is_filtered: IsFiltered) -> list[str]:
    """The stop of each update that was taken out, one an update."""
    updates = trip_update.stop_time_update
    found: list[tuple[int, str]] = []
    for position, update in enumerate(updates):
        # As in _stop_of, without a call for each of the many updates that name an ordinary stop.
        if is_filtered(update.stop_id) or update.HasField("stop_time_properties"):
            stop_id = _stop_of(update, is_filtered)
            if stop_id:
                found.append((position, stop_id))
    for position, _ in reversed(found):
        del updates[position]
    return [stop_id for _, stop_id in found]


def _stop_of(update: TripUpdate.StopTimeUpdate, is_filtered: IsFiltered) -> str | None:
    """The filtered stop that an update is about: as scheduled, or as assigned for today."""
    stop_id: str = update.stop_id
    if is_filtered(stop_id):
        return stop_id
    if not update.HasField("stop_time_properties"):
        return None
    assigned: str = update.stop_time_properties.assigned_stop_id
    return assigned if is_filtered(assigned) else None


def _forget_stop(vehicle: VehiclePosition) -> None:
    """The three fields that say together where a vehicle stops; a status without its stop would mislead."""
    vehicle.ClearField("stop_id")
    vehicle.ClearField("current_stop_sequence")
    vehicle.ClearField("current_status")


def _count(context: StepContext, code: str, what: str, feed_name: str, count: int, stop_id: str) -> None:
    context.find(Finding("info", code, f"{count} {what}", file=feed_name, count=count, sample=(stop_id,)))
