from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage, TripDescriptor

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.steps import ConvertScheduledToNew
from continuous_gtfs_tests.realtime.builtin.running import NOW, found, index_with, run, seattle
from continuous_gtfs_tests.realtime.captures import feed_message

SMALL = index_with()


def naming(trip: dict[str, Any]) -> dict[str, FeedMessage]:
    """A trip in each of the feeds."""
    stops = [{"stop_id": "A", "arrival": {"time": 1}}]
    return {
        "trip_updates": feed_message({"trip_update": {"trip": trip, "stop_time_update": stops}}),
        "vehicle_positions": feed_message({"vehicle": {"trip": trip}}),
        "alerts": feed_message({"alert": {"informed_entity": [{"trip": trip}]}}),
    }


def convert(
    step: ConvertScheduledToNew | None = None, *, now: datetime = NOW, index: Any = SMALL, **messages: FeedMessage
) -> tuple[RealtimeFeeds, StepResult]:
    return run(step or ConvertScheduledToNew(), now=now, inputs={"schedule_index": index}, **messages)


def trips(made: RealtimeFeeds) -> list[TripDescriptor]:
    found = [entity.trip_update.trip for entity in made.message("trip_updates").entity]
    found += [entity.vehicle.trip for entity in made.message("vehicle_positions").entity]
    return found + [entity.alert.informed_entity[0].trip for entity in made.message("alerts").entity]


def test_a_scheduled_trip_is_shown_as_a_new_one_of_the_same_id_in_every_feed() -> None:
    made, result = convert(**naming({"trip_id": "T1", "start_date": "20260701", "start_time": "08:00:00"}))
    expected = TripDescriptor(
        trip_id="new-T1-20260701",
        start_date="20260701",
        start_time="08:00:00",
        schedule_relationship=TripDescriptor.NEW,
        route_id="007",
        direction_id=0,
    )
    assert trips(made) == [expected] * 3
    assert found(result) == [
        ("info", "trips_converted", name, 1, ("T1 to new-T1-20260701",))
        for name in ("vehicle_positions", "trip_updates", "alerts")
    ]


def test_the_new_id_is_the_same_in_every_run_of_the_service_day_and_with_or_without_the_date() -> None:
    made = [
        trips(convert(now=now, **naming(trip))[0])[0].trip_id
        for now in (seattle(7, 1, 4), seattle(7, 1, 8, 15), seattle(7, 1, 20))
        for trip in ({"trip_id": "T1"}, {"trip_id": "T1", "start_date": "20260701"})
    ]
    assert set(made) == {"new-T1-20260701"}


def test_the_same_trip_on_another_day_has_another_id() -> None:
    made, _ = convert(**naming({"trip_id": "T1", "start_date": "20260702"}))
    assert trips(made)[0].trip_id == "new-T1-20260702"


def test_runs_of_a_trip_that_repeats_have_ids_of_their_own() -> None:
    index = index_with("T1,06:00:00,10:00:00,600,1")
    made = [
        trips(convert(index=index, **naming({"trip_id": "T1", "start_date": "20260701"} | start))[0])[0].trip_id
        for start in ({"start_time": "06:00:00"}, {"start_time": "6:00:00"}, {"start_time": "06:10:00"}, {})
    ]
    assert made == [
        "new-T1-20260701-06:00:00",
        "new-T1-20260701-06:00:00",
        "new-T1-20260701-06:10:00",
        "new-T1-20260701",
    ]


def test_what_the_vendor_says_of_route_and_direction_stays() -> None:
    made, _ = convert(**naming({"trip_id": "T1", "route_id": "x", "direction_id": 1}))
    assert {(trip.route_id, trip.direction_id) for trip in trips(made)} == {("x", 1)}


@pytest.mark.parametrize(
    "trip",
    [
        {"trip_id": "T9"},
        {"trip_id": "T1", "schedule_relationship": "CANCELED"},
        {"trip_id": "T1", "schedule_relationship": "DUPLICATED"},
        {"route_id": "007"},
    ],
)
def test_any_other_trip_stays_as_it_is(trip: dict[str, Any]) -> None:
    messages = naming(trip)
    made, result = convert(**messages)
    assert {name: made.message(name) for name in made.names} == messages
    told = [one for one in found(result) if one[1] == "unknown_trips_kept"]
    assert len(told) == (3 if trip.get("trip_id") == "T9" else 0)
    assert found(result)[-1][:2] == ("info", "nothing_matched")


@pytest.mark.parametrize(
    ("start", "end", "moments", "expected"),
    [
        ("27:30:00", "28:30:00", (seattle(7, 2, 3, 20), seattle(7, 2, 3, 59), seattle(7, 2, 4, 40)), "new-T1-20260701"),
        ("00:10:00", "00:50:00", (seattle(7, 1, 23, 55), seattle(7, 2, 0, 5), seattle(7, 2, 1)), "new-T1-20260702"),
    ],
)
def test_the_id_of_a_trip_without_a_date_stays_the_same_through_its_run(
    start: str, end: str, moments: tuple[datetime, ...], expected: str
) -> None:
    index = index_with(stop_times=(f"T1,{start},{start},M,1", f"T1,{end},{end},N,2"))
    for now in moments:
        assert trips(convert(index=index, now=now, **naming({"trip_id": "T1"}))[0])[0].trip_id == expected


def test_routes_can_be_chosen_and_one_that_does_not_exist_is_told() -> None:
    step = ConvertScheduledToNew(route_ids=["N7", "X"])
    made, result = convert(step, **naming({"trip_id": "T1"}))
    assert trips(made)[0].trip_id == "T1"
    assert found(result)[0] == ("info", "routes_unknown", None, 1, ("X",))
    made, _ = convert(step, **naming({"trip_id": "NIGHT"}))
    assert trips(made)[0].trip_id == "new-NIGHT-20260630"


def test_prefix_and_relationship_can_be_others() -> None:
    made, _ = convert(ConvertScheduledToNew(prefix="x:", relationship="ADDED"), **naming({"trip_id": "T1"}))
    assert (trips(made)[0].trip_id, trips(made)[0].schedule_relationship) == ("x:T1-20260701", TripDescriptor.ADDED)


@pytest.mark.parametrize(
    ("stops", "is_told"),
    [
        ([], False),
        ([{"stop_id": "A", "arrival": {"time": 1}}, {"stop_id": "B", "departure": {"time": 2}}], False),
        ([{"stop_id": "A", "arrival": {"delay": 60}}], True),
        ([{"stop_id": "A", "schedule_relationship": "SKIPPED"}], False),
        ([{"stop_id": "A", "schedule_relationship": "NO_DATA"}], True),
        ([{"stop_sequence": 1, "arrival": {"time": 1}}], True),
    ],
)
def test_times_that_only_the_schedule_has_are_told(stops: list[dict[str, Any]], is_told: bool) -> None:
    message = feed_message({"trip_update": {"trip": {"trip_id": "T1"}, "stop_time_update": stops}})
    _, result = convert(trip_updates=message)
    told = ("warning", "new_trips_without_times", "trip_updates", 1, ("new-T1-20260701",))
    assert (told in found(result)) is is_told


def test_without_a_schedule_nothing_is_converted_and_a_warning_says_so() -> None:
    messages = naming({"trip_id": "T1"})
    made, result = run(ConvertScheduledToNew(), **messages)
    assert {name: made.message(name) for name in made.names} == messages
    assert found(result) == [("warning", "no_schedule_index", None, 0, ())]


@pytest.mark.parametrize(
    "arguments",
    [{"route_ids": "007"}, {"route_ids": []}, {"prefix": ""}, {"prefix": 1}, {"relationship": "SCHEDULED"}],
)
def test_what_makes_no_sense_is_refused_where_it_is_written(arguments: dict[str, Any]) -> None:
    with pytest.raises(StepDefinitionError, match="ConvertScheduledToNew"):
        ConvertScheduledToNew(**arguments)
