"""At which level two feeds are the same: what counts as the same content, and what does not."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.transit.gtfs_realtime_pb2 import FeedEntity, FeedMessage

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.realtime.compare.feeds import compare_feeds
from continuous_gtfs.realtime.compare.report import Comparison, Level
from continuous_gtfs.realtime.compare.tolerances import EXACT, Tolerances
from continuous_gtfs.realtime.messages import parse_feed, serialize_feed
from continuous_gtfs_tests.realtime.captures import captures, feed_message, trip_update, vehicle

HEADER_TIME = 1_700_000_000
DAY_S = 86_400


def some_feed() -> FeedMessage:
    return feed_message(trip_update("t", "a", "b"), vehicle("v1", "a"), vehicle("v2", "b"), {"alert": an_alert()})


def an_alert(text: str = "Elevator out of service") -> dict[str, Any]:
    return {
        "active_period": [{"start": 1}, {"start": 5, "end": 9}],
        "informed_entity": [{"stop_id": "a"}, {"stop_id": "b"}],
        "header_text": {"translation": [{"text": text, "language": "en"}, {"text": "Ascensor", "language": "es"}]},
    }


def after(change: Callable[[FeedMessage], object]) -> Comparison:
    """The comparison of a feed with itself after a change."""
    before = some_feed()
    changed = FeedMessage.FromString(before.SerializeToString())
    change(changed)
    return compare_feeds(before, changed)


def with_unknown(message: FeedMessage, tail: bytes) -> FeedMessage:
    return FeedMessage.FromString(message.SerializeToString() + tail)


def add_unknown(message: Any, tail: bytes = b"\xca\x3e\x01x") -> None:
    message.MergeFromString(tail)


def test_the_same_feed_is_the_same_bytes() -> None:
    found = after(lambda feed: None)
    assert found.level is Level.BYTES == 0
    assert found.differences == found.header_changes == ()
    assert found.counts.same == found.counts.before == found.counts.after == 4


def test_fields_written_in_another_order_leave_level_1() -> None:
    message = feed_message(vehicle("v", "a"))
    one = serialize_feed(message)
    header_size = len(message.header.SerializeToString()) + 2
    other = one[header_size:] + one[:header_size]
    before, changed = parse_feed(one, name="one"), parse_feed(other, name="other")
    assert compare_feeds(before, changed, bodies=(one, other)).level is Level.CONTENT_AND_ORDER == 1
    assert compare_feeds(before, changed, bodies=(one, one)).level is Level.BYTES


@pytest.mark.parametrize("path", captures())
def test_a_real_feed_in_another_order_under_new_entity_ids_has_the_same_content(path: Path) -> None:
    before = parse_feed(path.read_bytes(), name=path.name)
    entities = list(before.entity)
    random.Random(3).shuffle(entities)
    changed = FeedMessage(header=before.header, entity=entities)
    for number, entity in enumerate(changed.entity):
        entity.id = str(uuid.UUID(int=number))
    found = compare_feeds(before, changed, tolerances=EXACT)
    assert found.level is Level.CONTENT == 2
    assert found.counts.same == found.counts.other_entity_ids == len(before.entity)
    assert found.is_reordered == (len(entities) > 1)


def test_entity_ids_that_went_to_other_entities_do_not_pair_them() -> None:
    def swap(feed: FeedMessage) -> None:
        first, second = feed.entity[1], feed.entity[2]
        first.id, second.id = second.id, first.id

    found = after(swap)
    assert found.level is Level.CONTENT
    assert found.counts.other_entity_ids == 2
    assert not found.is_reordered


def test_another_entity_id_in_a_differential_feed_is_a_change() -> None:
    before = feed_message(vehicle("v", "a"), incrementality="DIFFERENTIAL")
    changed = FeedMessage.FromString(before.SerializeToString())
    changed.entity[0].id = "another"
    found = compare_feeds(before, changed)
    assert found.level is Level.DIFFERENT
    assert [change.path for change in found.differences[0].changes] == ["id"]


def move(latitude: float = 0, longitude: float = 0) -> Callable[[FeedMessage], None]:
    def change(feed: FeedMessage) -> None:
        feed.entity[1].vehicle.position.latitude += latitude
        feed.entity[1].vehicle.position.longitude += longitude

    return change


def set_vehicle(**fields: Any) -> Callable[[FeedMessage], None]:
    def change(feed: FeedMessage) -> None:
        for name, value in fields.items():
            setattr(feed.entity[1].vehicle, name, value)

    return change


def set_update(name: str, value: Any) -> Callable[[FeedMessage], None]:
    return lambda feed: setattr(feed.entity[0].trip_update, name, value)


def reverse(name: str) -> Callable[[FeedMessage], None]:
    def change(feed: FeedMessage) -> None:
        alert = feed.entity[3].alert
        repeated = alert.header_text.translation if name == "translation" else getattr(alert, name)
        turned = list(repeated)[::-1]
        del repeated[:]
        repeated.extend(turned)

    return change


def explicit_defaults(feed: FeedMessage) -> None:
    feed.header.incrementality = feed.header.FULL_DATASET
    for entity in feed.entity:
        entity.is_deleted = False
    feed.entity[0].trip_update.stop_time_update[0].schedule_relationship = 0
    feed.entity[3].alert.cause = feed.entity[3].alert.UNKNOWN_CAUSE


@pytest.mark.parametrize(
    "change",
    [
        move(latitude=0.000015),
        move(longitude=-0.00002),
        lambda feed: setattr(feed.header, "timestamp", HEADER_TIME + 30),
        lambda feed: setattr(feed.header, "timestamp", HEADER_TIME - 30),
        explicit_defaults,
        reverse("informed_entity"),
        reverse("active_period"),
        reverse("translation"),
    ],
)
def test_what_is_the_same_content(change: Callable[[FeedMessage], None]) -> None:
    assert after(change).level is Level.CONTENT


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (move(latitude=0.00003), "vehicle.position.latitude"),
        (move(longitude=0.00004), "vehicle.position.longitude"),
        (set_vehicle(stop_id="c"), "vehicle.stop_id"),
        (set_vehicle(occupancy_status=3), "vehicle.occupancy_status"),
        (set_vehicle(occupancy_percentage=0), "vehicle.occupancy_percentage"),
        (set_update("delay", 0), "trip_update.delay"),
        (
            lambda feed: setattr(feed.entity[0].trip_update.trip, "schedule_relationship", 0),
            "trip_update.trip.schedule_relationship",
        ),
        (lambda feed: setattr(feed.entity[2], "is_deleted", True), "is_deleted"),
        (lambda feed: feed.entity[1].vehicle.position.ClearField("longitude"), "vehicle.position.longitude"),
        (lambda feed: feed.entity[1].vehicle.ClearField("position"), "vehicle.position"),
        (lambda feed: add_unknown(feed.entity[1]), "unknown field 1001"),
        (lambda feed: add_unknown(feed.entity[1].vehicle.trip), "vehicle.trip.unknown field 1001"),
        (
            lambda feed: setattr(feed.entity[0].trip_update.stop_time_update[1].arrival, "delay", 61),
            "trip_update.stop_time_update[stop_sequence 2].arrival.delay",
        ),
        (lambda feed: feed.entity[3].alert.informed_entity.add(stop_id="c"), "alert.informed_entity"),
    ],
)
def test_what_makes_an_entity_different(change: Callable[[FeedMessage], object], path: str) -> None:
    found = after(change)
    assert found.level is Level.DIFFERENT
    assert (found.counts.removed, found.counts.added, found.counts.changed) == (0, 0, 1)
    assert [change.path for change in found.differences[0].changes] == [path]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda feed: setattr(feed.header, "timestamp", HEADER_TIME - 31), "header.timestamp"),
        (lambda feed: setattr(feed.header, "gtfs_realtime_version", "1.0"), "header.gtfs_realtime_version"),
        (lambda feed: setattr(feed.header, "incrementality", 1), "header.incrementality"),
        (lambda feed: feed.header.ClearField("timestamp"), "header.timestamp"),
        (lambda feed: add_unknown(feed.header), "header.unknown field 1001"),
        (lambda feed: add_unknown(feed), "unknown field 1001"),
    ],
)
def test_what_makes_a_header_different(change: Callable[[FeedMessage], object], path: str) -> None:
    found = after(change)
    assert found.level is Level.DIFFERENT
    assert [change.path for change in found.header_changes] == [path]
    assert found.differences == ()


def test_a_feed_thirty_days_older_is_different_whatever_is_stale_in_it() -> None:
    before = feed_message({"vehicle": {"vehicle": {"id": "v"}, "timestamp": 1}})
    older = FeedMessage.FromString(before.SerializeToString())
    older.header.timestamp -= 30 * DAY_S
    assert compare_feeds(before, older).level is Level.DIFFERENT
    assert compare_feeds(older, before).level is Level.DIFFERENT


def test_unknown_fields_of_other_numbers_have_no_order_and_those_of_one_number_have() -> None:
    one, two, other = b"\xca\x3e\x01x", b"\xd2\x3e\x01y", b"\xca\x3e\x01z"
    message = some_feed()
    mixed = compare_feeds(with_unknown(message, one + two), with_unknown(message, two + one))
    assert mixed.level is Level.CONTENT
    same_number = compare_feeds(with_unknown(message, one + other), with_unknown(message, other + one))
    assert same_number.level is Level.DIFFERENT


def test_updates_of_a_trip_in_another_order_are_different() -> None:
    def turn(feed: FeedMessage) -> None:
        updates = feed.entity[0].trip_update.stop_time_update
        turned = list(updates)[::-1]
        del updates[:]
        updates.extend(turned)

    found = after(turn)
    assert found.level is Level.DIFFERENT
    (change,) = found.differences[0].changes
    assert change.path == "trip_update.stop_time_update (order)"
    assert change.before == ["stop_sequence 1", "stop_sequence 2"] == change.after[::-1]


def test_not_a_number_is_the_same_as_not_a_number() -> None:
    before = feed_message({"vehicle": {"position": {"latitude": "NaN", "longitude": 1, "speed": "NaN"}}})
    changed = FeedMessage.FromString(before.SerializeToString())
    changed.entity[0].vehicle.position.longitude = 1.00001
    changed.entity[0].vehicle.position.latitude = 5
    (difference,) = compare_feeds(before, changed).differences
    assert [(change.path, change.before) for change in difference.changes] == [
        ("vehicle.position.latitude", "nan"),
        ("vehicle.position.longitude", 1.0),
    ]


@pytest.mark.parametrize(
    ("field", "before", "near", "far"),
    [("bearing", 359.5, 0.5, 0.75), ("speed", 10.0, 10.0625, 10.25), ("odometer", 5.0, 6.0, 6.5)],
)
def test_movement_has_tolerances(field: str, before: float, near: float, far: float) -> None:
    def moving(value: float) -> FeedMessage:
        return feed_message({"vehicle": {"position": {"latitude": 1, "longitude": 2, field: value}}})

    assert compare_feeds(moving(before), moving(near)).level is Level.CONTENT
    assert compare_feeds(moving(before), moving(near), tolerances=EXACT).level is Level.DIFFERENT
    assert compare_feeds(moving(before), moving(far)).level is Level.DIFFERENT


def test_positions_on_both_sides_of_the_180th_meridian_can_be_near() -> None:
    east, west = (
        feed_message({"vehicle": {"position": {"latitude": 60, "longitude": longitude}}})
        for longitude in (179.99999, -179.99999)
    )
    assert compare_feeds(east, west).level is Level.CONTENT


def test_predictions_have_a_tolerance_only_if_one_is_asked_for() -> None:
    before, later = (
        feed_message({"trip_update": {"trip": {"trip_id": "t"}, "stop_time_update": [{"arrival": {"time": time}}]}})
        for time in (1000, 1005)
    )
    assert compare_feeds(before, later).level is Level.DIFFERENT
    assert compare_feeds(before, later, tolerances=Tolerances(prediction_s=5)).level is Level.CONTENT
    with pytest.raises(ConfigurationError, match="tolerance prediction_s=-1"):
        Tolerances(prediction_s=-1)


def aged(vehicle_id: str, age_s: int, latitude: float = 1) -> dict[str, Any]:
    position = {"latitude": latitude, "longitude": 2}
    return {"vehicle": {"vehicle": {"id": vehicle_id}, "timestamp": HEADER_TIME - age_s, "position": position}}


@pytest.mark.parametrize(
    ("before", "changed"),
    [
        ([aged("v", 301)], []),
        ([], [aged("v", 301)]),
        ([aged("v", 400)], [aged("v", 500)]),
        ([aged("v", 400)], [aged("v", 400, latitude=1.1)]),
    ],
)
def test_feeds_that_differ_in_stale_vehicles_only_are_the_same_up_to_them(before: Any, changed: Any) -> None:
    found = compare_feeds(feed_message(aged("w", 5), *before), feed_message(aged("w", 5), *changed))
    assert found.level is Level.UP_TO_STALE_VEHICLES == 3
    assert found.counts.stale == 1
    assert found.differences[0].is_stale


@pytest.mark.parametrize(
    ("before", "changed"),
    [
        ([aged("v", 300)], []),
        ([{"vehicle": {"vehicle": {"id": "v"}}}], []),
        ([aged("v", 400)], [aged("v", 200)]),
        ([{"trip_update": {"trip": {"trip_id": "t"}, "timestamp": HEADER_TIME - 1000}}], []),
    ],
)
def test_what_is_not_a_stale_vehicle_is_a_difference(before: Any, changed: Any) -> None:
    found = compare_feeds(feed_message(aged("w", 5), *before), feed_message(aged("w", 5), *changed))
    assert found.level is Level.DIFFERENT
    assert found.counts.stale == 0


def test_no_vehicle_is_stale_in_a_feed_of_unknown_age() -> None:
    found = compare_feeds(feed_message(aged("v", 1000), timestamp=0), feed_message(timestamp=0))
    assert found.level is Level.DIFFERENT


def test_an_entity_without_an_id_or_with_one_that_is_no_text_is_compared_all_the_same() -> None:
    nameless = FeedMessage(entity=[FeedEntity(vehicle=some_feed().entity[1].vehicle)])
    latin = some_feed().SerializeToString().replace(b"\x0a\x012", b"\x0a\x01\xff", 1)
    found = compare_feeds(nameless, FeedMessage.FromString(latin))
    assert (found.counts.same, found.counts.added, found.counts.other_entity_ids) == (1, 3, 1)
