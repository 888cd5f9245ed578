"""Which service the generated agency runs on a date, and when a service day begins. Rules only, no trips."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

TIMEZONE = ZoneInfo("America/Los_Angeles")

WEEKDAY = "WEEKDAY"
SATURDAY = "SATURDAY"
SUNDAY = "SUNDAY"
EVENT = "EVENT"
"""Extra trains on event nights; it has no row in calendar.txt, only dates in calendar_dates.txt."""
NEVER = "LLR_TEST_NEVER"
"""All zero in calendar.txt and on no date: what a vendor's test run leaves behind."""

CALENDAR = {
    WEEKDAY: (1, 1, 1, 1, 1, 0, 0),
    SATURDAY: (0, 0, 0, 0, 0, 1, 0),
    SUNDAY: (0, 0, 0, 0, 0, 0, 1),
    NEVER: (0, 0, 0, 0, 0, 0, 0),
}
"""Rows of calendar.txt, Monday first."""

_FIXED_HOLIDAYS = ((1, 1), (7, 4), (11, 11), (12, 25))
_MOVING_HOLIDAYS = ((1, 0, 3), (2, 0, 3), (4, 0, 3), (6, 0, 1), (9, 0, 1), (10, 0, 2), (11, 3, 4))
"""Month, weekday, which one in the month. Close enough together that any 90 days hold one."""


def is_holiday(service_date: date) -> bool:
    """Whether Sunday's service runs instead of the usual one."""
    if (service_date.month, service_date.day) in _FIXED_HOLIDAYS:
        return True
    nth = (service_date.day + 6) // 7
    return (service_date.month, service_date.weekday(), nth) in _MOVING_HOLIDAYS


def is_event_day(service_date: date) -> bool:
    """Whether the event trains run: the first Saturday of a month, holidays excepted."""
    return service_date.weekday() == 5 and service_date.day <= 7 and not is_holiday(service_date)


def service_ids_on(service_date: date) -> tuple[str, ...]:
    """The services that run on ``service_date``; what calendar.txt and calendar_dates.txt say together."""
    if is_holiday(service_date):
        return (SUNDAY,)
    usual = _usual_service_id(service_date)
    return (usual, EVENT) if is_event_day(service_date) else (usual,)


def exceptions_on(service_date: date) -> list[tuple[str, int]]:
    """Rows of calendar_dates.txt for one date: ``(service_id, exception_type)``, 1 added, 2 removed."""
    usual = {_usual_service_id(service_date)}
    actual = set(service_ids_on(service_date))
    return [(service_id, 2) for service_id in sorted(usual - actual)] + [
        (service_id, 1) for service_id in sorted(actual - usual)
    ]


def service_day_origin(service_date: date) -> int:
    """POSIX seconds of GTFS time 00:00:00 on ``service_date``: noon minus twelve hours.

    Not midnight: on the two days on which clocks change, midnight is an hour off, and every time of the
    feed with it (GTFS reference, field type Time).
    """
    noon = datetime.combine(service_date, time(12), tzinfo=TIMEZONE)
    return int(noon.timestamp()) - 12 * 3600


def service_dates_at(now: datetime) -> tuple[date, date]:
    """The service dates whose trips can be under way at ``now``: yesterday's, then today's."""
    today = now.astimezone(TIMEZONE).date()
    return today - timedelta(days=1), today


def _usual_service_id(service_date: date) -> str:
    weekday = service_date.weekday()
    return next(service_id for service_id, days in CALENDAR.items() if days[weekday])
