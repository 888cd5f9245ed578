from __future__ import annotations

from typing import Any

import pytest

from continuous_gtfs.realtime.guards.entities import does_not_lose_entities, entity_count, has_entities
from continuous_gtfs.realtime.guards.result import GuardResult
from continuous_gtfs_tests.realtime.captures import feed_message, vehicle


@pytest.mark.parametrize(
    ("live_entities", "trips_running", "is_passed"),
    [
        (None, 0, True),
        (25, 0, True),
        (0, 0, True),
        (None, 12, False),
        (25, 12, False),
        (0, 12, False),
        (None, None, True),
        (0, None, True),
        (25, None, False),
    ],
)
def test_an_empty_feed_passes_only_where_nothing_should_be_in_it(
    live_entities: int | None, trips_running: int | None, is_passed: bool
) -> None:
    result = has_entities(0, live_entities=live_entities, trips_running=trips_running)
    assert (result.passed, result.value) == (is_passed, 0)
    assert result.threshold == (0 if is_passed else 1)


@pytest.mark.parametrize("trips_running", [None, 0, 12])
def test_a_feed_with_an_entity_passes_whatever_runs(trips_running: int | None) -> None:
    result = has_entities(1, live_entities=9, trips_running=trips_running)
    assert (result.passed, result.value) == (True, 1)


def test_entities_marked_as_deleted_do_not_count() -> None:
    assert entity_count(feed_message({"is_deleted": True}, vehicle("v", "a"))) == 1


def test_the_reason_is_told_in_numbers() -> None:
    lost = has_entities(0, live_entities=25, trips_running=12)
    assert lost.message == "the feed has no entities; by the published schedule 12 trips run now"
    unknown = has_entities(0, live_entities=25, trips_running=None)
    assert "the feed that is live has 25 entities" in unknown.message


def fall(entities: int, **facts: Any) -> GuardResult:
    usual: dict[str, Any] = {
        "live_entities": 100,
        "trips_then": 80,
        "trips_now": 80,
        "since_live_s": 20,
        "max_fall_percent": 50,
        "held_s": 300,
        "least_count": 5,
    }
    return does_not_lose_entities(entities, **(usual | facts))


@pytest.mark.parametrize(("entities", "is_passed", "value"), [(140, True, 0), (50, True, 50), (49, False, 51)])
def test_a_feed_may_lose_as_much_of_what_is_live_as_the_limit(entities: int, is_passed: bool, value: float) -> None:
    result = fall(entities)
    assert (result.passed, result.value, result.threshold) == (is_passed, value, 50)
    assert f"the feed has {entities} entities; what is live has 100" in result.message


def test_in_a_late_evening_fewer_trips_mean_fewer_entities() -> None:
    assert fall(20, trips_then=80, trips_now=30).passed, "37 are expected"
    assert not fall(15, trips_then=80, trips_now=30).passed
    assert not fall(20).passed, "the same feed in the afternoon"


def test_more_trips_do_not_ask_for_more_entities_than_are_live() -> None:
    assert fall(50, trips_then=10, trips_now=80).passed
    assert not fall(49, trips_then=10, trips_now=80).passed
    assert not fall(49, trips_then=0, trips_now=80).passed


@pytest.mark.parametrize(("live", "left", "is_passed"), [(3, 1, True), (5, 1, True), (6, 1, False)])
def test_a_few_vehicles_may_all_go_home(live: int, left: int, is_passed: bool) -> None:
    assert fall(left, live_entities=live).passed is is_passed


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"trips_now": 0}, "no trips run now"),
        ({"live_entities": None}, "what is live has no entities"),
        ({"live_entities": 0}, "what is live has no entities"),
        ({"since_live_s": 301}, "after 300 s a fall is taken as true"),
    ],
)
def test_a_fall_is_no_fault_where_nothing_is_lost(facts: dict[str, Any], reason: str) -> None:
    result = fall(1, **facts)
    assert (result.passed, result.value) == (True, None)
    assert reason in result.message


def test_a_fall_is_refused_as_long_as_it_has_not_lasted_and_for_ever_where_only_an_operator_accepts_it() -> None:
    assert not fall(1, since_live_s=300).passed
    assert not fall(1, since_live_s=90_000, held_s=None).passed
    assert not fall(1, since_live_s=None).passed


def test_without_a_schedule_a_fall_is_held_against_what_is_live_alone() -> None:
    assert not fall(49, trips_then=None, trips_now=None).passed
    assert fall(50, trips_then=None, trips_now=None).passed
