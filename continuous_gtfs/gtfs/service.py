"""Which service runs on which date (calendar.txt, exceptions of calendar_dates.txt applied), and in which timezone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.times import parse_service_date

AGENCY = "agency.txt"
CALENDAR = "calendar.txt"
CALENDAR_DATES = "calendar_dates.txt"
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# Dates are listed one by one; a service "until 9999" would be three million of them.
_LONGEST_YEARS = 100
_ADDED, _REMOVED = "1", "2"


def service_dates(feed: Feed) -> dict[str, frozenset[date]]:
    """The dates on which each service runs. A service that never runs is there, with no dates.

    Raises:
        FeedStructureError: The feed has neither calendar.txt nor calendar_dates.txt, or a row of them cannot
            be read (the message names it, counting from 1 after the header). An answer without that row would read as
            "no service then", which is a different fact.
    """
    if CALENDAR not in feed and CALENDAR_DATES not in feed:
        raise FeedStructureError(f"the feed has neither {CALENDAR} nor {CALENDAR_DATES}")
    running: dict[str, set[date]] = {}
    for number, row in _rows(feed, CALENDAR, ("service_id", *_WEEKDAYS, "start_date", "end_date")):
        service_id, *days, start, end = row
        dates = running.setdefault(service_id, set())
        wanted = [day == "1" for day in days]
        first = _date(start, number, CALENDAR, "start_date")
        last = _date(end, number, CALENDAR, "end_date")
        if last.year - first.year > _LONGEST_YEARS:
            raise FeedStructureError(
                f"{CALENDAR} row {number} (end_date): {end} is more than {_LONGEST_YEARS} years after {start}; "
                "set a date that is meant, with UpdateFields for one"
            )
        if any(wanted):
            span = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
            dates.update(day for day in span if wanted[day.weekday()])
    for number, (service_id, text, kind) in _rows(feed, CALENDAR_DATES, ("service_id", "date", "exception_type")):
        dates = running.setdefault(service_id, set())
        day = _date(text, number, CALENDAR_DATES, "date")
        if kind == _ADDED:
            dates.add(day)
        elif kind == _REMOVED:
            dates.discard(day)
        else:
            raise FeedStructureError(
                f"{CALENDAR_DATES} row {number} (exception_type): {kind!r} is neither {_ADDED} nor {_REMOVED}"
            )
    return {service_id: frozenset(dates) for service_id, dates in running.items()}


def service_ids_on(feed: Feed, service_date: date) -> frozenset[str]:
    """Service that runs on ``service_date``, calendar exceptions applied.

    A service date is not a wall-clock date: a trip leaving at 25:10:00 belongs to the day before.

    Raises:
        FeedStructureError: See ``service_dates``.
    """
    return frozenset(service_id for service_id, dates in service_dates(feed).items() if service_date in dates)


def agency_timezone(feed: Feed) -> str:
    """The timezone that the feed's times are in: one for all its agencies.

    Raises:
        FeedStructureError: agency.txt is missing, or names none that exists.
    """
    names = [name for _, (name,) in _rows(feed, AGENCY, ("agency_timezone",)) if name]
    if not names:
        raise FeedStructureError(f"{AGENCY} names no agency_timezone")
    try:
        return ZoneInfo(names[0]).key
    except (KeyError, ValueError, OSError):
        raise FeedStructureError(f"{AGENCY} (agency_timezone): {names[0]!r} is no timezone") from None


def _rows(feed: Feed, file: str, columns: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Number and values, surrounding spaces taken off, of each row of a file; nothing if it is not there."""
    if file not in feed:
        return
    table = feed.raw(file)
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise FeedStructureError(f"{file} has no column {', '.join(absent)}")
    table.load(columns)
    values = zip(*(table.keys(name).texts() for name in columns), strict=True)
    yield from enumerate(values, start=1)


def _date(text: str, row: int, file: str, column: str) -> date:
    day = parse_service_date(text)
    if day is None:
        raise FeedStructureError(f"{file} row {row} ({column}): {text!r} is no date YYYYMMDD")
    return day
