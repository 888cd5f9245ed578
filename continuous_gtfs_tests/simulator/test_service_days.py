"""Which service runs on which date, and when its clock starts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from continuous_gtfs.simulator.service_days import (
    exceptions_on,
    is_holiday,
    service_dates_at,
    service_day_origin,
    service_ids_on,
)


@pytest.mark.parametrize(
    ("service_date", "services", "exceptions"),
    [
        (date(2026, 10, 28), ("WEEKDAY",), []),
        (date(2026, 10, 24), ("SATURDAY",), []),
        (date(2026, 10, 25), ("SUNDAY",), []),
        (date(2026, 11, 7), ("SATURDAY", "EVENT"), [("EVENT", 1)]),
        (date(2026, 11, 26), ("SUNDAY",), [("WEEKDAY", 2), ("SUNDAY", 1)]),
        (date(2026, 7, 4), ("SUNDAY",), [("SATURDAY", 2), ("SUNDAY", 1)]),
        (date(2027, 7, 4), ("SUNDAY",), []),
    ],
    ids=["wednesday", "saturday", "sunday", "event", "thanksgiving", "saturday holiday", "sunday holiday"],
)
def test_a_date_has_the_service_its_calendar_and_exceptions_say(
    service_date: date, services: tuple[str, ...], exceptions: list[tuple[str, int]]
) -> None:
    assert service_ids_on(service_date) == services
    assert exceptions_on(service_date) == exceptions


def test_any_ninety_days_hold_a_holiday() -> None:
    holidays = [day for day in (date(2026, 1, 1) + timedelta(n) for n in range(1500)) if is_holiday(day)]
    assert max(later - earlier for earlier, later in pairwise(holidays)) < timedelta(90)


@pytest.mark.parametrize(
    ("service_date", "origin"),
    [
        (date(2026, 10, 31), datetime(2026, 10, 31, 7, tzinfo=UTC)),
        # Clocks go back: noon is UTC-8, so the origin is 01:00 of a night that began as UTC-7.
        (date(2026, 11, 1), datetime(2026, 11, 1, 8, tzinfo=UTC)),
        (date(2026, 11, 2), datetime(2026, 11, 2, 8, tzinfo=UTC)),
        (date(2027, 3, 13), datetime(2027, 3, 13, 8, tzinfo=UTC)),
        # Clocks go forward: the origin is 23:00 of the day before.
        (date(2027, 3, 14), datetime(2027, 3, 14, 7, tzinfo=UTC)),
    ],
)
def test_a_service_day_begins_twelve_hours_before_noon(service_date: date, origin: datetime) -> None:
    assert service_day_origin(service_date) == origin.timestamp()


def test_trips_under_way_belong_to_yesterday_or_today_of_the_agency_not_of_utc() -> None:
    after_midnight_utc = datetime(2026, 10, 29, 2, tzinfo=UTC)
    assert service_dates_at(after_midnight_utc) == (date(2026, 10, 27), date(2026, 10, 28))
