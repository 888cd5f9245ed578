"""What a feed must still hold: service on the coming days, and not much less of it than before."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest

from continuous_gtfs.errors import ConfigurationError, FeedStructureError
from continuous_gtfs.gtfs.checks.coverage import feed_covers_next_days
from continuous_gtfs.gtfs.checks.outcome import CheckOutcome
from continuous_gtfs.gtfs.checks.service_levels import ServiceLevels, dates_from, service_levels
from continuous_gtfs.gtfs.checks.shrinkage import does_not_shrink
from continuous_gtfs.gtfs.checks.thresholds import ScheduleThresholds
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs_tests.builders import feed_zip, small_feed, small_feed_files

TODAY = date(2026, 6, 1)
WEEK = dates_from(TODAY, 7)


def levels(trips_on: list[int], *, trips: int = 100, stop_times: int = 1000) -> ServiceLevels:
    return ServiceLevels(stop_times=stop_times, trips=trips, trips_on=dict(zip(WEEK, trips_on, strict=True)))


def shrink(found: ServiceLevels, published: ServiceLevels | None) -> CheckOutcome:
    return does_not_shrink(
        found, published, dates=WEEK, stop_times_fall_percent=10, trips_fall_percent=20, day_fall_percent=30
    )


def test_trips_are_counted_on_each_date_with_exceptions_applied() -> None:
    files = small_feed_files(last_date=TODAY + timedelta(days=2), dates_removed=[TODAY + timedelta(days=1)])
    found = service_levels(Feed.from_bytes(feed_zip(files)), dates_from(TODAY, 4))
    assert list(found.trips_on.values()) == [3, 0, 3, 0]
    assert (found.trips, found.stop_times) == (3, 9)


def test_a_feed_without_calendars_has_no_answer_rather_than_no_service() -> None:
    feed = Feed.from_bytes(small_feed(without=["calendar.txt", "calendar_dates.txt"]))
    with pytest.raises(FeedStructureError, match=r"calendar\.txt"):
        service_levels(feed, WEEK)


def test_a_day_without_trips_is_told_by_its_date() -> None:
    outcome = feed_covers_next_days(levels([3, 3, 0, 3, 3, 3, 3]), levels([3] * 7), dates=WEEK)
    assert not outcome.is_passed
    assert outcome.message == "trips run on 6 of the next 7 days, none on 2026-06-03; on 7 of them before"
    assert outcome.numbers["days_without_trips"] == ["2026-06-03"]
    assert json.dumps(outcome.numbers)


def test_an_agency_may_rest_on_some_days() -> None:
    resting = levels([3, 3, 0, 3, 3, 3, 3])
    assert feed_covers_next_days(resting, levels([3] * 7), dates=WEEK, may_be_empty=1).is_passed
    assert feed_covers_next_days(levels([3] * 7), None, dates=WEEK).is_passed


def test_a_feed_that_ends_soon_is_let_pass_where_what_is_published_ends_sooner() -> None:
    ends = levels([3, 3, 3, 0, 0, 0, 0])
    assert feed_covers_next_days(ends, levels([3, 3, 0, 0, 0, 0, 0]), dates=WEEK).is_passed
    assert feed_covers_next_days(ends, ends, dates=WEEK).is_passed
    assert not feed_covers_next_days(ends, levels([3, 3, 3, 3, 0, 0, 0]), dates=WEEK).is_passed
    assert not feed_covers_next_days(ends, None, dates=WEEK).is_passed


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (levels([10] * 7, stop_times=899), "stop_times fall from 1,000 to 899, by 10.1 % (more than 10 %)"),
        (levels([10] * 7, trips=79), "trips fall from 100 to 79, by 21.0 % (more than 20 %)"),
        (levels([10, 6] + [10] * 5), "trips on 2026-06-02 fall from 10 to 6, by 40.0 % (more than 30 %)"),
        (levels([0] * 7), "and 3 more"),
    ],
)
def test_a_fall_by_more_than_its_percentage_is_told_with_its_numbers(found: ServiceLevels, told: str) -> None:
    outcome = shrink(found, levels([10] * 7))
    assert not outcome.is_passed
    assert told in outcome.message
    assert json.dumps(outcome.numbers)


@pytest.mark.parametrize(
    "found",
    [
        levels([7] * 7, trips=80, stop_times=900),
        levels([20] * 7, trips=300, stop_times=3000),
    ],
)
def test_a_fall_up_to_its_percentage_and_any_growth_pass(found: ServiceLevels) -> None:
    assert shrink(found, levels([10] * 7)).is_passed


def test_a_day_on_which_nothing_ran_has_nothing_to_lose() -> None:
    assert shrink(levels([0, 10, 10, 10, 10, 10, 10]), levels([0, 10, 10, 10, 10, 10, 10])).is_passed


def test_nothing_is_compared_where_nothing_is_published() -> None:
    assert shrink(levels([1] * 7), None).is_passed


@pytest.mark.parametrize(
    "wrong",
    [
        {"notices": {"some_code": "warn"}},
        {"notices": {"some_code": -1}},
        {"notices": {"some_code": True}},
        {"covers_next_days": -1},
        {"trips_fall_percent": 120},
    ],
)
def test_a_threshold_that_means_nothing_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        ScheduleThresholds(**wrong)  # type: ignore[arg-type]
