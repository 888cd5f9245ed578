from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.transit.gtfs_realtime_pb2 import FeedHeader, FeedMessage

from continuous_gtfs.errors import StepDefinitionError, StepFailedError
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.realtime.builtin.combining import sources_of
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.steps import CombineFeeds
from continuous_gtfs_tests.realtime.builtin.running import codes, found, ids
from continuous_gtfs_tests.realtime.builtin.running import run as run_at
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle

STAMP = 1_700_000_030


def run(step: CombineFeeds, **messages: FeedMessage) -> tuple[RealtimeFeeds, StepResult]:
    """Half a minute after what the feeds say where they say nothing else."""
    return run_at(step, now=datetime.fromtimestamp(STAMP, UTC), **messages)


def vehicles(*pairs: tuple[str, str], **header: Any) -> FeedMessage:
    """Entities of these ids, each with a vehicle of this id."""
    return feed_message(*({"id": entity_id} | vehicle(vehicle_id, "A") for entity_id, vehicle_id in pairs), **header)


def combined(made: Any, name: str = "vehicle_positions") -> list[tuple[str, str]]:
    return [(entity.id, entity.vehicle.vehicle.id) for entity in made.message(name).entity]


def test_entities_are_appended_in_the_order_of_the_sources_and_the_sources_stay() -> None:
    b, c = vehicles(("3", "b1"), ("2", "b2")), vehicles(("9", "c1"))
    made, result = run(
        CombineFeeds("vehicle_positions", sources=["vendor_c", "vendor_b"]),
        vehicle_positions=vehicles(("1", "a1")),
        vendor_b=b,
        vendor_c=c,
    )
    assert combined(made) == [("1", "a1"), ("9", "c1"), ("3", "b1"), ("2", "b2")]
    assert made.message("vendor_b") == b
    assert found(result) == [
        ("info", "entities_combined", "vehicle_positions", 1, ("9",)),
        ("info", "entities_combined", "vehicle_positions", 2, ("3", "2")),
    ]
    assert result.changes["vehicle_positions"].added == 3


def test_the_feed_itself_has_its_place_among_the_sources_where_it_is_named() -> None:
    made, _ = run(
        CombineFeeds("vehicle_positions", sources=["vendor_b", "vehicle_positions"]),
        vehicle_positions=vehicles(("1", "a1")),
        vendor_b=vehicles(("1", "b1")),
    )
    assert combined(made) == [("1", "b1"), ("1-vehicle_positions", "a1")]


def test_another_entity_of_the_same_id_is_renamed_and_never_lost() -> None:
    made, result = run(
        CombineFeeds("vehicle_positions", sources=["b", "c"]),
        vehicle_positions=vehicles(("1", "a1"), ("1-b", "a2")),
        b=vehicles(("1", "b1"), ("2", "b2")),
        c=vehicles(("1", "c1"), ("2", "c2")),
    )
    assert combined(made) == [
        ("1", "a1"),
        ("1-b", "a2"),
        ("1-b-2", "b1"),
        ("2", "b2"),
        ("1-c", "c1"),
        ("2-c", "c2"),
    ]
    assert found(result)[-1] == (
        "info",
        "entities_renamed",
        "vehicle_positions",
        3,
        ("1 to 1-b-2", "1 to 1-c", "2 to 2-c"),
    )


def test_two_entities_never_get_the_same_new_id() -> None:
    made, _ = run(
        CombineFeeds("vehicle_positions", sources=["b-c", "c"]),
        vehicle_positions=vehicles(("1", "a1"), ("1-b", "a2")),
        **{"b-c": vehicles(("1", "b1")), "c": vehicles(("1-b", "c1"))},
    )
    assert ids(made.message("vehicle_positions")) == ["1", "1-b", "1-b-c", "1-b-c-2"]


def test_collisions_can_be_left_as_they_are_with_a_warning() -> None:
    made, result = run(
        CombineFeeds("vehicle_positions", sources=["b"], on_collision="report"),
        vehicle_positions=vehicles(("1", "a1")),
        b=vehicles(("1", "b1")),
    )
    assert combined(made) == [("1", "a1"), ("1", "b1")]
    assert found(result)[-1] == ("warning", "entity_ids_collide", "vehicle_positions", 1, ("1",))


def test_the_same_entity_from_two_feeds_is_kept_once_and_told() -> None:
    made, result = run(
        CombineFeeds("vehicle_positions", sources=["b"]),
        vehicle_positions=vehicles(("1", "a1")),
        b=vehicles(("1", "a1"), ("2", "b2")),
    )
    assert combined(made) == [("1", "a1"), ("2", "b2")]
    assert found(result)[-1] == ("info", "entities_repeated", "vehicle_positions", 1, ("1 of b",))


def test_entities_that_differ_in_what_the_bindings_do_not_know_are_not_the_same() -> None:
    unknown = vehicles(("1", "a1"))
    unknown.entity[0].vehicle.MergeFromString(b"\xfa\x3e\x01x")
    made, _ = run(CombineFeeds("vehicle_positions", sources=["b"]), vehicle_positions=vehicles(("1", "a1")), b=unknown)
    assert ids(made.message("vehicle_positions")) == ["1", "1-b"]
    assert made.message("vehicle_positions").entity[1].vehicle == unknown.entity[0].vehicle


def test_an_id_that_comes_twice_in_one_feed_stays_that_vendors_fault() -> None:
    made, _ = run(
        CombineFeeds("vehicle_positions", sources=["b"]),
        vehicle_positions=vehicles(("1", "a1"), ("1", "a2")),
        b=vehicles(("1", "a1"), ("1", "b2"), ("2", "b3"), ("2", "b3")),
    )
    assert combined(made) == [("1", "a1"), ("1", "a2"), ("1-b", "a1"), ("1-b", "b2"), ("2", "b3"), ("2", "b3")]


def test_what_refers_to_a_renamed_entity_of_its_own_feed_follows() -> None:
    modification: dict[str, Any] = {"modifications": [{"service_alert_id": "1"}]}
    update = trip_update("t")
    update["trip_update"]["trip"]["modified_trip"] = {"modifications_id": "2", "affected_trip_id": "1"}
    made, _ = run(
        CombineFeeds("trip_updates", sources=["b"]),
        trip_updates=feed_message(trip_update("a1"), trip_update("a2")),
        b=feed_message({"alert": {}}, {"trip_modifications": modification}, update),
    )
    _, _, alert, modifications, follower = made.message("trip_updates").entity
    assert (alert.id, modifications.id, follower.id) == ("1-b", "2-b", "3")
    assert modifications.trip_modifications.modifications[0].service_alert_id == "1-b"
    assert follower.trip_update.trip.modified_trip.modifications_id == "2-b"
    assert follower.trip_update.trip.modified_trip.affected_trip_id == "1"


@pytest.mark.parametrize(("choice", "expected"), [("oldest", 1_700_000_000), ("newest", 1_700_000_060)])
def test_the_header_is_as_old_as_its_oldest_source_unless_the_newest_is_asked_for(choice: Any, expected: int) -> None:
    made, _ = run(
        CombineFeeds("vehicle_positions", sources=["b", "c"], timestamp=choice),
        vehicle_positions=vehicles(("1", "a"), timestamp=1_700_000_030),
        b=vehicles(("2", "b"), timestamp=1_700_000_000),
        c=vehicles(("3", "c"), timestamp=1_700_000_060),
    )
    assert made.message("vehicle_positions").header.timestamp == expected


def test_a_source_without_a_timestamp_says_nothing_of_the_age() -> None:
    made, _ = run(
        CombineFeeds("vehicle_positions", sources=["b"], max_source_age=None),
        vehicle_positions=vehicles(("1", "a"), timestamp=1_700_000_030),
        b=vehicles(("2", "b"), timestamp=0),
    )
    assert made.message("vehicle_positions").header.timestamp == 1_700_000_030


@pytest.mark.parametrize(("age_s", "is_used"), [(60, True), (61, False), (None, False)])
def test_a_source_that_is_too_old_is_left_out_with_a_warning(age_s: int | None, is_used: bool) -> None:
    made, result = run(
        CombineFeeds("vehicle_positions", sources=["b"], max_source_age=timedelta(minutes=1)),
        vehicle_positions=vehicles(("1", "a"), timestamp=STAMP - 600),
        b=vehicles(("2", "b"), timestamp=0 if age_s is None else STAMP - age_s),
    )
    assert ids(made.message("vehicle_positions")) == (["1", "2"] if is_used else ["1"])
    assert ("source_too_old" in codes(result)) is not is_used


def test_the_sources_of_a_feed_are_those_of_all_steps_that_combine_into_it() -> None:
    steps = [
        CombineFeeds("vehicle_positions", sources=["b", "vehicle_positions"]),
        CombineFeeds("vehicle_positions", sources=["c"]),
        CombineFeeds("trip_updates", sources=["d"]),
    ]
    assert sources_of(steps, "vehicle_positions") == {"b", "c"}
    assert sources_of(steps, "alerts") == frozenset()


@pytest.mark.parametrize(("age_s", "is_used"), [(75, True), (76, False), (7200, False)])
def test_a_source_that_stands_still_is_left_out_before_the_guards_would_stop_the_whole_feed(
    age_s: int, is_used: bool
) -> None:
    made, _ = run(
        CombineFeeds("vehicle_positions", sources=["b"]),
        vehicle_positions=vehicles(("1", "a"), timestamp=STAMP),
        b=vehicles(("2", "b"), timestamp=STAMP - age_s),
    )
    assert made.message("vehicle_positions").header.timestamp == (STAMP - age_s if is_used else STAMP)


def test_a_feed_that_is_not_there_is_a_warning_and_the_rest_is_combined() -> None:
    step = CombineFeeds("vehicle_positions", sources=["b", "c"])
    made, result = run(step, vehicle_positions=vehicles(("1", "a")), c=vehicles(("2", "c")))
    assert ids(made.message("vehicle_positions")) == ["1", "2"]
    assert found(result)[0] == ("warning", "source_missing", "b", 0, ())
    made, result = run(step, c=vehicles(("2", "c")))
    assert found(result) == [("warning", "feed_missing", "vehicle_positions", 0, ())]


def test_a_list_of_changes_is_no_feed_to_combine() -> None:
    with pytest.raises(StepFailedError, match="b is DIFFERENTIAL"):
        run(
            CombineFeeds("vehicle_positions", sources=["b"]),
            vehicle_positions=vehicles(("1", "a")),
            b=vehicles(("2", "b"), incrementality=FeedHeader.DIFFERENTIAL),
        )


@pytest.mark.parametrize(
    "arguments",
    [
        {"into": "", "sources": ["b"]},
        {"into": "a", "sources": "b"},
        {"into": "a", "sources": []},
        {"into": "a", "sources": ["a"]},
        {"into": "a", "sources": ["b", "b"]},
        {"into": "a", "sources": ["b"], "on_collision": "drop"},
        {"into": "a", "sources": ["b"], "timestamp": "now"},
        {"into": "a", "sources": ["b"], "max_source_age": 60},
        {"into": "a", "sources": ["b"], "max_source_age": timedelta(0)},
    ],
)
def test_what_cannot_be_combined_is_refused_where_it_is_written(arguments: dict[str, Any]) -> None:
    with pytest.raises(StepDefinitionError, match="CombineFeeds"):
        CombineFeeds(**arguments)
