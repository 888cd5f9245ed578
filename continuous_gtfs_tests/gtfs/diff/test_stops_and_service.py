from __future__ import annotations

from datetime import date

import pytest

from continuous_gtfs.gtfs.diff.feeds import diff_feeds
from continuous_gtfs.gtfs.diff.stops import distance_m
from continuous_gtfs_tests.builders import csv_text, small_feed_files
from continuous_gtfs_tests.gtfs.diff.feeds import diff_of, edited, feed


def test_distances_are_those_on_a_sphere() -> None:
    assert distance_m((0.0, 0.0), (0.0, 0.0)) == 0
    assert distance_m((0.0, 0.0), (0.0, 1.0)) == pytest.approx(111_195, abs=1)
    assert distance_m((-122.33, 60.0), (-121.33, 60.0)) == pytest.approx(55_597, abs=10)
    assert distance_m((179.5, 0.0), (-179.5, 0.0)) == pytest.approx(111_195, abs=1)


def test_a_stop_that_moved_is_told_with_the_metres() -> None:
    diff = diff_of(edited("stops.txt", ("47.620000,-122.330000", "47.621000,-122.330000")))
    assert diff.stops.moved.sample == ({"stop_id": "M", "stop_name": "Mill Street", "metres": 111.2},)
    assert diff.stops.places.moved == (((-122.33, 47.62), (-122.33, 47.621)),)
    assert len(diff.stops.places.kept) == 3
    assert diff.stops.renamed.count == 0


def test_a_place_written_with_fewer_digits_is_the_same_place() -> None:
    diff = diff_of(edited("stops.txt", ("47.620000", "47.62")))
    assert (diff.stops.changed.count, diff.stops.moved.count) == (1, 0)
    assert not diff.is_same


def test_stops_are_renamed_added_and_removed() -> None:
    diff = diff_of(edited("stops.txt", ("Mill Street", "Mill St"), ("N,North", "NN,North")))
    assert diff.stops.renamed.sample == ({"stop_id": "M", "before": "Mill Street", "after": "Mill St"},)
    assert [one["stop_id"] for one in diff.stops.added.sample] == ["NN"]
    assert [one["stop_id"] for one in diff.stops.removed.sample] == ["N"]


@pytest.mark.parametrize("cell", ["", "north", "nan", "inf", "123.0"])
def test_a_stop_that_lies_nowhere_has_not_moved_and_is_on_no_map(cell: str) -> None:
    diff = diff_of(edited("stops.txt", ("47.620000", cell)))
    assert (diff.stops.changed.count, diff.stops.moved.count) == (1, 0)
    assert len(diff.stops.places.kept) == 3


def test_stops_of_the_same_file_are_on_the_map() -> None:
    assert len(diff_of({}).stops.places.kept) == 4


def test_stops_that_cannot_be_read_are_not_told_as_removed() -> None:
    diff = diff_of({"stops.txt": "stop_id,stop_name\nM\n"})
    assert "after: stops.txt line 2" in diff.stops.could_not_tell
    assert diff.stops.removed.count == 0


def test_trips_are_counted_on_every_date_that_either_feed_runs_on() -> None:
    before = small_feed_files(first_date=date(2026, 3, 1), last_date=date(2026, 3, 4))
    after = small_feed_files(first_date=date(2026, 3, 3), last_date=date(2026, 3, 5), dates_removed=[date(2026, 3, 4)])
    diff = diff_feeds(feed(before), feed(after))
    assert diff.service.by_date == (
        (date(2026, 3, 1), 3, 0),
        (date(2026, 3, 2), 3, 0),
        (date(2026, 3, 3), 3, 3),
        (date(2026, 3, 4), 3, 0),
        (date(2026, 3, 5), 0, 3),
    )


def test_a_broken_calendar_is_told_and_does_not_stop_the_diff() -> None:
    diff = diff_of(edited("calendar.txt", ("20260101", "1 January")) | edited("stops.txt", ("Mill Street", "Mill St")))
    assert "calendar.txt row 1 (start_date)" in diff.service.could_not_tell_after
    assert diff.service.could_not_tell_before == ""
    assert {after for _, _, after in diff.service.by_date} == {None}
    assert diff.stops.renamed.count == 1
    assert "Service after: could not tell: calendar.txt row 1" in diff.to_text()


def test_a_feed_without_any_calendar_is_told() -> None:
    diff = diff_feeds(feed(), feed(without=["calendar.txt", "calendar_dates.txt"]))
    assert "neither calendar.txt nor calendar_dates.txt" in diff.service.could_not_tell_after


def test_trips_of_a_service_that_no_one_defined_run_on_no_date() -> None:
    trips = csv_text("route_id,service_id,trip_id", "007,GHOST,T1", "007,DAY,T2")
    diff = diff_of({"trips.txt": trips})
    assert {(before, after) for _, before, after in diff.service.by_date} == {(3, 1)}
