from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage, TripDescriptor

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.realtime.making import make_feeds
from continuous_gtfs.realtime.messages import parse_feed, serialize_feed
from continuous_gtfs.realtime.steps import ExpireCancelledTrips, RenameVehicles
from continuous_gtfs_tests.realtime.builtin.running import codes, found, ids, index_with, run, seattle
from continuous_gtfs_tests.realtime.captures import feed_message

SMALL = index_with()
AT = seattle(7, 1, 8, 10)


def cancelled(trip_id: str, start_date: str = "", *, relationship: str = "CANCELED", **trip: str) -> dict[str, Any]:
    described = {"trip_id": trip_id, "schedule_relationship": relationship} | trip
    return {"trip_update": {"trip": described | ({"start_date": start_date} if start_date else {})}}


def left(now: datetime, *entities: dict[str, Any], index: Any = SMALL, **options: Any) -> list[str]:
    """Entities, numbered from 1, that are left after the step."""
    made, _ = run(
        ExpireCancelledTrips(**options), now=now, inputs={"schedule_index": index}, trip_updates=feed_message(*entities)
    )
    return ids(made.message("trip_updates"))


def test_a_cancellation_goes_when_its_trip_would_be_over() -> None:
    update = cancelled("T1", "20260701")
    assert left(seattle(7, 1, 8, 29), update) == ["1"]
    assert left(seattle(7, 1, 8, 30), update) == []
    assert left(seattle(7, 1, 8, 30), cancelled("T1", "20260702"), cancelled("T1", "20260630")) == ["1"]


def test_a_deleted_trip_is_a_cancelled_one_and_no_other_is() -> None:
    relationships = TripDescriptor.ScheduleRelationship.keys()
    entities = [cancelled("T1", "20260701", relationship=relationship) for relationship in relationships]
    gone = [str(relationships.index(name) + 1) for name in ("CANCELED", "DELETED")]
    assert left(seattle(7, 1, 9), *entities) == [
        str(number) for number in range(1, len(entities) + 1) if str(number) not in gone
    ]


@pytest.mark.parametrize(
    ("now", "is_left"),
    [
        # Without a date: of the service day that began at 04:00.
        (seattle(7, 1, 4), True),
        (seattle(7, 1, 8, 29), True),
        (seattle(7, 1, 8, 30), False),
        (seattle(7, 2, 0), False),
        (seattle(7, 2, 3, 59), False),
        (seattle(7, 2, 4), True),
    ],
)
def test_a_cancellation_without_a_date_is_of_the_service_day(now: datetime, is_left: bool) -> None:
    assert bool(left(now, cancelled("T1"))) is is_left


@pytest.mark.parametrize(
    ("start_date", "over_at"),
    [
        ("20260630", seattle(7, 1, 1, 10)),
        ("", seattle(7, 1, 1, 10)),
        # Service days count from noon less twelve hours, so a change of the clocks at night shifts none of these.
        ("20260307", seattle(3, 8, 1, 10)),
        ("20260308", seattle(3, 9, 1, 10)),
        ("20261101", seattle(11, 2, 1, 10)),
    ],
)
def test_a_trip_past_midnight_is_over_on_the_day_after_its_own(start_date: str, over_at: datetime) -> None:
    update = cancelled("NIGHT", start_date)
    assert left(datetime.fromtimestamp(over_at.timestamp() - 1, over_at.tzinfo), update) == ["1"]
    assert left(over_at, update) == []


def test_on_the_day_the_clocks_change_a_trip_at_night_is_where_its_seconds_say() -> None:
    # 25:30 of 31 October is 01:30 on 1 November, the first of the two.
    index = index_with(stop_times=("T1,25:00:00,25:00:00,M,1", "T1,25:30:00,25:30:00,N,2"))
    over_at = datetime.fromisoformat("2026-11-01T01:30:00-07:00")
    update = cancelled("T1", "20261031")
    assert left(datetime.fromisoformat("2026-11-01T01:29:59-07:00"), update, index=index) == ["1"]
    assert left(over_at, update, index=index) == []


def test_a_run_of_a_trip_that_repeats_is_over_by_its_own_start() -> None:
    index = index_with("T1,06:00:00,10:00:00,600,1")
    entities = [cancelled("T1", "20260701", start_time=start) for start in ("06:00:00", "07:00:00", "7:10:00")] + [
        cancelled("T1", "20260701")
    ]
    assert left(seattle(7, 1, 7, 30), *entities, index=index) == ["3", "4"]


def test_what_the_schedule_does_not_know_stays_and_is_told() -> None:
    index = index_with(stop_times=("T1,08:00:00,08:00:00,M,1", "T2,,,M,1"))
    message = feed_message(
        cancelled("T9", "20260701"), cancelled("T2", "20260701"), cancelled("T1", "soon"), cancelled("T1", "20260630")
    )
    made, result = run(
        ExpireCancelledTrips(), now=seattle(7, 1, 7), inputs={"schedule_index": index}, trip_updates=message
    )
    assert ids(made.message("trip_updates")) == ["1", "2", "3"]
    assert found(result) == [
        ("info", "cancellations_expired", "trip_updates", 1, ("T1 20260630",)),
        (
            "info",
            "cancellations_of_unknown_trips",
            "trip_updates",
            3,
            ("T9 20260701", "T2 20260701", "T1 soon"),
        ),
    ]


def test_without_a_schedule_or_trip_updates_nothing_is_done_and_it_is_told() -> None:
    made, result = run(ExpireCancelledTrips(), trip_updates=feed_message(cancelled("T1", "20200101")))
    assert ids(made.message("trip_updates")) == ["1"]
    assert found(result) == [("warning", "no_schedule_index", None, 0, ())]
    _, result = run(ExpireCancelledTrips(), inputs={"schedule_index": SMALL}, vehicle_positions=feed_message())
    assert found(result) == [("info", "nothing_matched", None, 0, ())]
    _, result = run(ExpireCancelledTrips(), inputs={"schedule_index": SMALL}, trip_updates=feed_message())
    assert found(result) == [("info", "nothing_matched", None, 0, ())]


def carried_on(
    published: FeedMessage | None, now: datetime = AT, index: Any = SMALL, **messages: FeedMessage
) -> tuple[list[tuple[str, str]], list[str]]:
    """Entities as id and trip after the step, and the codes of its findings."""
    inputs = {"schedule_index": index} | ({} if published is None else {"published_trip_updates": published})
    before = None if published is None else serialize_feed(published)
    made, result = run(
        ExpireCancelledTrips(keep_from_published=True),
        now=now,
        inputs=inputs,
        **{"trip_updates": feed_message(), **messages},
    )
    assert before is None or published is None or serialize_feed(published) == before
    entities = made.message("trip_updates").entity
    return [(entity.id, entity.trip_update.trip.trip_id) for entity in entities], codes(result)


def test_a_cancellation_that_the_vendor_forgets_is_carried_on_until_its_trip_is_over() -> None:
    published = feed_message(
        cancelled("T1", "20260701"),
        cancelled("T2", "20260630"),
        cancelled("T9", "20260701"),
        cancelled("T2", "20260701"),
    )
    entities, told = carried_on(published)
    assert entities == [("1", "T1"), ("4", "T2")]
    assert told == ["cancellations_carried_on"]
    assert carried_on(published, seattle(7, 1, 8, 30))[0] == [("4", "T2")]
    assert carried_on(published, seattle(7, 1, 9, 30)) == ([], ["nothing_matched"])


def test_a_cancellation_that_we_inserted_ourselves_is_not_carried_on() -> None:
    published = feed_message(
        {"id": "canceled-20260701-T1"} | cancelled("T1", "20260701"),
        {"id": "canceled-by-dispatch"} | cancelled("T2", "20260701"),
    )
    assert carried_on(published)[0] == [("canceled-by-dispatch", "T2")]


def test_a_cancellation_whose_id_is_not_utf_8_is_carried_on_under_one_that_is() -> None:
    body = serialize_feed(feed_message({"id": "@@"} | cancelled("T1", "20260701"))).replace(b"@@", b"\xe9\xe9")
    assert carried_on(parse_feed(body, name="published"))[0] == [(r"b'\xe9\xe9'", "T1")]


def test_a_cancellation_without_a_date_is_not_carried_on_for_another_day() -> None:
    index = index_with(stop_times=("T1,24:30:00,24:30:00,M,1", "T1,29:00:00,29:00:00,N,2"))
    inputs: dict[str, object] = {"schedule_index": index, "published_trip_updates": feed_message(cancelled("T1"))}
    for now, dates in [
        (seattle(7, 2, 3, 59), ["20260701"]),
        (seattle(7, 2, 4, 59), ["20260701"]),
        (seattle(7, 2, 5), []),
    ]:
        step = ExpireCancelledTrips(keep_from_published=True)
        made, _ = run(step, now=now, inputs=inputs, trip_updates=feed_message())
        inputs["published_trip_updates"] = made.message("trip_updates")
        assert [entity.trip_update.trip.start_date for entity in made.message("trip_updates").entity] == dates


def test_of_an_entity_of_several_parts_only_the_cancellation_is_carried_on() -> None:
    published = feed_message(cancelled("T1", "20260701") | {"vehicle": {"trip": {"trip_id": "T2"}}})
    inputs = {"schedule_index": SMALL, "published_trip_updates": published}
    step = ExpireCancelledTrips(keep_from_published=True)
    made, _ = run(step, now=AT, inputs=inputs, trip_updates=feed_message())
    assert made.message("trip_updates") == feed_message(cancelled("T1", "20260701"))


def test_what_later_steps_have_changed_is_not_carried_on_to_be_changed_again() -> None:
    said = cancelled("T1", "20260701")
    said["trip_update"]["vehicle"] = {"id": "17"}
    published: dict[str, FeedMessage] = {}
    vehicles = []
    for sent in (feed_message(said), feed_message(), feed_message()):
        made = make_feeds(
            "production",
            {"trip_updates": serialize_feed(sent)},
            [ExpireCancelledTrips(keep_from_published=True), RenameVehicles("st-")],
            now=AT,
            index=SMALL,
            published=published,
        )
        published = {"trip_updates": made.feeds.message("trip_updates")}
        vehicles += [entity.trip_update.vehicle.id for entity in published["trip_updates"].entity]
    assert vehicles == ["st-17", "", ""]


def test_of_what_is_published_only_cancellations_are_carried_on() -> None:
    deleted = cancelled("T1", "20260701") | {"is_deleted": True}
    assert carried_on(feed_message(cancelled("T1", "20260701", relationship="SCHEDULED"), deleted))[0] == []
    assert carried_on(feed_message(cancelled("T1", "20260701", relationship="DELETED")))[0] == [("1", "T1")]


@pytest.mark.parametrize(
    ("mentioned", "is_carried_on"),
    [
        ({"trip_id": "T1", "start_date": "20260701"}, False),
        ({"trip_id": "T1"}, False),
        ({"trip_id": "T1", "start_date": "20260702"}, True),
        ({"trip_id": "T2", "start_date": "20260701"}, True),
    ],
)
@pytest.mark.parametrize("feed_name", ["trip_updates", "vehicle_positions"])
def test_a_trip_that_a_feed_mentions_is_the_vendors_to_tell(
    mentioned: dict[str, str], is_carried_on: bool, feed_name: str
) -> None:
    part = "vehicle" if feed_name == "vehicle_positions" else "trip_update"
    message = feed_message({"id": "vendor's"} | {part: {"trip": mentioned}})
    entities, _ = carried_on(feed_message(cancelled("T1", "20260701")), **{feed_name: message})
    assert (("1", "T1") in entities) is is_carried_on


def test_of_a_trip_that_repeats_each_run_is_carried_on_by_itself() -> None:
    index = index_with("T1,08:00:00,10:00:00,600,1")
    published = feed_message(
        *(cancelled("T1", "20260701", start_time=start) for start in ("08:00:00", "08:10:00", "08:20:00"))
    )
    mention = feed_message({"vehicle": {"trip": {"trip_id": "T1", "start_date": "20260701", "start_time": "08:10:00"}}})
    entities, _ = carried_on(published, seattle(7, 1, 8, 30), index, vehicle_positions=mention)
    assert entities == [("3", "T1")]


def test_what_is_carried_on_gets_another_id_where_the_vendor_has_it_by_now() -> None:
    entities, _ = carried_on(
        feed_message(cancelled("T1", "20260701")), trip_updates=feed_message(cancelled("T2", "20260701"))
    )
    assert entities == [("1", "T2"), ("1-2", "T1")]


def test_before_anything_is_published_there_is_nothing_to_carry_on() -> None:
    assert carried_on(None) == ([], ["nothing_published", "nothing_matched"])


def test_only_a_step_that_carries_on_asks_for_what_is_published() -> None:
    assert ExpireCancelledTrips(keep_from_published=True).wanted_inputs == {"published_trip_updates"}
    assert ExpireCancelledTrips().wanted_inputs == frozenset()


def test_a_choice_that_is_none_is_refused_where_it_is_written() -> None:
    with pytest.raises(StepDefinitionError, match="say True or False"):
        ExpireCancelledTrips(keep_from_published="yes")  # type: ignore[arg-type]


def test_a_trip_of_a_day_on_which_it_does_not_run_is_over_by_its_times_all_the_same() -> None:
    index = index_with(dates_removed=(date(2026, 6, 30),))
    assert left(seattle(7, 1, 8), cancelled("T1", "20260630"), index=index) == []
