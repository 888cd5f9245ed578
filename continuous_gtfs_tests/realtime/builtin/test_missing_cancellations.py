from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.making import make_feeds
from continuous_gtfs.realtime.messages import serialize_feed
from continuous_gtfs.realtime.steps import ExpireCancelledTrips, InsertMissingCancellations
from continuous_gtfs_tests.realtime.builtin.running import codes, found, ids, index_with, run, seattle
from continuous_gtfs_tests.realtime.captures import feed_message

SMALL = index_with()
AT = seattle(7, 1, 8, 10)
OTHER = {"trip_id": "another"}


def mentioning(*trips: dict[str, Any], now: datetime = AT, part: str = "trip_update", **header: Any) -> FeedMessage:
    return feed_message(*({part: {"trip": trip}} for trip in trips), **{"timestamp": int(now.timestamp())} | header)


def insert(
    step: InsertMissingCancellations | None = None,
    *,
    now: datetime = AT,
    index: Any = SMALL,
    updates: tuple[dict[str, Any], ...] = (OTHER,),
    vehicles: tuple[dict[str, Any], ...] = (OTHER,),
) -> tuple[RealtimeFeeds, StepResult]:
    return run(
        step or InsertMissingCancellations(),
        now=now,
        inputs={"schedule_index": index},
        trip_updates=mentioning(*updates, now=now),
        vehicle_positions=mentioning(*vehicles, now=now, part="vehicle"),
    )


def inserted(*arguments: Any, **options: Any) -> list[tuple[str, str]]:
    """Trip and date of each cancellation that was not there before."""
    made, _ = insert(*arguments, **options)
    entities = made.message("trip_updates").entity
    trips = [entity.trip_update.trip for entity in entities if entity.id.startswith("canceled-")]
    return [(trip.trip_id, trip.start_date) for trip in trips]


def test_a_trip_that_nobody_mentions_is_told_to_be_cancelled() -> None:
    made, result = insert()
    expected = mentioning(OTHER)
    expected.entity.add(id="canceled-20260701-T1").trip_update.trip.CopyFrom(
        feed_message(
            {
                "trip_update": {
                    "trip": {
                        "trip_id": "T1",
                        "start_date": "20260701",
                        "schedule_relationship": "CANCELED",
                        "route_id": "007",
                        "direction_id": 0,
                    }
                }
            }
        )
        .entity[0]
        .trip_update.trip
    )
    assert made.message("trip_updates") == expected
    assert found(result) == [("warning", "cancellations_inserted", "trip_updates", 1, ("T1 20260701",))]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (seattle(7, 1, 8, 9), []),
        (seattle(7, 1, 8, 19), [("T1", "20260701")]),
        (seattle(7, 1, 8, 20), []),
        (seattle(7, 1, 0, 40), [("NIGHT", "20260630")]),
        (seattle(7, 1, 1, 10), []),
        # The nights in which the clocks change, and the mornings after.
        (seattle(3, 8, 0, 40), [("NIGHT", "20260307")]),
        (seattle(3, 8, 8, 10), [("T1", "20260308")]),
        (seattle(3, 9, 0, 40), [("NIGHT", "20260308")]),
        (seattle(11, 1, 0, 40), [("NIGHT", "20261031")]),
        (seattle(11, 1, 8, 10), [("T1", "20261101")]),
        (seattle(11, 2, 0, 40), [("NIGHT", "20261101")]),
    ],
)
def test_a_trip_counts_from_ten_minutes_after_its_start_to_ten_before_its_end(
    now: datetime, expected: list[tuple[str, str]]
) -> None:
    assert inserted(now=now) == expected


def test_the_delay_can_be_another() -> None:
    step = InsertMissingCancellations(delay=timedelta(minutes=20), until_end=timedelta())
    assert inserted(step, now=seattle(7, 1, 8, 19)) == []
    assert inserted(step, now=seattle(7, 1, 8, 20)) == [("T1", "20260701")]
    assert inserted(InsertMissingCancellations(delay=timedelta()), now=seattle(7, 1, 8)) == [("T1", "20260701")]


def test_the_time_before_the_end_can_be_another() -> None:
    step = InsertMissingCancellations(until_end=timedelta(minutes=1))
    assert inserted(step, now=seattle(7, 1, 8, 28)) == [("T1", "20260701")]
    assert inserted(step, now=seattle(7, 1, 8, 29)) == []


def test_a_trip_that_arrives_early_is_not_cancelled_and_one_that_is_cancelled_stays_so_to_its_end() -> None:
    published = None
    seen: dict[int, list[str]] = {}
    for minute in (15, 25, 29, 30):
        now = seattle(7, 1, 8, minute)
        inputs: dict[str, object] = {"schedule_index": SMALL, "published_trip_updates": published}
        made, _ = run(
            InsertMissingCancellations(),
            now=now,
            inputs=inputs,
            trip_updates=mentioning(OTHER, now=now),
            vehicle_positions=mentioning(OTHER, now=now, part="vehicle"),
        )
        published = made.message("trip_updates")
        seen[minute] = ids(published)[1:]
    assert seen == {15: ["canceled-20260701-T1"], 25: ["canceled-20260701-T1"], 29: ["canceled-20260701-T1"], 30: []}
    assert inserted(now=seattle(7, 1, 8, 28)) == [], "nothing of it is live, so it has run"


@pytest.mark.parametrize(
    ("mention", "is_missing"),
    [
        ({"trip_id": "T1", "start_date": "20260701"}, False),
        ({"trip_id": "T1"}, False),
        ({"trip_id": "T1", "start_date": "20260702"}, True),
        ({"trip_id": "T1", "schedule_relationship": "DUPLICATED"}, False),
        ({"trip_id": "T1", "schedule_relationship": "CANCELED"}, False),
        ({"trip_id": "x", "modified_trip": {"affected_trip_id": "T1"}}, False),
        ({"route_id": "007", "start_time": "08:00:00", "start_date": "20260701"}, False),
        ({"route_id": "007", "start_time": "08:00:00", "start_date": "20260630"}, True),
        ({"route_id": "007", "start_time": "08:01:00"}, True),
        ({"route_id": "007"}, True),
    ],
)
@pytest.mark.parametrize("where", ["updates", "vehicles"])
def test_any_mention_in_any_source_will_do(mention: dict[str, Any], is_missing: bool, where: str) -> None:
    assert inserted(**{where: (OTHER, mention)}) == ([("T1", "20260701")] if is_missing else [])


def test_a_trip_past_midnight_may_be_mentioned_with_the_date_of_the_calendar() -> None:
    mention = {"trip_id": "NIGHT", "start_date": "20260701"}
    assert inserted(now=seattle(7, 1, 0, 40), vehicles=(mention,)) == []


def test_of_a_trip_at_exact_times_each_missing_run_is_cancelled_with_its_start() -> None:
    index = index_with("T1,08:00:00,09:00:00,600,1")
    running = {"trip_id": "T1", "start_date": "20260701", "start_time": "08:10:00"}
    made, result = insert(now=seattle(7, 1, 8, 35), index=index, vehicles=(running,))
    entities = made.message("trip_updates").entity[1:]
    assert [(entity.id, entity.trip_update.trip.start_time) for entity in entities] == [
        ("canceled-20260701-T1-08:20:00", "08:20:00")
    ]
    assert found(result)[-1][-1] == ("T1 20260701 08:20:00",)


def test_of_a_trip_by_headway_none_is_cancelled_which_is_told() -> None:
    _, result = insert(now=seattle(7, 1, 8, 35), index=index_with("T1,08:00:00,09:00:00,600,0"))
    assert codes(result) == ["trips_by_headway", "nothing_matched"]


def many(count: int) -> Any:
    """T0000 and further, 08:00 to 08:30 on service DAY."""
    return index_with(
        stop_times=tuple(
            row
            for number in range(count)
            for row in (f"T{number:04},08:00:00,08:00:00,M,1", f"T{number:04},08:30:00,08:30:00,N,2")
        ),
        trips=tuple(f"R,DAY,T{number:04}," for number in range(count)),
    )


@pytest.mark.parametrize(("missing", "is_refused"), [(25, False), (26, True), (100, True)])
def test_a_vendor_who_misses_too_many_cancels_no_network(missing: int, is_refused: bool) -> None:
    mentions = tuple({"trip_id": f"T{number:04}"} for number in range(missing, 100)) or (OTHER,)
    made, result = insert(index=many(100), updates=mentions)
    added = ids(made.message("trip_updates"))[len(mentions) :]
    assert added == ([] if is_refused else [f"canceled-20260701-T{number:04}" for number in range(missing)])
    severity, code, feed, count, sample = found(result)[0]
    assert (severity, feed, count) == ("warning", "trip_updates", missing)
    assert code == ("too_many_trips_missing" if is_refused else "cancellations_inserted")
    assert len(sample) == 10


def test_a_vendor_who_misses_more_from_run_to_run_cancels_no_network_though_cancellations_are_carried_on() -> None:
    steps = [ExpireCancelledTrips(keep_from_published=True), InsertMissingCancellations()]
    published: dict[str, FeedMessage] = {}
    cancelled = []
    for named in (40, 31, 22, 13):
        updates = mentioning(*({"trip_id": f"T{number:04}"} for number in range(named)))
        bodies = {"trip_updates": updates, "vehicle_positions": mentioning(OTHER, part="vehicle")}
        made = make_feeds(
            "production",
            {name: serialize_feed(message) for name, message in bodies.items()},
            steps,
            now=AT,
            index=many(40),
            published=published,
        )
        published = {"trip_updates": made.feeds.message("trip_updates")}
        cancelled.append(len(published["trip_updates"].entity) - named)
    assert cancelled == [0, 9, 0, 0]


@pytest.mark.parametrize(("missing", "is_refused"), [(3, False), (4, True)])
def test_of_a_few_trips_some_may_be_missing_whatever_share_they_are(missing: int, is_refused: bool) -> None:
    _, result = insert(
        index=many(4), updates=tuple({"trip_id": f"T{number:04}"} for number in range(missing, 4)) or (OTHER,)
    )
    assert codes(result) == ["too_many_trips_missing" if is_refused else "cancellations_inserted"]


def test_the_limits_can_be_others() -> None:
    _, result = insert(InsertMissingCancellations(max_share=0, always_allowed=0))
    assert codes(result) == ["too_many_trips_missing"]
    _, result = insert(InsertMissingCancellations(max_share=1, always_allowed=0), index=many(9))
    assert codes(result) == ["cancellations_inserted"]


def test_routes_of_somebody_else_are_left_out_and_do_not_count() -> None:
    assert inserted(InsertMissingCancellations(route_ids=["N7"])) == []
    assert inserted(InsertMissingCancellations(route_ids=["N7", "007"])) == [("T1", "20260701")]


def test_a_route_that_does_not_exist_is_told() -> None:
    _, result = insert(InsertMissingCancellations(route_ids=["X", "N7"]))
    assert found(result)[0] == ("info", "routes_unknown", None, 1, ("X",))


def test_an_entity_that_has_the_id_already_is_left_alone() -> None:
    updates = mentioning(OTHER)
    updates.entity[0].id = "canceled-20260701-T1"
    made, _ = run(
        InsertMissingCancellations(sources=["trip_updates"]),
        now=AT,
        inputs={"schedule_index": SMALL},
        trip_updates=updates,
    )
    assert ids(made.message("trip_updates")) == ["canceled-20260701-T1", "canceled-20260701-T1-2"]


GOOD = {"trip_updates": mentioning(OTHER), "vehicle_positions": mentioning(OTHER, part="vehicle")}


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        (GOOD | {"vehicle_positions": mentioning()}, ("source_empty", "vehicle_positions")),
        (
            GOOD | {"trip_updates": mentioning({"trip_id": "T2", "schedule_relationship": "CANCELED"})},
            ("source_empty", "trip_updates"),
        ),
        (GOOD | {"trip_updates": mentioning(OTHER, timestamp=0)}, ("source_too_old", "trip_updates")),
        (
            GOOD | {"trip_updates": mentioning(OTHER, timestamp=int(AT.timestamp()) - 301)},
            ("source_too_old", "trip_updates"),
        ),
        ({"trip_updates": GOOD["trip_updates"]}, ("source_missing", "vehicle_positions")),
        ({"vehicle_positions": GOOD["vehicle_positions"]}, ("source_missing", "trip_updates")),
    ],
)
def test_a_source_that_is_missing_empty_or_old_is_no_reason_to_cancel(
    messages: dict[str, FeedMessage], told: tuple[str, str]
) -> None:
    made, result = run(InsertMissingCancellations(), now=AT, inputs={"schedule_index": SMALL}, **messages)
    assert made.row_counts() == {name: len(message.entity) for name, message in messages.items()}
    assert found(result) == [("warning", told[0], told[1], 0, ())]


def test_a_source_may_be_as_old_as_the_limit() -> None:
    at_the_limit = GOOD | {"trip_updates": mentioning(OTHER, timestamp=int(AT.timestamp()) - 300)}
    _, result = run(InsertMissingCancellations(), now=AT, inputs={"schedule_index": SMALL}, **at_the_limit)
    assert codes(result) == ["cancellations_inserted"]


@pytest.mark.parametrize(
    "now",
    [
        datetime.fromisoformat("2027-01-01T08:10:00-08:00"),
        datetime.fromisoformat("2026-01-01T03:59:00-08:00"),
        datetime.fromisoformat("2027-01-01T04:00:00-08:00"),
    ],
)
def test_a_schedule_that_does_not_cover_today_is_no_reason_to_cancel(now: datetime) -> None:
    _, result = insert(now=now)
    assert found(result) == [("warning", "schedule_does_not_cover_today", None, 0, ())]
    assert "2026-01-01 to 2026-12-31" in result.findings[0].message


def test_the_last_night_of_a_schedule_is_still_its_own() -> None:
    assert inserted(now=datetime.fromisoformat("2027-01-01T00:40:00-08:00")) == [("NIGHT", "20261231")]


def test_without_a_schedule_nothing_is_done_and_a_warning_says_so() -> None:
    made, result = run(InsertMissingCancellations(), now=AT, **GOOD)
    assert len(made.message("trip_updates").entity) == 1
    assert found(result) == [("warning", "no_schedule_index", None, 0, ())]


def test_where_each_trip_is_mentioned_nothing_is_inserted_which_is_told() -> None:
    _, result = insert(updates=({"trip_id": "T1"},))
    assert found(result) == [("info", "nothing_matched", None, 0, ())]


def test_on_a_day_without_service_nothing_is_missing() -> None:
    assert inserted(index=index_with(dates_removed=(date(2026, 7, 1),))) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"delay": 600},
        {"delay": timedelta(seconds=-1)},
        {"until_end": 600},
        {"until_end": timedelta(seconds=-1)},
        {"max_source_age": timedelta(0)},
        {"route_ids": "007"},
        {"route_ids": []},
        {"sources": ["vehicle_positions"]},
        {"sources": "trip_updates"},
        {"max_share": 25},
        {"max_share": -0.1},
        {"max_share": True},
        {"max_share": "10%"},
        {"always_allowed": -1},
        {"always_allowed": 0.5},
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_written(arguments: dict[str, Any]) -> None:
    with pytest.raises(StepDefinitionError, match="InsertMissingCancellations"):
        InsertMissingCancellations(**arguments)
