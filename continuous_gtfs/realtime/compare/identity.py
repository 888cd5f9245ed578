"""What identifies an entity from one feed to the next. Not its entity id: vendors make new ones for each snapshot.

An entity has several keys, from all that can identify it to what does so when the rest has changed. Which are used
when, and for how many entities at once, is in ``pairing``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

from google.transit.gtfs_realtime_pb2 import (
    Alert,
    FeedEntity,
    TripDescriptor,
    TripUpdate,
    VehicleDescriptor,
)

from continuous_gtfs.realtime.compare.contents import content

_PAYLOADS = ("trip_update", "vehicle", "alert", "shape", "stop", "trip_modifications")
_EXTRA = frozenset({TripDescriptor.ADDED, TripDescriptor.NEW, TripDescriptor.DUPLICATED})
_SHOWN_CHARACTERS = 60


def as_text(value: str | bytes) -> str:
    """A text to show. Protobuf hands out bytes in place of text that is not UTF-8."""
    return value if isinstance(value, str) else value.decode(errors="backslashreplace")


class Trip(NamedTuple):
    """One run of one trip on one day.

    Attributes:
        is_extra: Whether it runs beside the scheduled one. A duplicated trip goes under the trip_id of the trip that it
            repeats, and must not be taken for it.
        route: Of a trip without trip_id, route_id and direction_id stand for it.
    """

    trip_id: str
    start_date: str
    start_time: str
    is_extra: bool
    route: tuple[str, int | None]


class Identity(NamedTuple):
    """What one entity is.

    Attributes:
        payload: Which of the parts of an entity it has, joined by ``+``; blank where it has none.
        keys: From the narrowest to the widest. The first may be shared by several entities of a feed; by a later one
            an entity is only known where it alone has it. None in a place where it has no such key.
        trip: What it is about, where that is a trip.
        text: For people.
    """

    payload: str
    keys: tuple[Hashable | None, ...]
    trip: Trip | None
    text: str


def identify(entity: FeedEntity) -> Identity:
    """What an entity is, by its content.

    An entity without content, as one that is only marked as deleted, has nothing but its entity id.
    """
    parts = [name for name in _PAYLOADS if entity.HasField(name)]
    payload = "+".join(parts)
    if not parts:
        return Identity("", (entity.id,), None, f"entity id {as_text(entity.id)}")
    return _BY_PART[parts[0]](entity, payload)


def _vehicle_or_trip(entity: FeedEntity, payload: str) -> Identity:
    update, position = entity.trip_update, entity.vehicle
    descriptor = update.trip if entity.HasField("trip_update") else position.trip
    vehicle = _vehicle_id(update.vehicle) or _vehicle_id(position.vehicle)
    trip = _trip(descriptor)
    full = (trip, _properties(update), vehicle)
    by_vehicle = ("vehicle", vehicle) if vehicle else None
    by_trip = ("trip", trip, _properties(update)) if trip is not None else None
    # A bus that goes on to its next trip is the same bus; a trip that gets another bus is the same trip.
    wider = (by_trip, None) if entity.HasField("trip_update") else (by_vehicle, by_trip)
    said = [*_trip_words(descriptor), *(["vehicle", as_text(vehicle)] if vehicle else [])]
    return Identity(payload, (full, *wider), trip, " ".join(said) or f"entity id {as_text(entity.id)}")


def _alert(entity: FeedEntity, payload: str) -> Identity:
    alert: Alert = entity.alert
    header = content(alert.header_text) if alert.HasField("header_text") else None
    informed = tuple(sorted((content(one) for one in alert.informed_entity), key=repr))
    periods = tuple(sorted((content(one) for one in alert.active_period), key=repr))
    texts = [one.text for one in alert.header_text.translation] or [
        one.text for one in alert.description_text.translation
    ]
    shown = " ".join(as_text(texts[0]).split())[:_SHOWN_CHARACTERS] if texts else "without text"
    keys = (
        (header, informed, periods),
        (header, informed) if header is not None else None,
        ("header", header) if header is not None else None,
        ("informed", informed, periods) if informed else None,
    )
    return Identity(payload, keys, None, f'alert "{shown}"')


def _shape(entity: FeedEntity, payload: str) -> Identity:
    return Identity(payload, (entity.shape.shape_id,), None, f"shape {as_text(entity.shape.shape_id)}")


def _stop(entity: FeedEntity, payload: str) -> Identity:
    return Identity(payload, (entity.stop.stop_id,), None, f"stop {as_text(entity.stop.stop_id)}")


def _trip_modifications(entity: FeedEntity, payload: str) -> Identity:
    modifications = entity.trip_modifications
    trips = sorted({as_text(trip_id) for selected in modifications.selected_trips for trip_id in selected.trip_ids})
    dates = sorted(map(as_text, modifications.service_dates))
    keys = ((tuple(trips), tuple(dates), tuple(modifications.start_times)), ("trips", tuple(trips)) if trips else None)
    said = f"trip modifications of {', '.join(trips)} on {', '.join(dates)}"
    return Identity(payload, keys, None, said[: 2 * _SHOWN_CHARACTERS])


_BY_PART: dict[str, Callable[[FeedEntity, str], Identity]] = {
    "trip_update": _vehicle_or_trip,
    "vehicle": _vehicle_or_trip,
    "alert": _alert,
    "shape": _shape,
    "stop": _stop,
    "trip_modifications": _trip_modifications,
}


def _trip(trip: TripDescriptor) -> Trip | None:
    is_extra = trip.schedule_relationship in _EXTRA
    if trip.trip_id:
        return Trip(trip.trip_id, trip.start_date, trip.start_time, is_extra, ("", None))
    if trip.route_id:
        direction = trip.direction_id if trip.HasField("direction_id") else None
        return Trip("", trip.start_date, trip.start_time, is_extra, (trip.route_id, direction))
    return None


def _properties(update: TripUpdate) -> tuple[str, str, str]:
    """Which run a duplicated trip is."""
    properties = update.trip_properties
    return properties.trip_id, properties.start_date, properties.start_time


def _vehicle_id(vehicle: VehicleDescriptor) -> str:
    identifier: str = vehicle.id or vehicle.label or vehicle.license_plate
    return identifier


def _trip_words(trip: TripDescriptor) -> list[str]:
    words = ["trip", trip.trip_id] if trip.trip_id else (["route", trip.route_id] if trip.route_id else [])
    if words:
        words += [word for word in (trip.start_date, trip.start_time) if word]
    if trip.schedule_relationship in _EXTRA:
        words.append(TripDescriptor.ScheduleRelationship.Name(trip.schedule_relationship))
    return [as_text(word) for word in words]
