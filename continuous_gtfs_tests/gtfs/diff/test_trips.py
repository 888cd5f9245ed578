from __future__ import annotations

from collections.abc import Iterable

import pytest

from continuous_gtfs.gtfs.diff.feeds import diff_feeds
from continuous_gtfs.gtfs.diff.report import FeedDiff
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs_tests.builders import csv_text, small_feed
from continuous_gtfs_tests.gtfs.diff.feeds import file_of

Visit = tuple[str, str]
Trip = tuple[str, str, str, tuple[Visit, ...]]
KINDS = ("added", "removed", "retimed", "rerouted", "renumbered")


def trip(trip_id: str, departure: str, *stops: str, route: str = "007", service: str = "DAY") -> Trip:
    """A trip that leaves at ``HH:MM`` and takes ten minutes from stop to stop."""
    hours, minutes = map(int, departure.split(":"))
    times = [hours * 60 + minutes + 10 * number for number in range(len(stops or "SMN"))]
    visits = tuple(
        (stop, f"{time // 60:02}:{time % 60:02}:00")
        for stop, time in zip(stops or ("S-1", "M", "N"), times, strict=True)
    )
    return trip_id, route, service, visits


def feed_of(trips: Iterable[Trip], **others: str) -> Feed:
    rows, visits = [], []
    for trip_id, route, service, stops in trips:
        rows.append(f"{route},{service},{trip_id},0")
        visits += [f"{trip_id},{time},{time},{stop},{number}" for number, (stop, time) in enumerate(stops, start=1)]
    replaced = {
        "trips.txt": csv_text("route_id,service_id,trip_id,direction_id", *rows),
        "stop_times.txt": csv_text("trip_id,arrival_time,departure_time,stop_id,stop_sequence", *visits),
        **{f"{name}.txt": text for name, text in others.items()},
    }
    return Feed.from_bytes(small_feed(replaced=replaced))


def diff_of(before: Iterable[Trip], after: Iterable[Trip]) -> FeedDiff:
    return diff_feeds(feed_of(before), feed_of(after))


def counts(diff: FeedDiff) -> dict[str, int]:
    return {kind: getattr(diff.trips, kind).count for kind in KINDS if getattr(diff.trips, kind).count}


DAY = [trip(f"T{hour}", f"{hour:02}:00") for hour in range(6, 20)]


def test_new_numbers_for_all_trips_add_none_remove_none_and_change_no_row() -> None:
    renamed = [(f"2026-{trip_id}", *rest) for trip_id, *rest in DAY]
    frequencies = "trip_id,start_time,end_time,headway_secs\n{},06:00:00,07:00:00,600\n"
    transfers = "from_stop_id,to_stop_id,from_trip_id,to_trip_id,transfer_type\nM,M,{},{},1\n"
    translations = "table_name,field_name,language,translation,record_id\ntrips,trip_headsign,fr,Nord,{}\n"
    before, after = (
        feed_of(
            trips,
            frequencies=frequencies.format(f"{prefix}T6"),
            transfers=transfers.format(f"{prefix}T6", f"{prefix}T7"),
            translations=translations.format(f"{prefix}T8"),
        )
        for trips, prefix in ((DAY, ""), (renamed, "2026-"))
    )
    diff = diff_feeds(before, after)
    assert not diff.is_same
    assert counts(diff) == {"renumbered": len(DAY)}
    assert diff.trips.renamed_ids == {f"2026-{trip_id}": trip_id for trip_id, *_ in DAY}
    files = ("frequencies.txt", "stop_times.txt", "transfers.txt", "translations.txt", "trips.txt")
    assert tuple(file.file for file in diff.files) == files
    rows = [file.rows for file in diff.files if file.rows]
    assert [(one.added, one.removed, one.changed) for one in rows] == [(0, 0, 0)] * len(files)
    assert [one.renumbered for one in rows] == [1, 3 * len(DAY), 1, 1, len(DAY)]
    assert len(diff.to_text().splitlines()) < 15


def test_trips_that_exchange_their_numbers_are_re_numbered() -> None:
    diff = diff_of([trip("A", "08:00"), trip("B", "09:00")], [trip("B", "08:00"), trip("A", "09:00")])
    assert counts(diff) == {"renumbered": 2}
    rows = file_of(diff, "stop_times.txt").rows
    assert rows is not None
    assert (rows.changed, rows.renumbered) == (0, 6)


def test_an_old_number_given_to_a_new_trip_names_the_new_trip() -> None:
    diff = diff_of([trip("A", "08:00")], [trip("B", "08:00"), trip("A", "15:00")])
    assert counts(diff) == {"renumbered": 1, "added": 1}
    assert diff.trips.added.sample[0]["trip_id"] == "A"
    rows = file_of(diff, "stop_times.txt").rows
    assert rows is not None
    assert (rows.added, rows.removed, rows.changed) == (3, 0, 0)


def test_trips_are_added_and_removed_with_their_rows() -> None:
    diff = diff_of(DAY, [*DAY[1:], trip("LATE", "23:30")])
    assert counts(diff) == {"added": 1, "removed": 1}
    assert diff.trips.added.sample[0] == {
        "trip_id": "LATE",
        "route_id": "007",
        "direction_id": "0",
        "service_id": "DAY",
        "departure": "23:30:00",
        "arrival": "23:50:00",
    }
    rows = file_of(diff, "stop_times.txt").rows
    assert rows is not None
    assert (rows.added, rows.removed, rows.changed) == (3, 3, 0)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (trip("A", "08:00"), trip("A", "08:04"), {"retimed": 1}),
        (trip("A", "08:00"), trip("A", "15:00"), {"retimed": 1}),
        (trip("A", "08:00"), trip("B", "08:04"), {"retimed": 1, "renumbered": 1}),
        (trip("A", "08:00"), trip("B", "09:01"), {"added": 1, "removed": 1}),
        (trip("A", "08:00"), trip("A", "08:00", "S-1", "N"), {"rerouted": 1}),
        (trip("A", "08:00"), trip("A", "08:00", route="N7"), {"rerouted": 1}),
        (trip("A", "08:00"), trip("B", "08:00", route="N7"), {"added": 1, "removed": 1}),
        (trip("A", "08:00"), trip("A", "08:00", service="OTHER"), {}),
        (trip("A", "08:00"), trip("B", "08:00", service="OTHER"), {"renumbered": 1}),
    ],
)
def test_what_became_of_a_trip(before: Trip, after: Trip, expected: dict[str, int]) -> None:
    assert counts(diff_of([before], [after])) == expected
    assert set(counts(diff_of([after], [before]))) == set(expected)


def test_a_later_time_on_the_way_is_another_time() -> None:
    late = ("A", "007", "DAY", (("S-1", "08:00:00"), ("M", "08:10:00"), ("N", "08:25:00")))
    diff = diff_of([trip("A", "08:00")], [late])
    assert counts(diff) == {"retimed": 1}
    assert diff.trips.retimed.sample[0]["before"]["arrival"] == "08:20:00"
    assert diff.trips.retimed.sample[0]["after"]["arrival"] == "08:25:00"


def test_a_time_written_with_one_digit_less_is_the_same_time() -> None:
    short = ("A", "007", "DAY", (("S-1", "8:00:00"), ("M", "8:10:00"), ("N", "8:20:00")))
    diff = diff_of([trip("A", "08:00")], [short])
    assert counts(diff) == {}
    rows = file_of(diff, "stop_times.txt").rows
    assert rows is not None
    assert rows.changed == 3, "the cells differ all the same"


def test_among_trips_alike_the_service_dates_decide_which_is_which() -> None:
    header = "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date"
    week, end = "{},1,1,1,1,1,0,0,20260101,20261231", "{},0,0,0,0,0,1,1,20260101,20261231"
    before = feed_of(
        [trip("A", "08:00", service="WEEK"), trip("B", "08:00", service="END")],
        calendar=csv_text(header, week.format("WEEK"), end.format("END")),
    )
    after = feed_of(
        [trip("X", "08:00", service="S1"), trip("Y", "08:00", service="S2")],
        calendar=csv_text(header, end.format("S1"), week.format("S2")),
    )
    assert diff_feeds(before, after).trips.renamed_ids == {"Y": "A", "X": "B"}


def test_a_calendar_that_rolls_on_by_a_day_does_not_hide_which_service_it_is() -> None:
    header = "service_id,date,exception_type"
    dates = [f"202601{day:02}" for day in range(1, 11)]
    before = feed_of(
        [trip("A", "08:00", service="ODD"), trip("B", "08:00", service="EVEN")],
        calendar="service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n",
        calendar_dates=csv_text(header, *(f"{('ODD', 'EVEN')[i % 2]},{day},1" for i, day in enumerate(dates[:8]))),
    )
    after = feed_of(
        [trip("X", "08:00", service="1"), trip("Y", "08:00", service="2")],
        calendar="service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n",
        calendar_dates=csv_text(header, *(f"{('2', '1')[i % 2]},{day},1" for i, day in enumerate(dates) if i >= 1)),
    )
    assert diff_feeds(before, after).trips.renamed_ids == {"Y": "A", "X": "B"}


def test_rows_of_stop_times_in_any_order_make_the_same_trip() -> None:
    shuffled = [(*one[:3], one[3]) for one in DAY]
    before, after = feed_of(DAY), feed_of(shuffled)
    text = after.member_bytes("stop_times.txt").decode()
    header, *rows = text.splitlines()
    renamed = [row.replace("T", "X", 1) for row in sorted(rows, key=lambda row: row[::-1])]
    after = Feed.from_bytes(
        small_feed(
            replaced={
                "trips.txt": bytes(after.member_bytes("trips.txt")).replace(b"DAY,T", b"DAY,X"),
                "stop_times.txt": csv_text(header, *renamed),
            }
        )
    )
    assert counts(diff_feeds(before, after)) == {"renumbered": len(DAY)}


def test_the_routes_say_where_the_trips_differ() -> None:
    diff = diff_of(
        [*DAY, trip("N", "01:00", route="N7")], [*DAY, trip("N", "01:05", route="N7"), trip("N2", "02:00", route="N7")]
    )
    [route] = diff.trips.by_route
    assert (route.route_id, route.before, route.after) == ("N7", 1, 2)
    assert (route.added, route.removed, route.retimed, route.rerouted, route.renumbered) == (1, 0, 1, 0, 0)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("trips.txt", "route_id,service_id\n007,DAY\n", "trips.txt has no column trip_id"),
        ("trips.txt", "route_id,service_id,trip_id\n007,DAY\n", "after: trips.txt line 2"),
        ("stop_times.txt", "trip_id,stop_id\nT1\n", "after: stop_times.txt line 2"),
    ],
)
def test_trips_that_cannot_be_read_are_not_told_as_removed(file: str, text: str, said: str) -> None:
    diff = diff_feeds(Feed.from_bytes(small_feed()), Feed.from_bytes(small_feed(replaced={file: text})))
    assert said in diff.trips.could_not_tell
    assert counts(diff) == {}
    assert said in diff.to_text()
