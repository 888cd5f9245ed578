from __future__ import annotations

from typing import Any

import pytest
from google.transit.gtfs_realtime_pb2 import VehiclePosition

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.running import run_step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.steps import FilterStopsByID
from continuous_gtfs_tests.realtime.builtin.running import NOW, found, ids, run
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle


def test_updates_at_filtered_stops_go_and_all_others_stay() -> None:
    made, result = run(
        FilterStopsByID(["E01", "E07"]),
        trip_updates=feed_message(
            trip_update("t1", "A", "E01", "B", "E07", "C"),
            trip_update("t2", "A", "E01"),
            trip_update("t3", "A"),
        ),
    )
    expected = feed_message(
        trip_update("t1", "A", "x", "B", "x", "C"), trip_update("t2", "A", "x"), trip_update("t3", "A")
    )
    for entity in expected.entity:
        updates = entity.trip_update.stop_time_update
        kept = [update for update in updates if update.stop_id != "x"]
        entity.trip_update.ClearField("stop_time_update")
        entity.trip_update.stop_time_update.extend(kept)
    assert made.message("trip_updates") == expected
    assert found(result) == [
        ("info", "stop_time_updates_removed", "trip_updates", 2, ("E01",)),
        ("info", "stop_time_updates_removed", "trip_updates", 1, ("E07",)),
    ]


def test_an_update_assigned_to_a_filtered_stop_goes_too() -> None:
    message = feed_message(trip_update("t", "A", "B"))
    properties = message.entity[0].trip_update.stop_time_update[1].stop_time_properties
    properties.assigned_stop_id = "E01"
    made, result = run(FilterStopsByID({"E01"}), trip_updates=message)
    assert [u.stop_id for u in made.message("trip_updates").entity[0].trip_update.stop_time_update] == ["A"]
    assert found(result) == [("info", "stop_time_updates_removed", "trip_updates", 1, ("E01",))]


def test_a_trip_that_loses_every_update_stays_and_is_counted() -> None:
    made, result = run(
        FilterStopsByID(["E01"]),
        trip_updates=feed_message(trip_update("t1", "E01", "E01"), trip_update("no updates from the start")),
    )
    assert [e.trip_update.trip.trip_id for e in made.message("trip_updates").entity] == [
        "t1",
        "no updates from the start",
    ]
    assert found(result)[-1] == ("warning", "trip_updates_left_without_stops", "trip_updates", 1, ("t1",))


def test_a_vehicle_at_a_filtered_stop_keeps_all_but_where_it_stops() -> None:
    made, result = run(
        FilterStopsByID(["E01"]), vehicle_positions=feed_message(vehicle("v1", "E01"), vehicle("v2", "A"))
    )
    first, second = (entity.vehicle for entity in made.message("vehicle_positions").entity)
    for field in ("stop_id", "current_stop_sequence", "current_status"):
        assert not first.HasField(field)
        assert second.HasField(field)
    assert first.position.latitude == 47.5
    assert first.trip.trip_id == "trip of v1"
    assert first.occupancy_status == VehiclePosition.MANY_SEATS_AVAILABLE
    assert found(result) == [("info", "vehicle_stops_cleared", "vehicle_positions", 1, ("E01",))]


def test_a_feed_without_the_filtered_stops_is_not_even_copied() -> None:
    feeds = RealtimeFeeds(
        {
            "trip_updates": feed_message(trip_update("t", "A", "")),
            "vehicle_positions": feed_message(vehicle("v", "")),
        }
    )
    made, result = run_step(FilterStopsByID(["E01"]), feeds, now=NOW)
    assert made.changed_since(feeds) == frozenset()
    assert found(result) == [("info", "nothing_matched", None, 0, ())]


def test_one_feed_alone_is_filtered_too() -> None:
    made, _ = run(FilterStopsByID(["E01"]), vehicle_positions=feed_message(vehicle("v", "E01")))
    assert not made.message("vehicle_positions").entity[0].vehicle.HasField("stop_id")


@pytest.mark.parametrize(
    "arguments",
    [
        {"ids": "E01"},
        {"ids": []},
        {"ids": [""]},
        {"ids": [1]},
        {},
        {"matches": "("},
        {"matches": 1},
        {"matches": ".*"},
        {"ids": ["E01"], "empty_trip_update": "remove"},
        {"ids": ["E01"], "feeds": []},
        {"ids": ["E01"], "feeds": "trip_updates"},
        {"ids": ["E01"], "feeds": ["a", "a"]},
    ],
)
def test_what_filters_nothing_or_all_is_refused_where_it_is_written(arguments: dict[str, Any]) -> None:
    with pytest.raises(StepDefinitionError, match="FilterStopsByID"):
        FilterStopsByID(**arguments)


def test_stops_can_be_named_by_a_pattern_which_a_blank_never_matches() -> None:
    made, result = run(
        FilterStopsByID(["A"], matches=r"^E0\d"),
        trip_updates=feed_message(trip_update("t", "A", "E01-T1", "", "XE01", "B")),
    )
    stops = [update.stop_id for update in made.message("trip_updates").entity[0].trip_update.stop_time_update]
    assert stops == ["", "XE01", "B"]
    assert [sample for *_, sample in found(result)] == [("A",), ("E01-T1",)]


def test_a_trip_of_which_nothing_is_left_can_be_dropped_but_not_one_that_came_empty() -> None:
    message = feed_message(
        trip_update("t1", "E01"),
        trip_update("came without"),
        trip_update("t2", "E01", "A"),
        trip_update("t3", "E01") | vehicle("v", "A"),
    )
    made, result = run(FilterStopsByID(["E01"], empty_trip_update="drop"), trip_updates=message)
    assert ids(made.message("trip_updates")) == ["2", "3", "4"]
    last = made.message("trip_updates").entity[2]
    assert not last.HasField("trip_update")
    assert last.vehicle.vehicle.id == "v"
    assert found(result)[-1] == ("warning", "trip_updates_dropped", "trip_updates", 2, ("t1", "t3"))
    assert result.changes["trip_updates"].removed_sample == ("1",)


@pytest.mark.parametrize("relationship", ["CANCELED", "DELETED"])
def test_a_cancelled_trip_of_which_every_stop_is_filtered_is_still_cancelled(relationship: str) -> None:
    cancelled = trip_update("t1", "E01")
    cancelled["trip_update"]["trip"]["schedule_relationship"] = relationship
    made, result = run(FilterStopsByID(["E01"], empty_trip_update="drop"), trip_updates=feed_message(cancelled))
    update = made.message("trip_updates").entity[0].trip_update
    assert (update.trip.trip_id, len(update.stop_time_update)) == ("t1", 0)
    assert found(result) == [("info", "stop_time_updates_removed", "trip_updates", 1, ("E01",))]


def test_another_feed_is_filtered_where_it_is_named() -> None:
    step = FilterStopsByID(["E01"], feeds=["subway"])
    message = feed_message(trip_update("t", "E01", "A"))
    made, _ = run(step, subway=message, trip_updates=message)
    assert len(made.message("subway").entity[0].trip_update.stop_time_update) == 1
    assert len(made.message("trip_updates").entity[0].trip_update.stop_time_update) == 2
