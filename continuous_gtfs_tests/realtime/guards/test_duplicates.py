from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.realtime.feeds import VEHICLE_POSITIONS, RealtimeFeeds
from continuous_gtfs.realtime.guards.duplicates import (
    Duplicates,
    drop_duplicate_entities,
    entity_ids_are_unique,
)
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle


def dropped_from(*entities: dict[str, Any]) -> tuple[list[tuple[str, str]], Duplicates]:
    """What is left, as id and vehicle id, and what was said of the rest."""
    feeds = RealtimeFeeds({VEHICLE_POSITIONS: feed_message(*entities)})
    found = drop_duplicate_entities(feeds, VEHICLE_POSITIONS)
    left = [(entity.id, entity.vehicle.vehicle.id) for entity in feeds.message(VEHICLE_POSITIONS).entity]
    return left, found


def named(entity_id: str, vehicle_id: str) -> dict[str, Any]:
    return {"id": entity_id} | vehicle(vehicle_id, "S1")


def test_of_two_entities_of_one_id_the_last_is_kept_and_the_others_keep_their_order() -> None:
    left, found = dropped_from(named("a", "1"), named("b", "2"), named("a", "3"), named("c", "4"), named("a", "3"))
    assert left == [("b", "2"), ("c", "4"), ("a", "3")]
    assert (found.dropped, found.differing, found.entities, found.ids) == (2, 1, 5, ("a",))
    assert found.told == ("2 of 5 entities dropped, as a later one has their id (1 said something else): 'a'")


def test_a_feed_whose_ids_are_all_different_is_not_copied() -> None:
    message = feed_message(named("a", "1"), named("b", "1"))
    feeds = RealtimeFeeds({VEHICLE_POSITIONS: message})
    assert drop_duplicate_entities(feeds, VEHICLE_POSITIONS).dropped == 0
    assert feeds.message(VEHICLE_POSITIONS) is message


def test_what_the_vendor_sent_is_not_changed() -> None:
    message = feed_message(named("a", "1"), named("a", "2"))
    drop_duplicate_entities(RealtimeFeeds({VEHICLE_POSITIONS: message}), VEHICLE_POSITIONS)
    assert len(message.entity) == 2


def test_a_vehicle_is_not_dropped_for_a_trip_update_of_the_same_id() -> None:
    left, found = dropped_from(named("a", "1"), {"id": "a"} | trip_update("T1", "S1"), named("a", "2"))
    assert left == [("a", ""), ("a", "2")]
    assert found.dropped == 1


def test_a_later_deletion_stands_for_all_and_a_later_vehicle_for_the_deletion() -> None:
    left, found = dropped_from(named("a", "1"), {"id": "a", "is_deleted": True})
    assert (left, found.dropped) == ([("a", "")], 1)
    left, found = dropped_from({"id": "a", "is_deleted": True}, named("a", "1"))
    assert (left, found.dropped) == ([("a", "1")], 1)


def test_a_flipped_is_deleted_is_told_as_something_else() -> None:
    _, found = dropped_from(named("a", "1") | {"is_deleted": True}, named("a", "1"))
    assert (found.dropped, found.differing) == (1, 1)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("123")), max_size=12))
def test_what_is_left_is_the_last_of_each_id_in_the_feeds_order(pairs: list[tuple[str, str]]) -> None:
    left, found = dropped_from(*(named(entity_id, vehicle_id) for entity_id, vehicle_id in pairs))
    last = {entity_id: position for position, (entity_id, _) in enumerate(pairs)}
    assert left == [pairs[position] for position in sorted(last.values())]
    assert found.dropped == len(pairs) - len(left)


@pytest.mark.parametrize(
    ("dropped", "entities", "max_percent", "is_passed"),
    [(0, 100, 10, True), (10, 100, 10, True), (11, 100, 10, False), (4, 5, 10, True), (99, 100, None, True)],
)
def test_a_feed_may_lose_some_to_duplicate_ids_but_not_most(
    dropped: int, entities: int, max_percent: float | None, is_passed: bool
) -> None:
    duplicates = Duplicates(dropped=dropped, entities=entities, ids=("a",))
    result = entity_ids_are_unique(duplicates, max_percent=max_percent, least_count=5)
    assert result.passed is is_passed
    assert result.value == 100 * dropped / entities
