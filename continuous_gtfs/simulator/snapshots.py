"""Vehicle states as GTFS-Realtime FeedMessages: VehiclePositions and TripUpdates of one instant."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable

from google.transit import gtfs_realtime_pb2

from continuous_gtfs.simulator.geometry import Point
from continuous_gtfs.simulator.movement import VehicleState
from continuous_gtfs.simulator.network import Mode
from continuous_gtfs.simulator.schedule_zip import format_date, format_time

YARD: Point = (47.5761, -122.3265)
"""Where the QA edition's test vehicle stands."""

_CARS = {Mode.FREQUENT_RAIL: 4, Mode.RAIL: 2}


class EntityIds:
    """Entity ids that are new in every snapshot, as the vendor's are: they say nothing about identity."""

    def __init__(self, *words: object) -> None:
        self._prefix = "/".join(map(str, words))
        self._count = 0

    def next(self) -> str:
        self._count += 1
        digest = hashlib.md5(f"{self._prefix}/{self._count}".encode(), usedforsecurity=False).digest()
        return str(uuid.UUID(bytes=digest, version=4)).upper()


def vehicle_positions(
    states: Iterable[VehicleState], *, timestamp: int, ids: EntityIds, has_test_vehicle: bool
) -> bytes:
    """The VehiclePositions message, a test vehicle without a trip added on request."""
    message = _message(timestamp)
    for state in states:
        vehicle = message.entity.add(id=ids.next()).vehicle
        _describe_trip(vehicle.trip, state)
        pattern = state.trip.pattern
        vehicle.position.latitude, vehicle.position.longitude = state.point
        vehicle.position.bearing = round(state.bearing, 1)
        vehicle.position.speed = round(state.speed_mps, 1)
        vehicle.current_stop_sequence = state.stop_index + 1
        vehicle.stop_id = pattern.stops[state.stop_index].stop_id
        vehicle.current_status = (
            gtfs_realtime_pb2.VehiclePosition.STOPPED_AT
            if state.is_stopped
            else gtfs_realtime_pb2.VehiclePosition.IN_TRANSIT_TO
        )
        vehicle.timestamp = state.observed_at
        number = state.trip.vehicle_id.rpartition(".")[2]
        vehicle.vehicle.id = state.trip.vehicle_id
        vehicle.vehicle.label = f"{pattern.route.short_name} {number}"
        for car in range(1, _CARS.get(pattern.route.mode, 0) + 1):
            vehicle.multi_carriage_details.add(
                id=f"{number}-{car}",
                label=f"{number}-{car}",
                occupancy_status=gtfs_realtime_pb2.VehiclePosition.NO_DATA_AVAILABLE,
                occupancy_percentage=-1,
                carriage_sequence=car,
            )
    if has_test_vehicle:
        vehicle = message.entity.add(id=ids.next()).vehicle
        vehicle.position.latitude, vehicle.position.longitude = YARD
        vehicle.timestamp = timestamp - 5
        vehicle.vehicle.id = "TEST.1"
        vehicle.vehicle.label = "QA test vehicle"
    return _serialized(message)


def trip_updates(states: Iterable[VehicleState], *, timestamp: int, ids: EntityIds) -> bytes:
    """The TripUpdates message: for each vehicle's trip the stops it has not yet left, as far as predicted."""
    message = _message(timestamp)
    for state in states:
        update = message.entity.add(id=ids.next()).trip_update
        _describe_trip(update.trip, state)
        update.vehicle.id = state.trip.vehicle_id
        update.timestamp = state.observed_at
        update.delay = state.delay_s
        pattern = state.trip.pattern
        expected_start = state.origin + state.trip.start_s + state.delay_s
        last = len(pattern.stops) - 1
        for index in range(state.stop_index, last + 1):
            stop_time_update = update.stop_time_update.add(
                stop_sequence=index + 1, stop_id=pattern.stops[index].stop_id
            )
            if index > 0:
                stop_time_update.arrival.time = expected_start + pattern.arrivals_s[index]
                stop_time_update.arrival.delay = state.delay_s
            if index < last:
                stop_time_update.departure.time = expected_start + pattern.departures_s[index]
                stop_time_update.departure.delay = state.delay_s
    return _serialized(message)


def _message(timestamp: int) -> gtfs_realtime_pb2.FeedMessage:
    message = gtfs_realtime_pb2.FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.incrementality = gtfs_realtime_pb2.FeedHeader.FULL_DATASET
    message.header.timestamp = timestamp
    return message


def _describe_trip(descriptor: gtfs_realtime_pb2.TripDescriptor, state: VehicleState) -> None:
    trip = state.trip
    descriptor.trip_id = trip.trip_id
    descriptor.route_id = trip.pattern.route.route_id
    descriptor.direction_id = trip.pattern.direction_id
    descriptor.start_date = format_date(state.service_date)
    descriptor.start_time = format_time(trip.start_s)
    descriptor.schedule_relationship = gtfs_realtime_pb2.TripDescriptor.SCHEDULED


def _serialized(message: gtfs_realtime_pb2.FeedMessage) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data
