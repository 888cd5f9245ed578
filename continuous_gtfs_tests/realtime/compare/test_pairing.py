"""Which entity of one feed is which of the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.realtime.compare.feeds import compare_feeds
from continuous_gtfs.realtime.compare.report import Comparison, Level
from continuous_gtfs.realtime.messages import parse_feed
from continuous_gtfs_tests.real_data import real_data_path
from continuous_gtfs_tests.realtime.captures import feed_message


def trip(
    trip_id: str, *, delay: int = 0, vehicle: str = "", properties: Any = None, **descriptor: Any
) -> dict[str, Any]:
    update: dict[str, Any] = {"trip": {"trip_id": trip_id} | descriptor, "delay": delay}
    if vehicle:
        update["vehicle"] = {"id": vehicle}
    if properties:
        update["trip_properties"] = properties
    return {"trip_update": update}


def position(vehicle: str, trip_id: str, stop_id: str = "a") -> dict[str, Any]:
    return {"vehicle": {"vehicle": {"id": vehicle}, "trip": {"trip_id": trip_id}, "stop_id": stop_id}}


def alert(text: str, *stop_ids: str, **fields: Any) -> dict[str, Any]:
    informed = [{"stop_id": stop_id} for stop_id in stop_ids]
    return {"alert": {"header_text": {"translation": [{"text": text}]}, "informed_entity": informed} | fields}


def compared(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Comparison:
    renamed = [entity | {"id": f"new {number}"} for number, entity in enumerate(after)]
    return compare_feeds(feed_message(*before), feed_message(*renamed))


def told(found: Comparison) -> list[tuple[str, str]]:
    return [(difference.kind, difference.identity) for difference in found.differences]


def test_a_dropped_duplicate_is_a_removal() -> None:
    found = compared([trip("t"), trip("t"), trip("u")], [trip("t"), trip("u")])
    assert found.level is Level.DIFFERENT
    assert told(found) == [("removed", "trip t")]
    assert (found.counts.before, found.counts.same, found.counts.removed) == (3, 2, 1)


def test_a_duplicated_trip_is_never_taken_for_the_trip_it_repeats() -> None:
    day = {"start_date": "20240101"}
    scheduled = trip("t", vehicle="1", start_time="10:00:00", **day)
    duplicated = trip("t", vehicle="2", start_time="10:00:00", schedule_relationship="DUPLICATED", **day)
    later = trip("t", delay=60, vehicle="2", start_time="10:00:00", schedule_relationship="DUPLICATED", **day)
    assert told(compared([scheduled, duplicated], [later])) == [
        ("removed", "trip t 20240101 10:00:00 vehicle 1"),
        ("changed", "trip t 20240101 10:00:00 DUPLICATED vehicle 2"),
    ]
    assert compared([scheduled, duplicated], [duplicated, scheduled]).level is Level.CONTENT
    assert [kind for kind, _ in told(compared([scheduled], [duplicated]))] == ["removed", "added"]


def test_two_repeats_of_a_trip_are_told_by_their_properties() -> None:
    def repeat(number: int, delay: int) -> dict[str, Any]:
        properties = {"trip_id": f"t-{number}", "start_time": f"1{number}:00:00"}
        return trip("t", delay=delay, properties=properties, schedule_relationship="DUPLICATED")

    found = compared([repeat(1, 10), repeat(2, 20)], [repeat(2, 21), repeat(1, 11)])
    assert [(one.changes[0].before, one.changes[0].after) for one in found.differences] == [(10, 11), (20, 21)]


def test_the_real_duplicated_trips_are_paired_with_themselves() -> None:
    path = real_data_path("sound_transit_2023-08") / "trip_updates_1690679342.pb"
    before, after = (parse_feed(path.read_bytes(), name=path.name) for _ in range(2))
    for number, entity in enumerate(reversed(after.entity)):
        entity.id = str(number)
        entity.trip_update.timestamp += 1000
    found = compare_feeds(before, after)
    assert found.counts.changed == len(before.entity)
    assert any("DUPLICATED" in one.identity for one in found.differences)
    assert {tuple(change.path for change in one.changes) for one in found.differences} == {("trip_update.timestamp",)}


def test_the_same_trip_on_another_day_is_another_trip() -> None:
    found = compared([trip("t", start_date="20240101")], [trip("t", start_date="20240102")])
    assert told(found) == [("removed", "trip t 20240101"), ("added", "trip t 20240102")]


def test_a_trip_whose_day_was_filled_in_is_the_same_trip() -> None:
    found = compared([trip("t"), trip("u")], [trip("t", start_date="20240101"), trip("u", start_time="10:00:00")])
    assert [kind for kind, _ in told(found)] == ["changed", "changed"]
    assert found.differences[0].changes[0].path == "trip_update.trip.start_date"


def test_a_cancelled_trip_is_the_same_trip() -> None:
    found = compared([trip("t")], [trip("t", schedule_relationship="CANCELED")])
    (difference,) = found.differences
    (change,) = difference.changes
    assert (change.path, change.before, change.after) == ("trip_update.trip.schedule_relationship", None, "CANCELED")


def test_a_trip_with_another_vehicle_is_the_same_trip() -> None:
    assert [kind for kind, _ in told(compared([trip("t", vehicle="1")], [trip("t", vehicle="2")]))] == ["changed"]


def test_a_vehicle_that_went_on_to_its_next_trip_is_the_same_vehicle() -> None:
    found = compared([position("7", "t"), position("8", "u")], [position("7", "u"), position("9", "t")])
    assert told(found) == [
        ("changed", "trip t vehicle 7"),
        ("removed", "trip u vehicle 8"),
        ("added", "trip t vehicle 9"),
    ]


def test_a_vehicle_that_is_there_twice_is_not_guessed_at() -> None:
    found = compared([position("7", "t"), position("7", "u")], [position("7", "v"), position("7", "w")])
    assert [kind for kind, _ in told(found)] == ["removed", "removed", "added", "added"]


def test_a_trip_without_trip_id_is_told_by_route_direction_and_start() -> None:
    def run(direction: int, delay: int) -> dict[str, Any]:
        return trip("", delay=delay, route_id="r", direction_id=direction, start_time="10:00:00")

    found = compared([run(0, 1), run(1, 2)], [run(1, 3), run(0, 1)])
    assert told(found) == [("changed", "route r 10:00:00")]


def test_entities_with_nothing_to_tell_them_apart_are_paired_in_their_order() -> None:
    found = compared([trip("t", delay=1), trip("t", delay=2)], [trip("t", delay=1), trip("t", delay=3)])
    (difference,) = found.differences
    assert (difference.changes[0].before, difference.changes[0].after) == (2, 3)


def test_alerts_are_paired_by_what_they_say() -> None:
    before = [alert("A", "1"), alert("B", "1"), alert("C", "3", cause="STRIKE")]
    after = [alert("C", "3", cause="ACCIDENT"), alert("B", "1", "2"), alert("A, soon over", "1")]
    found = compared(before, after)
    assert told(found) == [("changed", 'alert "A"'), ("changed", 'alert "B"'), ("changed", 'alert "C"')]
    assert [[change.path for change in one.changes] for one in found.differences] == [
        ["alert.header_text.translation", "alert.header_text.translation"],
        ["alert.informed_entity"],
        ["alert.cause"],
    ]


def test_an_alert_is_the_same_whichever_language_comes_first() -> None:
    def translated(*texts: str, cause: str) -> dict[str, Any]:
        translations = [{"text": text, "language": text[:2]} for text in texts]
        return {"alert": {"header_text": {"translation": translations}, "cause": cause}}

    found = compared(
        [translated("en A", "es A", cause="STRIKE"), translated("en B", "es B", cause="STRIKE")],
        [translated("es B", "en B", cause="WEATHER"), translated("es A", "en A", cause="WEATHER")],
    )
    assert told(found) == [("changed", 'alert "en A"'), ("changed", 'alert "en B"')]
    assert {change.path for one in found.differences for change in one.changes} == {"alert.cause"}


@pytest.mark.parametrize(
    ("before", "after", "identity", "path"),
    [
        (
            {"shape": {"shape_id": "s", "encoded_polyline": "abc"}},
            {"shape": {"shape_id": "s", "encoded_polyline": "abd"}},
            "shape s",
            "shape.encoded_polyline",
        ),
        (
            {"stop": {"stop_id": "s", "stop_lat": 1}},
            {"stop": {"stop_id": "s", "stop_lat": 2}},
            "stop s",
            "stop.stop_lat",
        ),
        (
            {"trip_modifications": {"selected_trips": [{"trip_ids": ["t"]}], "service_dates": ["20240101"]}},
            {"trip_modifications": {"selected_trips": [{"trip_ids": ["t"]}], "service_dates": ["20240102"]}},
            "trip modifications of t on 20240101",
            "trip_modifications.service_dates",
        ),
    ],
)
def test_other_entities_are_told_by_what_they_are_about(before: Any, after: Any, identity: str, path: str) -> None:
    found = compared([before], [after])
    assert found.level is Level.DIFFERENT
    assert told(found) == [("changed", identity)]
    assert [change.path for change in found.differences[0].changes] == [path]


def test_an_entity_without_content_is_told_by_its_entity_id() -> None:
    gone = {"id": "bus 7", "is_deleted": True}
    found = compare_feeds(feed_message(gone, {"id": "bus 8"}), feed_message({"id": "bus 7"}))
    assert told(found) == [("changed", "entity id bus 7"), ("removed", "entity id bus 8")]


SOME = st.lists(
    st.one_of(
        st.builds(
            trip,
            st.sampled_from(["t", "u", ""]),
            delay=st.integers(0, 1),
            vehicle=st.sampled_from(["", "1", "2"]),
            schedule_relationship=st.sampled_from(["SCHEDULED", "DUPLICATED", "CANCELED"]),
            start_date=st.sampled_from(["", "20240101"]),
        ),
        st.builds(position, st.sampled_from(["", "1", "2"]), st.sampled_from(["t", "u"]), st.sampled_from(["a", "b"])),
        st.builds(alert, st.sampled_from(["A", "B"]), st.sampled_from(["1", "2"])),
    ),
    max_size=6,
)


@given(SOME, SOME)
def test_every_entity_is_accounted_for_once(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    found = compared(before, after)
    counts = found.counts
    assert counts.before == len(before) == counts.same + counts.changed + counts.removed
    assert counts.after == len(after) == counts.same + counts.changed + counts.added
    assert len(found.differences) == counts.changed + counts.removed + counts.added
    assert all(difference.changes for difference in found.of_kind("changed"))
    back = compared(after, before).counts
    assert (back.removed, back.added, back.changed) == (counts.added, counts.removed, counts.changed)


@given(SOME, st.randoms(use_true_random=False))
def test_any_order_is_the_same_content(entities: list[dict[str, Any]], order: Any) -> None:
    shuffled = list(entities)
    order.shuffle(shuffled)
    assert compared(entities, shuffled).level <= Level.CONTENT
