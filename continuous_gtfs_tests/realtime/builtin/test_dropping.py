from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.realtime.guards.references import references
from continuous_gtfs.realtime.steps import DropStaleVehicles, DropUnknownTrips
from continuous_gtfs_tests.realtime.builtin.running import NOW, found, ids, index_with, run
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update

STAMP = int(NOW.timestamp())
INPUTS = {"schedule_index": index_with()}


def seen(*ages_s: int | None) -> FeedMessage:
    return feed_message(
        *(
            {"vehicle": {"vehicle": {"id": f"v{age_s}"}} | ({} if age_s is None else {"timestamp": STAMP - age_s})}
            for age_s in ages_s
        )
    )


def test_vehicles_not_seen_for_a_while_go_and_those_that_do_not_say_stay() -> None:
    made, result = run(DropStaleVehicles(timedelta(minutes=5)), vehicle_positions=seen(0, 300, 301, None, -20, 9000))
    assert ids(made.message("vehicle_positions")) == ["1", "2", "4", "5"]
    assert found(result) == [
        ("info", "stale_vehicles_dropped", "vehicle_positions", 2, ("v301", "v9000")),
        ("info", "vehicles_without_timestamp", "vehicle_positions", 1, ("vNone",)),
    ]


def test_of_an_entity_that_says_more_only_the_stale_vehicle_goes() -> None:
    message = feed_message({"vehicle": {"timestamp": STAMP - 999}} | trip_update("t", "A"))
    made, result = run(DropStaleVehicles(timedelta(minutes=5)), vehicle_positions=message)
    (entity,) = made.message("vehicle_positions").entity
    assert not entity.HasField("vehicle")
    assert entity.trip_update.trip.trip_id == "t"
    assert found(result)[0][-1] == ("entity 1",)


def test_fresh_vehicles_are_left_alone_which_is_told() -> None:
    _, result = run(DropStaleVehicles(timedelta(minutes=5)), vehicle_positions=seen(1), trip_updates=seen(999))
    assert found(result) == [("info", "nothing_matched", None, 0, ())]
    assert result.rows_after == {"vehicle_positions": 1}


@pytest.mark.parametrize("older_than", [timedelta(0), timedelta(seconds=-1), 300])
def test_an_age_that_is_none_is_refused_where_it_is_written(older_than: Any) -> None:
    with pytest.raises(StepDefinitionError, match="DropStaleVehicles"):
        DropStaleVehicles(older_than)


def trips(*described: dict[str, Any]) -> dict[str, FeedMessage]:
    return {
        "trip_updates": feed_message(*({"trip_update": {"trip": trip}} for trip in described)),
        "vehicle_positions": feed_message(
            *({"vehicle": {"trip": trip, "vehicle": {"id": f"v{n}"}}} for n, trip in enumerate(described, start=1))
        ),
    }


UNKNOWN = trips(
    {"trip_id": "T1"},
    {"trip_id": "T9"},
    {"trip_id": "T9", "schedule_relationship": "CANCELED"},
    {"trip_id": "T9", "schedule_relationship": "DUPLICATED"},
    {"trip_id": "T9", "schedule_relationship": "ADDED"},
    {"trip_id": "T9", "schedule_relationship": "NEW"},
    {"trip_id": "T9", "schedule_relationship": "UNSCHEDULED"},
    {"route_id": "R"},
)


def test_trips_that_the_schedule_does_not_know_go_but_for_those_that_need_not_be_there() -> None:
    made, result = run(DropUnknownTrips(), inputs=INPUTS, **UNKNOWN)
    assert ids(made.message("trip_updates")) == ["1", "5", "6", "7", "8"]
    # Of a duplicated trip the vehicle has the id that is not the schedule's.
    assert ids(made.message("vehicle_positions")) == ["1", "4", "5", "6", "7", "8"]
    assert found(result) == [
        (
            "warning",
            "vehicles_of_unknown_trips_dropped",
            "vehicle_positions",
            2,
            ("T9 of vehicle v2", "T9 of vehicle v3"),
        ),
        ("warning", "unknown_trips_dropped", "trip_updates", 3, ("T9", "T9", "T9")),
    ]


def test_a_vehicle_on_an_unknown_trip_can_stay_without_it() -> None:
    made, result = run(DropUnknownTrips(vehicles="clear"), inputs=INPUTS, **UNKNOWN)
    vehicles = [entity.vehicle for entity in made.message("vehicle_positions").entity]
    assert [vehicle.vehicle.id for vehicle in vehicles] == [f"v{number}" for number in range(1, 9)]
    assert [vehicle.HasField("trip") for vehicle in vehicles] == [True, False, False] + [True] * 5
    assert found(result)[0][1:4] == ("unknown_trips_cleared", "vehicle_positions", 2)


@pytest.mark.parametrize(("policy", "left"), [("drop", ["2", "3"]), ("clear", ["1", "2", "3"])])
def test_an_entity_of_two_parts_keeps_what_is_known(policy: Any, left: list[str]) -> None:
    message = feed_message(
        {"trip_update": {"trip": {"trip_id": "T9"}}, "vehicle": {"trip": {"trip_id": "T9"}}},
        {"trip_update": {"trip": {"trip_id": "T9"}}, "vehicle": {"trip": {"trip_id": "T1"}}},
        {"trip_update": {"trip": {"trip_id": "T1"}}, "vehicle": {"trip": {"trip_id": "T9"}}},
    )
    made, _ = run(DropUnknownTrips(vehicles=policy), inputs=INPUTS, trip_updates=message)
    entities = made.message("trip_updates").entity
    assert [entity.id for entity in entities] == left
    assert not entities[-2].HasField("trip_update")
    assert entities[-2].vehicle.trip.trip_id == "T1"
    assert entities[-1].trip_update.trip.trip_id == "T1"
    assert entities[-1].HasField("vehicle") is (policy == "clear")
    assert not entities[-1].vehicle.HasField("trip")


def test_known_trips_are_left_alone_which_is_told() -> None:
    _, result = run(DropUnknownTrips(), inputs=INPUTS, **trips({"trip_id": "T1"}))
    assert found(result) == [("info", "nothing_matched", None, 0, ())]


def test_without_a_schedule_nothing_is_unknown_and_a_warning_says_so() -> None:
    made, result = run(DropUnknownTrips(), **UNKNOWN)
    assert len(made.message("trip_updates").entity) == 8
    assert found(result) == [("warning", "no_schedule_index", None, 0, ())]


@pytest.mark.parametrize("now", [datetime(2027, 7, 1, 15, 15, tzinfo=UTC), datetime(2025, 12, 31, 15, tzinfo=UTC)])
def test_a_schedule_that_does_not_cover_today_makes_no_trip_unknown(now: datetime) -> None:
    made, result = run(DropUnknownTrips(), now=now, inputs=INPUTS, **UNKNOWN)
    assert made.row_counts() == {"trip_updates": 8, "vehicle_positions": 8}
    assert found(result) == [("warning", "schedule_does_not_cover_today", None, 0, ())]


@pytest.mark.parametrize("vehicles", ["drop", "clear"])
@pytest.mark.parametrize(
    ("known", "unknown", "is_refused"), [(5, 5, False), (5, 6, True), (0, 4, False), (0, 5, True), (5, 95, True)]
)
def test_where_most_trips_are_unknown_all_stay_for_the_guard_to_see(
    known: int, unknown: int, is_refused: bool, vehicles: Any
) -> None:
    named = [{"trip_id": "T1"}] * known + [{"trip_id": f"new{number}"} for number in range(unknown)]
    made, result = run(DropUnknownTrips(vehicles=vehicles), inputs=INPUTS, **trips(*named))
    assert made.row_counts()["trip_updates"] == known + (unknown if is_refused else 0)
    left = references(made.message("vehicle_positions")).trip_ids
    assert (left.total() > known) is is_refused
    told = {(code, feed_name, count) for _, code, feed_name, count, _ in found(result)}
    assert (("too_many_trips_unknown", "trip_updates", unknown) in told) is is_refused


@pytest.mark.parametrize("limit", [{"max_share": 50}, {"max_share": -0.1}, {"always_allowed": -1}])
def test_a_limit_that_is_none_is_refused_where_it_is_written(limit: dict[str, Any]) -> None:
    with pytest.raises(StepDefinitionError, match="DropUnknownTrips: "):
        DropUnknownTrips(**limit)


def test_a_policy_that_is_none_is_refused_where_it_is_written() -> None:
    with pytest.raises(StepDefinitionError, match="say drop or clear"):
        DropUnknownTrips(vehicles="keep")  # type: ignore[arg-type]
