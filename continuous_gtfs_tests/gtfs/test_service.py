from __future__ import annotations

from datetime import date

import pytest

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.service import service_dates, service_ids_on
from continuous_gtfs_tests.builders import csv_text, feed_zip
from continuous_gtfs_tests.real_data import real_data_path

HEADER = "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date"
WEEK = csv_text(HEADER, "WEEKDAY,1,1,1,1,1,0,0,20260301,20260314", "NEVER,0,0,0,0,0,0,0,20260301,20260314")


def feed(calendar: str | None = WEEK, calendar_dates: str | None = None) -> Feed:
    files = {"stops.txt": "stop_id\n", "calendar.txt": calendar, "calendar_dates.txt": calendar_dates}
    return Feed.from_bytes(feed_zip({name: text for name, text in files.items() if text is not None}))


def test_service_runs_on_its_weekdays_from_the_first_date_to_the_last() -> None:
    assert service_dates(feed()) == {
        "WEEKDAY": {date(2026, 3, day) for day in (2, 3, 4, 5, 6, 9, 10, 11, 12, 13)},
        "NEVER": frozenset(),
    }


def test_exceptions_add_and_remove_dates() -> None:
    dates = csv_text("service_id,date,exception_type", "WEEKDAY,20260302,2", "WEEKDAY,20260307,1", "EVENT,20260307,1")
    with_exceptions = feed(calendar_dates=dates)
    assert service_ids_on(with_exceptions, date(2026, 3, 2)) == frozenset()
    assert service_ids_on(with_exceptions, date(2026, 3, 3)) == {"WEEKDAY"}
    assert service_ids_on(with_exceptions, date(2026, 3, 7)) == {"WEEKDAY", "EVENT"}


def test_a_feed_may_have_calendar_dates_only() -> None:
    dates = csv_text("service_id,date,exception_type", "EVENT,20260307,1")
    assert service_dates(feed(None, dates)) == {"EVENT": {date(2026, 3, 7)}}


def test_headers_and_values_padded_with_spaces_are_read() -> None:
    calendar = WEEK.replace(",", " , ")
    assert service_dates(feed(calendar)) == service_dates(feed())


@pytest.mark.parametrize(
    ("calendar", "calendar_dates", "said"),
    [
        (None, None, "neither calendar.txt nor calendar_dates.txt"),
        (WEEK.replace("20260314", "20260231"), None, r"calendar\.txt row 1 \(end_date\): '20260231' is no date"),
        (WEEK.replace(",end_date", ",until"), None, r"calendar\.txt has no column end_date"),
        (
            WEEK,
            csv_text("service_id,date,exception_type", "A,20260302,1", "A,2026030,1"),
            r"calendar_dates\.txt row 2 \(date\): '2026030' is no date",
        ),
        (
            WEEK,
            csv_text("service_id,date,exception_type", "A,20260302,3"),
            r"calendar_dates\.txt row 1 \(exception_type\): '3' is neither 1 nor 2",
        ),
    ],
)
def test_a_calendar_that_cannot_be_read_is_no_empty_calendar(
    calendar: str | None, calendar_dates: str | None, said: str
) -> None:
    with pytest.raises(FeedStructureError, match=said):
        service_dates(feed(calendar, calendar_dates))


def test_a_real_schedule_runs_weekday_service_on_a_weekday() -> None:
    sound_transit = Feed.from_path(real_data_path("sound_transit_2024-11/schedule.zip"))
    on_tuesday = service_ids_on(sound_transit, date(2024, 12, 10))
    assert on_tuesday
    assert not any("Saturday" in service_id or "Sunday" in service_id for service_id in on_tuesday)
