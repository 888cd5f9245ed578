from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from continuous_gtfs.gtfs.diff.feeds import diff_feeds
from continuous_gtfs.gtfs.diff.report import FeedDiff
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs_tests.builders import csv_text, small_feed

IDS = st.sampled_from(["A", "B", "C", "D", ""])
TIMES = st.sampled_from(["08:00:00", "8:00:00", "08:03:00", "09:00:00", "25:10:00", "", "soon"])
STOPS = st.tuples(IDS, st.sampled_from(["x", '"y, z"', " x "]), st.sampled_from(["47.6", "47.60", "47.7", ""]))
TRIPS = st.tuples(st.sampled_from(["007", "N7"]), st.sampled_from(["DAY", "WE"]), IDS, st.sampled_from(["0", "1"]))
VISITS = st.tuples(IDS, TIMES, st.sampled_from(["S", "M", "N"]), st.sampled_from(["1", "2", "3", "x"]))


def lines(rows: list[tuple[str, ...]]) -> list[str]:
    return [",".join(row) for row in rows]


FEEDS = st.builds(
    lambda stops, trips, visits, words: {
        "stops.txt": csv_text("stop_id,stop_name,stop_lat", *lines(stops)),
        "trips.txt": csv_text("route_id,service_id,trip_id,direction_id", *lines(trips)),
        "stop_times.txt": csv_text("trip_id,departure_time,stop_id,stop_sequence", *lines(visits)),
        "words.txt": csv_text("word,number", *lines(words)),
    },
    st.lists(STOPS, max_size=5),
    st.lists(TRIPS, max_size=5),
    st.lists(VISITS, max_size=10),
    st.lists(st.tuples(IDS, IDS), max_size=3),
)
Files = dict[str, str]


def feed(files: Files) -> Feed:
    return Feed.from_bytes(small_feed(replaced=files))


def row_counts(diff: FeedDiff) -> dict[str, tuple[int, int, int, int, int, int]]:
    return {
        file.file: (rows.before, rows.after, rows.added, rows.removed, rows.changed, rows.renumbered)
        for file in diff.files
        if (rows := file.rows)
    }


@given(FEEDS)
@settings(max_examples=30, deadline=None)
def test_a_feed_is_the_same_as_itself(files: Files) -> None:
    assert diff_feeds(feed(files), feed(files)).is_same


@given(FEEDS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_a_feed_is_the_same_with_its_rows_in_another_order(files: Files, random: object) -> None:
    shuffled = dict(files)
    for name in ("stops.txt", "trips.txt", "stop_times.txt"):
        header, *rows = files[name].splitlines()
        random.shuffle(rows)  # type: ignore[attr-defined]
        shuffled[name] = csv_text(header, *rows)
    assert diff_feeds(feed(files), feed(shuffled)).is_same


@given(FEEDS, FEEDS)
@settings(max_examples=60, deadline=None)
def test_turned_around_a_diff_says_the_same_with_added_and_removed_exchanged(one: Files, other: Files) -> None:
    there, back = diff_feeds(feed(one), feed(other)), diff_feeds(feed(other), feed(one))
    turned = {name: (b, a, removed, added, *rest) for name, (a, b, added, removed, *rest) in row_counts(back).items()}
    assert row_counts(there) == turned
    assert there.is_same == back.is_same
    counts, turned_counts = there.trips, back.trips
    assert (counts.added.count, counts.removed.count) == (turned_counts.removed.count, turned_counts.added.count)
    assert (counts.retimed.count, counts.rerouted.count, counts.renumbered.count) == (
        turned_counts.retimed.count,
        turned_counts.rerouted.count,
        turned_counts.renumbered.count,
    )


@given(FEEDS, FEEDS)
@settings(max_examples=60, deadline=None)
def test_rows_before_less_those_removed_and_with_those_added_are_the_rows_after(one: Files, other: Files) -> None:
    diff = diff_feeds(feed(one), feed(other))
    for before, after, added, removed, changed, _ in row_counts(diff).values():
        assert before - removed + added == after
        assert changed <= min(before, after)
    trips = diff.trips
    if not trips.could_not_tell:
        assert trips.before - trips.removed.count + trips.added.count == trips.after
