from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.gtfs.trip_runs import TripRun, clock_time, ends_at, may_mean, runs_under_way, service_date_of
from continuous_gtfs_tests.builders import csv_text, feed_zip, small_feed, small_feed_files

SEATTLE = ZoneInfo("America/Los_Angeles")
NO_DELAY = timedelta()


def index_of(data: bytes) -> ScheduleIndex:
    return ScheduleIndex.from_bytes(build_schedule_index(Feed.from_bytes(data)))


def seattle(month: int, day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=SEATTLE).astimezone(UTC)


def repeating(*rows: str) -> ScheduleIndex:
    files = small_feed_files()
    files["frequencies.txt"] = csv_text("trip_id,start_time,end_time,headway_secs,exact_times", *rows)
    return index_of(feed_zip(files))


def index_with_times(*rows: str) -> ScheduleIndex:
    files = small_feed_files()
    files["stop_times.txt"] = csv_text("trip_id,arrival_time,departure_time,stop_id,stop_sequence", *rows)
    return index_of(feed_zip(files))


def early() -> ScheduleIndex:
    """With a trip from 03:30 to 03:50."""
    return index_with_times(
        "T1,03:30:00,03:30:00,M,1",
        "T1,03:50:00,03:50:00,N,2",
        "NIGHT,24:30:00,24:30:00,M,1",
        "NIGHT,25:10:00,25:10:00,N,2",
    )


SMALL = index_of(small_feed())


@pytest.mark.parametrize(
    ("now", "meant"),
    [
        (seattle(7, 1, 0), date(2026, 6, 30)),
        (seattle(7, 1, 3, 59, 59), date(2026, 6, 30)),
        (seattle(7, 1, 4), date(2026, 7, 1)),
        (seattle(7, 1, 23, 59, 59), date(2026, 7, 1)),
        # The clocks change at 02:00; 04:00 by the clock is what counts.
        (seattle(3, 8, 3, 59), date(2026, 3, 7)),
        (seattle(3, 8, 4), date(2026, 3, 8)),
        (seattle(11, 1, 3, 59), date(2026, 10, 31)),
        (seattle(11, 1, 4), date(2026, 11, 1)),
    ],
)
def test_a_trip_without_a_date_is_of_the_service_day_that_began_at_four(now: datetime, meant: date) -> None:
    assert service_date_of(SMALL, "NIGHT", now) == meant
    assert service_date_of(SMALL, "no such trip", now) == meant


def test_a_trip_that_begins_before_four_is_of_the_day_of_the_calendar() -> None:
    assert service_date_of(early(), "T1", seattle(7, 1, 3, 20)) == date(2026, 7, 1)
    assert service_date_of(early(), "NIGHT", seattle(7, 1, 0, 50)) == date(2026, 6, 30)


def test_of_two_days_the_one_on_which_the_trip_runs_is_meant() -> None:
    index = index_of(feed_zip(small_feed_files(dates_removed=[date(2026, 6, 30)])))
    assert service_date_of(index, "NIGHT", seattle(7, 1, 0, 50)) == date(2026, 7, 1)


def test_a_run_ends_when_its_own_service_day_says() -> None:
    assert ends_at(SMALL, "NIGHT", date(2026, 6, 30), "") == seattle(7, 1, 1, 10)
    # Noon less twelve hours: of 8 March 25:10 is 01:10 on the 9th, of the 7th it is 01:10 before the clocks change.
    assert ends_at(SMALL, "NIGHT", date(2026, 3, 8), "") == seattle(3, 9, 1, 10)
    assert ends_at(SMALL, "NIGHT", date(2026, 3, 7), "") == seattle(3, 8, 1, 10)
    assert ends_at(SMALL, "T1", date(2026, 11, 1), "") == seattle(11, 1, 8, 30)
    assert ends_at(SMALL, "T9", date(2026, 6, 30), "") is None


def test_a_run_of_a_repeated_trip_ends_by_its_own_start() -> None:
    index = repeating("T1,06:00:00,07:00:00,600,1")
    assert ends_at(index, "T1", date(2026, 7, 1), "06:10:00") == seattle(7, 1, 6, 40)
    assert ends_at(index, "T1", date(2026, 7, 1), "") == seattle(7, 1, 7, 30)
    assert ends_at(index, "T1", date(2026, 7, 1), "soon") == seattle(7, 1, 7, 30)
    # Elsewhere the start time is the schedule's own and says nothing new.
    assert ends_at(index, "T2", date(2026, 7, 1), "06:10:00") == seattle(7, 1, 9, 30)


@pytest.mark.parametrize(
    ("now", "trip_ids"),
    [
        (seattle(7, 1, 8, 9, 59), []),
        (seattle(7, 1, 8, 10), ["T1"]),
        (seattle(7, 1, 8, 29, 59), ["T1"]),
        (seattle(7, 1, 8, 30), []),
        (seattle(7, 1, 0, 40), ["NIGHT"]),
        (seattle(3, 8, 0, 40), ["NIGHT"]),
        (seattle(3, 8, 8, 15), ["T1"]),
        (seattle(3, 9, 0, 40), ["NIGHT"]),
        (seattle(11, 1, 0, 40), ["NIGHT"]),
        (seattle(11, 1, 8, 15), ["T1"]),
        (seattle(11, 2, 0, 40), ["NIGHT"]),
    ],
)
def test_runs_under_way_have_begun_long_enough_ago_and_are_not_over(now: datetime, trip_ids: list[str]) -> None:
    runs, inexact = runs_under_way(SMALL, now, started_for=timedelta(minutes=10))
    assert [run.trip_id for run in runs] == trip_ids
    assert inexact == 0


def test_runs_are_told_day_by_day() -> None:
    index = index_with_times(
        "T1,23:00:00,23:00:00,M,1", "T1,49:00:00,49:00:00,N,2", "T2,23:00:00,23:00:00,M,1", "T2,49:00:00,49:00:00,N,2"
    )
    runs, _ = runs_under_way(index, seattle(7, 2, 0, 30), started_for=NO_DELAY)
    assert [(run.service_date.day, run.trip_id) for run in runs] == [(30, "T1"), (30, "T2"), (1, "T1"), (1, "T2")]


def test_a_run_past_midnight_has_the_date_of_its_service_day() -> None:
    assert runs_under_way(SMALL, seattle(7, 1, 0, 40), started_for=NO_DELAY) == (
        [TripRun("NIGHT", date(2026, 6, 30), 24 * 3600 + 1800, 25 * 3600 + 600)],
        0,
    )


def test_of_a_trip_at_exact_times_each_run_counts_once_and_starts_before_the_window_ends() -> None:
    index = repeating("T1,06:00:00,06:20:00,600,1", "T1,06:20:00,06:40:00,1200,1")
    runs, inexact = runs_under_way(index, seattle(7, 1, 6, 29), started_for=NO_DELAY)
    assert [(clock_time(run.start_s), clock_time(run.end_s), run.repeats) for run in runs] == [
        ("06:00:00", "06:30:00", True),
        ("06:10:00", "06:40:00", True),
        ("06:20:00", "06:50:00", True),
    ]
    assert inexact == 0
    runs, _ = runs_under_way(index, seattle(7, 1, 6, 40), started_for=NO_DELAY)
    assert [clock_time(run.start_s) for run in runs] == ["06:20:00"]


def test_of_a_trip_by_headway_no_run_can_be_told() -> None:
    index = repeating("T1,06:00:00,07:00:00,600,0")
    assert runs_under_way(index, seattle(7, 1, 6, 30), started_for=NO_DELAY) == ([], 1)


NIGHT = TripRun("NIGHT", date(2026, 6, 30), 24 * 3600 + 1800, 25 * 3600 + 600)
DAY = TripRun("T1", date(2026, 6, 30), 8 * 3600, 9 * 3600)
REPEAT = TripRun("T1", date(2026, 6, 30), 8 * 3600, 9 * 3600, repeats=True)


@pytest.mark.parametrize(
    ("run", "start_date", "start_time", "is_meant"),
    [
        (DAY, "20260630", "", True),
        (DAY, "", "", True),
        (DAY, "20260701", "", False),
        (DAY, "20260630", "07:55:00", True),
        (NIGHT, "20260630", "", True),
        (NIGHT, "20260701", "", True),
        (NIGHT, "20260629", "", False),
        (REPEAT, "20260630", "08:00:00", True),
        (REPEAT, "20260630", "8:00:00", True),
        (REPEAT, "20260630", "08:10:00", False),
        (REPEAT, "", "", True),
    ],
)
def test_a_reference_means_a_run_of_its_day_and_of_its_start(
    run: TripRun, start_date: str, start_time: str, is_meant: bool
) -> None:
    assert may_mean(run, start_date, start_time) is is_meant
