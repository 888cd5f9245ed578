from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.realtime.guards.references import references, stop_ids_are_known, trip_ids_are_known
from continuous_gtfs_tests.builders import small_feed
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle


@pytest.fixture(scope="module")
def index() -> ScheduleIndex:
    body = small_feed(first_date=date(2026, 1, 1), last_date=date(2026, 12, 31))
    return ScheduleIndex.from_bytes(build_schedule_index(Feed.from_bytes(body)))


def with_relationship(trip_id: str, relationship: str) -> dict[str, Any]:
    entity = trip_update(trip_id, "S1")
    entity["trip_update"]["trip"]["schedule_relationship"] = relationship
    return entity


def test_ids_are_counted_as_often_as_they_are_named_in_updates_vehicles_and_alerts() -> None:
    alert = {"alert": {"informed_entity": [{"stop_id": "S1"}, {"trip": {"trip_id": "T1"}}]}}
    found = references(feed_message(trip_update("T1", "S1", "S2"), vehicle("7", "S1"), alert))
    assert found.trip_ids == {"T1": 2, "trip of 7": 1}
    assert found.stop_ids == {"S1": 3, "S2": 1}


def test_a_vehicle_without_trip_or_stop_refers_to_nothing() -> None:
    found = references(feed_message({"vehicle": {"vehicle": {"id": "7"}}}, trip_update("T1", "")))
    assert found.trip_ids == {"T1": 1}
    assert not found.stop_ids


@pytest.mark.parametrize(
    ("relationship", "is_counted"),
    [
        ("SCHEDULED", True),
        ("CANCELED", True),
        ("DELETED", True),
        ("UNSCHEDULED", True),
        ("ADDED", False),
        ("NEW", False),
        ("DUPLICATED", False),
        ("REPLACEMENT", False),
    ],
)
def test_a_trip_that_the_schedule_need_not_have_is_not_held_against_it(relationship: str, is_counted: bool) -> None:
    found = references(feed_message(with_relationship("T9", relationship)))
    assert bool(found.trip_ids) is is_counted


def test_a_stop_that_the_feed_brings_itself_is_known(index: ScheduleIndex) -> None:
    message = feed_message(trip_update("T1", *["NEW"] * 9, *["Z"] * 1), {"stop": {"stop_id": "NEW"}})
    result = stop_ids_are_known(references(message), index, max_percent=50, least_count=5)
    assert (result.passed, result.value) == (True, 10)


@pytest.mark.parametrize(("unknown", "is_passed", "share"), [(10, True, 50), (11, False, 52.38), (0, True, 0)])
def test_a_share_of_the_trips_may_be_unknown(index: ScheduleIndex, unknown: int, is_passed: bool, share: float) -> None:
    message = feed_message(
        *(trip_update("T1", "S1") for _ in range(10)), *(trip_update(f"X{number}", "S1") for number in range(unknown))
    )
    result = trip_ids_are_known(references(message), index, max_percent=50, least_count=5)
    assert (result.passed, result.value) == (is_passed, share)
    assert f"{unknown} of {10 + unknown} trip_ids" in result.message
    assert ("such as 'X0', 'X1', 'X2';" in result.message) == bool(unknown)


def test_a_few_unknown_ids_never_block(index: ScheduleIndex) -> None:
    message = feed_message(*(trip_update("X", "Z") for _ in range(4)))
    assert trip_ids_are_known(references(message), index, max_percent=0, least_count=5).passed
    assert stop_ids_are_known(references(message), index, max_percent=0, least_count=5).passed


def test_stops_are_held_against_the_stops_of_the_schedule(index: ScheduleIndex) -> None:
    known = sorted(index.stop_ids)[0]
    message = feed_message(trip_update("T1", *[known] * 10, *["Z"] * 11))
    result = stop_ids_are_known(references(message), index, max_percent=50, least_count=5)
    assert not result.passed
    assert "11 of 21 stop_ids (52.38 %) are not in the published schedule, such as 'Z'" in result.message


@pytest.mark.parametrize("stride", [2, 3, 4, 7])
@pytest.mark.parametrize("in_turns", [1, 2, 3, 4, 7])
def test_of_a_large_feed_some_tell_the_share_whatever_comes_in_turns(
    index: ScheduleIndex, stride: int, in_turns: int
) -> None:
    kinds = ["T1"] * in_turns + ["X"] * in_turns
    large = feed_message(*(trip_update(kinds[number % len(kinds)], "M") for number in range(stride * 1_000)))
    found = references(large)
    assert (found.trip_ids.total(), found.stride) == (1_000, stride)
    assert 400 < found.trip_ids["X"] < 600
    assert references(large).trip_ids == found.trip_ids
    result = trip_ids_are_known(found, index, max_percent=30, least_count=5)
    assert not result.passed
    assert f"(1 of {stride} entities was looked at)" in result.message
