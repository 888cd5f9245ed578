from __future__ import annotations

from typing import Any

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.errors import StepDefinitionError, StepFailedError
from continuous_gtfs.pipeline.running import run_step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.messages import parse_feed
from continuous_gtfs.realtime.steps import RenameVehicles, RewriteTripIds
from continuous_gtfs_tests.realtime.builtin.running import NOW, found, run
from continuous_gtfs_tests.realtime.captures import feed_message


def fleet() -> dict[str, FeedMessage]:
    return {
        "vehicle_positions": feed_message(
            {"vehicle": {"vehicle": {"id": "1", "label": "Car 1", "license_plate": "P1"}}},
            {"vehicle": {"vehicle": {"id": "2", "label": ""}}},
            {"vehicle": {"trip": {"trip_id": "t"}}},
        ),
        "trip_updates": feed_message(
            {"trip_update": {"trip": {"trip_id": "t"}, "vehicle": {"id": "1", "label": "Car 1"}}},
            {"trip_update": {"trip": {"trip_id": "u"}}},
        ),
    }


def described(made: RealtimeFeeds) -> list[tuple[str, str]]:
    found = [entity.vehicle.vehicle for entity in made.message("vehicle_positions").entity]
    found += [entity.trip_update.vehicle for entity in made.message("trip_updates").entity]
    return [(vehicle.id, vehicle.label) for vehicle in found]


def test_vehicles_get_a_prefix_in_every_feed_and_blanks_stay_blank() -> None:
    made, result = run(RenameVehicles("ST-"), **fleet())
    assert described(made) == [("ST-1", "ST-Car 1"), ("ST-2", ""), ("", ""), ("ST-1", "ST-Car 1"), ("", "")]
    assert made.message("vehicle_positions").entity[0].vehicle.vehicle.license_plate == "P1"
    assert not made.message("vehicle_positions").entity[2].vehicle.HasField("vehicle")
    assert found(result) == [
        ("info", "vehicle_ids_rewritten", "vehicle_positions", 2, ("1 to ST-1", "2 to ST-2")),
        ("info", "vehicle_ids_rewritten", "trip_updates", 1, ("1 to ST-1",)),
        ("info", "vehicle_labels_rewritten", "vehicle_positions", 1, ("Car 1 to ST-Car 1",)),
        ("info", "vehicle_labels_rewritten", "trip_updates", 1, ("Car 1 to ST-Car 1",)),
    ]


def test_vehicles_can_be_renamed_one_by_one_and_what_no_vehicle_has_is_told() -> None:
    made, result = run(RenameVehicles(mapping={"1": "Ruby", "7": "Opal"}, fields=["id"]), **fleet())
    assert described(made) == [("Ruby", "Car 1"), ("2", ""), ("", ""), ("Ruby", "Car 1"), ("", "")]
    assert found(result)[-1] == ("info", "mapping_unmatched", None, 1, ("7",))


def test_vehicles_can_be_renamed_by_a_pattern() -> None:
    made, _ = run(RenameVehicles(pattern=r"^Car (\d)$", replacement=r"Train \1", fields=["label"]), **fleet())
    assert described(made) == [("1", "Train 1"), ("2", ""), ("", ""), ("1", "Train 1"), ("", "")]


def test_two_vehicles_of_one_id_are_a_warning() -> None:
    _, result = run(RenameVehicles(pattern=r"\d", replacement="x", fields=["id"]), **fleet())
    assert found(result)[-1] == ("warning", "ids_now_shared", None, 1, ("x (from 1, 2)",))
    _, result = run(RenameVehicles(mapping={"1": "2"}, fields=["id"]), **fleet())
    assert found(result)[-1] == ("warning", "ids_now_shared", None, 1, ("2 (from 1, 2)",))


def test_a_rule_that_renames_no_vehicle_says_so_and_copies_nothing() -> None:
    feeds = RealtimeFeeds(fleet())
    made, result = run_step(RenameVehicles(mapping={"9": "x"}, fields=["id"]), feeds, now=NOW)
    assert made.changed_since(feeds) == frozenset()
    assert [finding.code for finding in result.findings] == ["nothing_matched", "mapping_unmatched"]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"prefix": ""},
        {"prefix": 1},
        {"prefix": "a", "mapping": {"a": "b"}},
        {"mapping": {}},
        {"mapping": {"a": ""}},
        {"mapping": {"a": 1}},
        {"pattern": "a"},
        {"replacement": "a", "prefix": "b"},
        {"pattern": "(", "replacement": "a"},
        {"pattern": "a", "replacement": r"\1"},
        {"prefix": "a", "fields": ["license_plate"]},
        {"prefix": "a", "fields": "id"},
    ],
)
def test_a_renaming_that_makes_no_sense_is_refused_where_it_is_written(arguments: dict[str, Any]) -> None:
    with pytest.raises(StepDefinitionError, match="RenameVehicles"):
        RenameVehicles(**arguments)


def test_the_order_of_a_mapping_is_not_in_the_hash() -> None:
    first, second = RenameVehicles(mapping={"a": "b", "c": "d"}), RenameVehicles(mapping={"c": "d", "a": "b"})
    assert first.source_hash() == second.source_hash()


def everywhere(trip_id: str) -> dict[str, FeedMessage]:
    """Each place where a trip_id can stand."""
    trip: dict[str, Any] = {"trip_id": trip_id, "modified_trip": {"affected_trip_id": trip_id, "modifications_id": "m"}}
    return {
        "vehicle_positions": feed_message({"vehicle": {"trip": trip}}),
        "trip_updates": feed_message(
            {"trip_update": {"trip": trip, "trip_properties": {"trip_id": trip_id, "trip_headsign": "North"}}},
            {"trip_modifications": {"selected_trips": [{"trip_ids": [trip_id, "other"]}, {"trip_ids": [trip_id]}]}},
        ),
        "alerts": feed_message({"alert": {"informed_entity": [{"route_id": trip_id}, {"trip": trip}]}}),
    }


def test_a_trip_id_is_rewritten_wherever_a_feed_names_a_trip() -> None:
    made, result = run(RewriteTripIds(r"^LLR_(\d+)$", r"\1"), **everywhere("LLR_7"))
    expected = everywhere("7")
    expected["alerts"].entity[0].alert.informed_entity[0].route_id = "LLR_7"
    assert {name: made.message(name) for name in made.names} == expected
    assert found(result) == [
        ("info", "trip_ids_rewritten", "vehicle_positions", 2, ("LLR_7 to 7",) * 2),
        ("info", "trip_ids_rewritten", "trip_updates", 5, ("LLR_7 to 7",) * 5),
        ("info", "trip_ids_rewritten", "alerts", 2, ("LLR_7 to 7",) * 2),
    ]


def test_no_place_of_a_trip_id_was_added_to_the_specification_since() -> None:
    """Fails when new bindings bring a field that names a trip: teach RewriteTripIds the place."""
    places: set[str] = set()
    todo, seen = [FeedMessage.DESCRIPTOR], set()
    while todo:
        descriptor = todo.pop()
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            if field.message_type is not None and field.message_type.full_name not in seen:
                todo.append(field.message_type)
            if "trip_id" in field.name:
                places.add(f"{descriptor.name}.{field.name}")
    assert places == {
        "TripDescriptor.trip_id",
        "ModifiedTripSelector.affected_trip_id",
        "TripProperties.trip_id",
        "SelectedTrips.trip_ids",
    }


def test_two_trips_of_one_id_are_a_warning_an_unchanged_one_counted_too() -> None:
    message = feed_message(*({"trip_update": {"trip": {"trip_id": trip_id}}} for trip_id in ("1", "1-x", "2-x", "3")))
    made, result = run(RewriteTripIds("-x$", ""), trip_updates=message)
    assert [entity.trip_update.trip.trip_id for entity in made.message("trip_updates").entity] == ["1", "1", "2", "3"]
    assert found(result)[-1] == ("warning", "ids_now_shared", None, 1, ("1 (from 1, 1-x)",))


def test_a_trip_of_which_no_id_would_be_left_fails_the_step() -> None:
    with pytest.raises(StepFailedError, match="1 trip_ids of which nothing would be left"):
        run(RewriteTripIds(".+", ""), trip_updates=feed_message({"trip_update": {"trip": {"trip_id": "7"}}}))


def test_a_trip_id_that_is_no_text_is_left_alone() -> None:
    message = feed_message({"trip_update": {"trip": {"trip_id": "7?"}}}, {"trip_update": {"trip": {"trip_id": "8"}}})
    body = message.SerializeToString().replace(b"7?", b"7\xff")
    feeds = RealtimeFeeds({"trip_updates": parse_feed(body, name="trip_updates")})
    made, _ = run_step(RewriteTripIds("[78]", "9"), feeds, now=NOW)
    data = made.to_bytes("trip_updates")
    assert b"7\xff" in data
    assert b"\x019" in data


def test_a_pattern_that_matches_no_trip_says_so() -> None:
    _, result = run(RewriteTripIds("^LLR", ""), **everywhere("7"))
    assert found(result) == [("info", "nothing_matched", None, 0, ())]


@pytest.mark.parametrize(("pattern", "replacement"), [("(", ""), ("a", r"\1"), (1, ""), ("a", 1)])
def test_a_pattern_that_is_none_is_refused_where_it_is_written(pattern: Any, replacement: Any) -> None:
    with pytest.raises(StepDefinitionError, match="RewriteTripIds"):
        RewriteTripIds(pattern, replacement)
