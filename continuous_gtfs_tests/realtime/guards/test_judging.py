from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.guards.duplicates import Duplicates, drop_duplicate_entities
from continuous_gtfs.realtime.guards.judging import ACCEPTABLE, GUARDS, LiveFeed, judge_feed
from continuous_gtfs.realtime.guards.result import GuardResult
from continuous_gtfs.realtime.guards.thresholds import RealtimeThresholds
from continuous_gtfs.realtime.messages import parse_feed
from continuous_gtfs_tests.builders import small_feed
from continuous_gtfs_tests.real_data import real_data_path
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle

USUAL = RealtimeThresholds()
# 12:00 in Seattle on a day of the small schedule.
NOON = datetime(2026, 3, 4, 20, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def index() -> ScheduleIndex:
    body = small_feed(first_date=date(2026, 1, 1), last_date=date(2026, 12, 31))
    return ScheduleIndex.from_bytes(build_schedule_index(Feed.from_bytes(body)))


def judge(made: FeedMessage, *, now: datetime = NOON, **options: Any) -> Mapping[str, GuardResult]:
    usual: dict[str, Any] = {
        "raw": made, "duplicates": Duplicates(), "live": None, "index": None, "thresholds": USUAL, "now": now,
    }  # fmt: skip
    name = options.pop("name", "vehicle_positions")
    return {result.guard: result for result in judge_feed(name, made, **(usual | options))}


def fresh(*entities: dict[str, Any], at: datetime = NOON) -> FeedMessage:
    return feed_message(*entities, timestamp=int(at.timestamp()))


def test_every_guard_is_told_in_its_order_with_its_threshold(index: ScheduleIndex) -> None:
    live = LiveFeed(header_timestamp=int(NOON.timestamp()) - 20, entities=3)
    results = judge(fresh(vehicle("7", "S1")), index=index, live=live)
    assert tuple(results) == GUARDS
    assert all(result.passed for result in results.values())
    assert {guard: result.threshold for guard, result in results.items()} == {
        "is_full_dataset": 0,
        "header_age_is_within_limit": 90,
        "header_is_not_in_the_future": 30,
        "header_does_not_go_back": 0,
        "entity_ids_are_unique": 10,
        "has_entities_while_trips_run": 1 if index.trips_running_at(NOON) else 0,
        "does_not_lose_entities": 50,
        "trip_ids_are_known": 50,
        "stop_ids_are_known": 50,
    }


def test_what_the_agency_has_switched_off_is_left_out(index: ScheduleIndex) -> None:
    thresholds = replace(
        USUAL,
        entities_fall_percent=None,
        duplicate_ids_percent=None,
        unknown_trips_percent=None,
        unknown_stops_percent=None,
    )
    results = judge(fresh(), index=index, thresholds=thresholds)
    assert tuple(results) == (*GUARDS[:6],)
    assert results["entity_ids_are_unique"].threshold is None, "what is dropped is told all the same"
    assert set(judge(fresh(), index=index, thresholds=replace(thresholds, unknown_stops_percent=1))) - set(results) == {
        "stop_ids_are_known"
    }


def test_the_vendors_own_header_is_judged_and_not_the_one_that_a_step_wrote() -> None:
    old = fresh(vehicle("7", "S1"), at=NOON - timedelta(hours=1))
    assert not judge(fresh(vehicle("7", "S1")), raw=old)["header_age_is_within_limit"].passed


def test_a_header_that_a_step_made_older_than_the_vendors_own_is_judged_too() -> None:
    result = judge(fresh(vehicle("7", "S1"), at=NOON - timedelta(hours=2)), raw=fresh(vehicle("7", "S1")))
    age = result["header_age_is_within_limit"]
    assert (age.passed, age.value) == (False, 7200)
    assert age.message.startswith("in the header that the steps made: ")
    ahead = judge(fresh(vehicle("7", "S1"), at=NOON + timedelta(minutes=1)), raw=fresh(vehicle("7", "S1")))
    assert not ahead["header_is_not_in_the_future"].passed


@pytest.mark.parametrize(("made_back_s", "passes"), [(0, True), (1, False), (None, True)])
def test_what_consumers_read_does_not_go_back_though_the_vendors_own_header_goes_on(
    made_back_s: int | None, passes: bool
) -> None:
    made = fresh(vehicle("7", "S1"), at=NOON - timedelta(seconds=40))
    live = LiveFeed(
        header_timestamp=int(NOON.timestamp()) - 20,
        entities=1,
        made_timestamp=None if made_back_s is None else made.header.timestamp + made_back_s,
    )
    result = judge(made, raw=fresh(vehicle("7", "S1")), live=live)["header_does_not_go_back"]
    assert result.passed is passes


@pytest.mark.parametrize(("now", "reason"), [(NOON, "no schedule is published"), (NOON.replace(year=2027), "cover")])
def test_ids_are_held_only_against_a_schedule_that_covers_today(
    index: ScheduleIndex, now: datetime, reason: str
) -> None:
    made = fresh(*(trip_update(f"X{number}", "Z") for number in range(20)), at=now)
    results = judge(made, now=now, index=index if reason == "cover" else None)
    for guard in ("trip_ids_are_known", "stop_ids_are_known"):
        assert (results[guard].passed, results[guard].value) == (True, None)
        assert reason in results[guard].message
    assert not judge(made, index=index)["trip_ids_are_known"].passed, "on a day of the schedule"


def test_what_our_own_steps_made_does_not_stand_for_a_vendor_who_sends_nothing() -> None:
    live = LiveFeed(header_timestamp=int(NOON.timestamp()) - 301, entities=40)
    made = fresh(*(trip_update("T1") for _ in range(3)))
    result = judge(made, raw=fresh(), live=live)["has_entities_while_trips_run"]
    assert (result.passed, result.value) == (False, 0)
    assert result.message.startswith("as the vendor sent it, the feed has no entities")
    combined = judge(made, raw=fresh(), sources=[fresh(trip_update("T1"))], live=live)
    assert combined["has_entities_while_trips_run"].passed, "what was combined into it is a vendor's too"
    assert not judge(fresh(), raw=made, live=live)["has_entities_while_trips_run"].passed


def test_alerts_may_be_empty_and_so_may_what_the_agency_names() -> None:
    live = LiveFeed(header_timestamp=int(NOON.timestamp()) - 20, entities=40)
    assert not judge(fresh(), live=live)["has_entities_while_trips_run"].passed
    for name, thresholds in (
        ("alerts", USUAL),
        ("vehicle_positions", replace(USUAL, may_be_empty={"vehicle_positions"})),
    ):
        results = judge(fresh(), live=live, name=name, thresholds=thresholds)
        assert results["has_entities_while_trips_run"].passed
        assert results["does_not_lose_entities"].passed
        assert "may be empty" in results["does_not_lose_entities"].message


def test_trips_are_counted_at_the_time_of_what_is_live_and_now() -> None:
    seconds_of = ["T1,12:00:00,12:00:00", "T1,20:00:00,20:00:00", "T2,12:00:00,12:00:00", "T2,14:00:00,14:00:00"]
    rows = [f"{row},S{1 + number % 2},{1 + number % 2}" for number, row in enumerate(seconds_of)]
    stop_times = "\n".join(["trip_id,arrival_time,departure_time,stop_id,stop_sequence", *rows]) + "\n"
    index = ScheduleIndex.from_bytes(
        build_schedule_index(Feed.from_bytes(small_feed(replaced={"stop_times.txt": stop_times})))
    )
    later = NOON + timedelta(hours=4)
    live = LiveFeed(header_timestamp=int((NOON + timedelta(hours=1)).timestamp()), entities=100)
    thresholds = replace(USUAL, entities_fall_held_s=None)
    vehicles = [vehicle(str(number), "S1") for number in range(30)]
    result = judge(fresh(*vehicles, at=later), now=later, index=index, live=live, thresholds=thresholds)[
        "does_not_lose_entities"
    ]
    assert "1 trips run by the schedule where 2 ran then" in result.message
    assert (result.passed, result.value) == (True, 40), "50 are expected"


def test_what_an_operator_may_accept_are_guards() -> None:
    assert set(GUARDS) > ACCEPTABLE
    assert "header_age_is_within_limit" not in ACCEPTABLE


@pytest.mark.parametrize(
    ("folder", "feed", "capture"),
    [
        ("sound_transit_2023-08", "vehicle_positions", "vehicle_positions_1690865133.pb"),
        ("sound_transit_2023-08", "trip_updates", "trip_updates_1690865133.pb"),
        ("kingston", "trip_updates", "trip_updates_30s/1768495244.pb"),
        ("kingston", "vehicle_positions", "vehicle_positions.pb"),
        ("raba_2025", "vehicle_positions", "vehicle_positions.pb"),
        ("raba_2025", "trip_updates", "trip_updates.pb"),
    ],
)
def test_a_real_feed_passes_every_guard_when_it_is_fresh(folder: str, feed: str, capture: str) -> None:
    message = parse_feed(real_data_path(f"{folder}/{capture}").read_bytes(), name=feed)
    schedule = Feed.from_bytes(real_data_path(f"{folder}/schedule.zip").read_bytes())
    feeds = RealtimeFeeds({feed: message})
    results = judge(
        message,
        name=feed,
        now=datetime.fromtimestamp(message.header.timestamp + 5, UTC),
        index=ScheduleIndex.from_bytes(build_schedule_index(schedule)),
        duplicates=drop_duplicate_entities(feeds, feed),
        live=LiveFeed(header_timestamp=message.header.timestamp - 20, entities=len(message.entity)),
    )
    assert [result.message for result in results.values() if not result.passed] == []
    assert all(result.value is not None for result in results.values())
