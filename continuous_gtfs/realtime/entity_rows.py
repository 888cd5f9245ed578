"""Entities as flat rows, for those who analyse an archive: the fields that most questions are about.

A row is one vehicle, trip update or alert; what else there is stays in the message's bytes. Nothing is worked out: a
column is a field as sent, or null.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import Message
from google.transit.gtfs_realtime_pb2 import Alert, FeedEntity, FeedMessage, TripDescriptor, TripUpdate, VehiclePosition

ENTITY_COLUMNS: Mapping[str, str] = {
    "entity": "string",
    "id": "string",
    "is_deleted": "bool",
    "trip_id": "string",
    "route_id": "string",
    "direction_id": "uint64",
    "start_date": "string",
    "start_time": "string",
    "schedule_relationship": "string",
    "vehicle_id": "string",
    "vehicle_label": "string",
    "latitude": "float",
    "longitude": "float",
    "bearing": "float",
    "speed": "float",
    "stop_id": "string",
    "current_stop_sequence": "uint64",
    "current_status": "string",
    "occupancy_status": "string",
    "timestamp": "uint64",
    "delay": "int64",
    "stop_time_updates": "uint64",
    "first_stop_id": "string",
    "first_stop_sequence": "uint64",
    "first_arrival_delay": "int64",
    "first_arrival_time": "int64",
    "first_departure_delay": "int64",
    "first_departure_time": "int64",
    "cause": "string",
    "effect": "string",
}
"""Column to type: ``string``, ``bool``, ``int64``, ``uint64`` or ``float`` (32 bits). ``first_…`` is of the first
stop_time_update; ``stop_time_updates`` is how many there are; times are POSIX seconds, delays seconds."""

_ENUMS = {
    "cause": Alert.Cause,
    "effect": Alert.Effect,
    "current_status": VehiclePosition.VehicleStopStatus,
    "occupancy_status": VehiclePosition.OccupancyStatus,
    "schedule_relationship": TripDescriptor.ScheduleRelationship,
}


def entity_rows(message: FeedMessage) -> list[dict[str, Any]]:
    """A row for each vehicle, trip update and alert; fields that are not set are left out."""
    return [row for entity in message.entity for row in _rows(entity)]


def _rows(entity: FeedEntity) -> Iterator[dict[str, Any]]:
    shared = _fields(entity, ("id", "is_deleted"))
    if entity.HasField("trip_update"):
        yield shared | {"entity": "trip_update"} | _trip_update(entity.trip_update)
    if entity.HasField("vehicle"):
        yield shared | {"entity": "vehicle"} | _vehicle(entity.vehicle)
    if entity.HasField("alert"):
        yield shared | {"entity": "alert"} | _fields(entity.alert, ("cause", "effect"))
    if not (entity.HasField("trip_update") or entity.HasField("vehicle") or entity.HasField("alert")):
        yield shared


def _trip_update(update: TripUpdate) -> dict[str, Any]:
    row = _trip(update.trip) | _vehicle_id(update.vehicle) | _fields(update, ("timestamp", "delay"))
    row["stop_time_updates"] = len(update.stop_time_update)
    for first in update.stop_time_update[:1]:
        row |= {f"first_{name}": value for name, value in _fields(first, ("stop_id", "stop_sequence")).items()}
        for event in ("arrival", "departure"):
            row |= {
                f"first_{event}_{name}": value
                for name, value in _fields(getattr(first, event), ("delay", "time")).items()
            }
    return row


def _vehicle(vehicle: VehiclePosition) -> dict[str, Any]:
    return (
        _trip(vehicle.trip)
        | _vehicle_id(vehicle.vehicle)
        | _fields(vehicle.position, ("latitude", "longitude", "bearing", "speed"))
        | _fields(vehicle, ("stop_id", "current_stop_sequence", "current_status", "occupancy_status", "timestamp"))
    )


def _trip(trip: TripDescriptor) -> dict[str, Any]:
    return _fields(trip, ("trip_id", "route_id", "direction_id", "start_date", "start_time", "schedule_relationship"))


def _vehicle_id(vehicle: Message) -> dict[str, Any]:
    return {f"vehicle_{name}": value for name, value in _fields(vehicle, ("id", "label")).items()}


def _fields(message: Message, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _value(name, getattr(message, name)) for name in names if message.HasField(name)}


def _value(name: str, value: Any) -> Any:
    if name in _ENUMS:
        return _ENUMS[name].Name(value)
    if isinstance(value, float):
        # JSON, which the columns are read from, has no word for these.
        return value if math.isfinite(value) else None
    # Text that is not UTF-8 comes as bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else value
