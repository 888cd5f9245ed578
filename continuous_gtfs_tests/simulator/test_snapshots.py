"""The realtime feeds of the generated agency against its schedule and against each other."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from google.transit import gtfs_realtime_pb2

from continuous_gtfs.simulator.agency import GeneratedAgency
from continuous_gtfs.simulator.geometry import distance_m
from continuous_gtfs.simulator.service_days import service_day_origin, service_ids_on
from continuous_gtfs_tests.simulator.feed_reading import Row, message, rows, seconds

AGENCY = GeneratedAgency(seed=1)
SEATTLE = ZoneInfo("America/Los_Angeles")
REVISION = 3
SCHEDULE = AGENCY.schedule_zip(revision=REVISION, service_start=date(2026, 10, 28))
NOON = datetime(2026, 10, 28, 12, 0, 7, tzinfo=SEATTLE)
INSTANTS = [
    NOON,
    datetime(2026, 10, 28, 0, 40, tzinfo=SEATTLE),
    datetime(2026, 10, 28, 3, 5, tzinfo=SEATTLE),
    datetime(2026, 10, 28, 17, 31, tzinfo=SEATTLE),
    datetime(2026, 11, 1, 1, 30, tzinfo=SEATTLE, fold=1),
    datetime(2026, 11, 7, 22, 30, tzinfo=SEATTLE),
    datetime(2026, 11, 26, 8, 0, tzinfo=SEATTLE),
]


def both(
    now: datetime, edition: str = "production"
) -> tuple[gtfs_realtime_pb2.FeedMessage, gtfs_realtime_pb2.FeedMessage]:
    return (
        message(AGENCY.vehicle_positions(now, edition, revision=REVISION)),
        message(AGENCY.trip_updates(now, edition, revision=REVISION)),
    )


def schedule_of_trips() -> dict[str, list[Row]]:
    stop_times: dict[str, list[Row]] = {}
    for row in rows(SCHEDULE, "stop_times.txt"):
        stop_times.setdefault(row["trip_id"], []).append(row)
    return stop_times


STOP_TIMES = schedule_of_trips()
TRIPS = {row["trip_id"]: row for row in rows(SCHEDULE, "trips.txt")}
STOPS = {row["stop_id"]: row for row in rows(SCHEDULE, "stops.txt")}


@pytest.mark.parametrize("now", INSTANTS, ids=str)
def test_every_trip_and_stop_of_a_snapshot_is_in_the_schedule_on_that_date(now: datetime) -> None:
    for feed in both(now):
        for entity in feed.entity:
            descriptor = (entity.vehicle if entity.HasField("vehicle") else entity.trip_update).trip
            trip = TRIPS[descriptor.trip_id]
            service_date = datetime.strptime(descriptor.start_date, "%Y%m%d").date()
            assert trip["service_id"] in service_ids_on(service_date)
            assert (trip["route_id"], int(trip["direction_id"])) == (descriptor.route_id, descriptor.direction_id)
            assert descriptor.start_time == STOP_TIMES[descriptor.trip_id][0]["departure_time"]
            assert descriptor.schedule_relationship == gtfs_realtime_pb2.TripDescriptor.SCHEDULED


@pytest.mark.parametrize("now", INSTANTS, ids=str)
def test_each_vehicle_has_one_trip_update_that_begins_at_the_stop_the_vehicle_names(now: datetime) -> None:
    positions, updates = both(now)
    by_trip = {(e.trip_update.trip.trip_id, e.trip_update.trip.start_date): e.trip_update for e in updates.entity}
    assert len(by_trip) == len(updates.entity) == len(positions.entity) >= 4
    for entity in positions.entity:
        vehicle = entity.vehicle
        update = by_trip[vehicle.trip.trip_id, vehicle.trip.start_date]
        assert update.trip == vehicle.trip
        assert update.vehicle.id == vehicle.vehicle.id
        next_stop = update.stop_time_update[0]
        assert (next_stop.stop_sequence, next_stop.stop_id) == (vehicle.current_stop_sequence, vehicle.stop_id)


@pytest.mark.parametrize("now", INSTANTS, ids=str)
def test_predictions_are_the_schedule_plus_the_delay_for_every_stop_not_yet_left(now: datetime) -> None:
    for entity in both(now)[1].entity:
        update = entity.trip_update
        origin = service_day_origin(datetime.strptime(update.trip.start_date, "%Y%m%d").date())
        scheduled = STOP_TIMES[update.trip.trip_id]
        first = update.stop_time_update[0].stop_sequence
        assert [s.stop_sequence for s in update.stop_time_update] == list(range(first, len(scheduled) + 1))
        for predicted in update.stop_time_update:
            row = scheduled[predicted.stop_sequence - 1]
            assert predicted.stop_id == row["stop_id"]
            events = [(predicted.arrival, "arrival_time")] if predicted.HasField("arrival") else []
            if predicted.HasField("departure"):
                events.append((predicted.departure, "departure_time"))
            assert events
            for event, field in events:
                assert event.time == origin + seconds(row[field]) + update.delay
                assert event.delay == update.delay
        last = update.stop_time_update[-1]
        assert last.HasField("arrival")
        assert last.arrival.time >= now.timestamp() - 15


def test_a_vehicle_is_near_the_stop_it_stands_at_and_reports_seconds_ago() -> None:
    stopped = 0
    for entity in both(NOON)[0].entity:
        vehicle = entity.vehicle
        assert 1 <= NOON.timestamp() - vehicle.timestamp <= 12
        if vehicle.current_status == gtfs_realtime_pb2.VehiclePosition.STOPPED_AT:
            stop = STOPS[vehicle.stop_id]
            here = (vehicle.position.latitude, vehicle.position.longitude)
            assert distance_m(here, (float(stop["stop_lat"]), float(stop["stop_lon"]))) < 25
            stopped += 1
    assert stopped > 0


def test_both_feeds_report_the_stations_that_are_not_open() -> None:
    positions_at: set[str] = set()
    updates_at: set[str] = set()
    for minutes in range(0, 30, 2):
        positions, updates = both(NOON + timedelta(minutes=minutes))
        positions_at |= {entity.vehicle.stop_id for entity in positions.entity}
        updates_at |= {s.stop_id for entity in updates.entity for s in entity.trip_update.stop_time_update}
    not_open = {"E01-T1", "E01-T2", "E07-T1", "E07-T2"}
    assert not_open <= positions_at
    assert not_open <= updates_at


def test_the_header_carries_the_whole_second_of_now() -> None:
    for feed in both(NOON.replace(microsecond=900_000)):
        assert feed.header.timestamp == int(NOON.timestamp())
        assert feed.header.incrementality == gtfs_realtime_pb2.FeedHeader.FULL_DATASET


def test_entity_ids_are_new_in_every_snapshot_and_vehicle_ids_stay() -> None:
    first, second = both(NOON)[0], both(NOON + timedelta(seconds=20))[0]
    ids = [entity.id for feed in (first, second) for entity in feed.entity]
    assert len(set(ids)) == len(ids)
    before = {entity.vehicle.trip.trip_id: entity.vehicle.vehicle.id for entity in first.entity}
    after = {entity.vehicle.trip.trip_id: entity.vehicle.vehicle.id for entity in second.entity}
    shared = before.keys() & after.keys()
    assert len(shared) > 20
    assert all(before[trip_id] == after[trip_id] for trip_id in shared)


def test_the_same_instant_gives_the_same_bytes_in_a_fresh_agency_whatever_its_timezone() -> None:
    fresh = GeneratedAgency(seed=1)
    utc = NOON.astimezone(ZoneInfo("UTC"))
    for edition in ("production", "qa"):
        assert fresh.vehicle_positions(utc, edition) == AGENCY.vehicle_positions(NOON, edition)
        assert fresh.trip_updates(utc, edition) == AGENCY.trip_updates(NOON, edition)
    assert GeneratedAgency(seed=2).trip_updates(NOON, "qa") != AGENCY.trip_updates(NOON, "qa")


def test_the_qa_edition_has_one_test_vehicle_without_a_trip_and_the_same_trips() -> None:
    positions, updates = both(NOON, "qa")
    production_positions, production_updates = both(NOON)
    without_trip = [entity.vehicle for entity in positions.entity if not entity.vehicle.HasField("trip")]
    assert [vehicle.vehicle.id for vehicle in without_trip] == ["TEST.1"]
    assert len(positions.entity) == len(production_positions.entity) + 1
    assert [e.trip_update for e in updates.entity] == [e.trip_update for e in production_updates.entity]
