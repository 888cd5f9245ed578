"""On which dates trips run, before and after; and what of that tells two services apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.diff.report import ServiceDiff
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.service import service_dates

Dates = Mapping[str, frozenset[date]]


@dataclass(frozen=True, slots=True)
class ServiceDays:
    """The dates of each service of one feed; None, with the reason, where they cannot be told."""

    dates: Dates | None
    could_not_tell: str = ""

    @classmethod
    def of(cls, feed: Feed) -> ServiceDays:
        try:
            return cls(service_dates(feed))
        except FeedStructureError as error:
            return cls(None, str(error))


def trips_by_date(feed: Feed, days: ServiceDays) -> tuple[Counter[date] | None, str]:
    """Trips on each service date; None and the reason where that cannot be told."""
    if days.dates is None:
        return None, days.could_not_tell
    if "trips.txt" not in feed:
        return Counter(), ""
    try:
        table = feed.raw("trips.txt")
        if "service_id" not in table.columns:
            return None, "trips.txt has no column service_id"
        trips = Counter(table.keys("service_id").texts())
    except FeedStructureError as error:
        return None, str(error)
    running: Counter[date] = Counter()
    for service_id, count in trips.items():
        for day in days.dates.get(service_id, ()):
            running[day] += count
    return running, ""


def service_diff(before: Feed, after: Feed, days_before: ServiceDays, days_after: ServiceDays) -> ServiceDiff:
    """Trips by service date, over all dates that either feed runs on."""
    old, why_old = trips_by_date(before, days_before)
    new, why_new = trips_by_date(after, days_after)
    dates = {*(old or ()), *(new or ())}
    span: list[date] = []
    if dates:
        first = min(dates)
        span = [first + timedelta(days=offset) for offset in range((max(dates) - first).days + 1)]
    return ServiceDiff(
        by_date=tuple((day, None if old is None else old[day], None if new is None else new[day]) for day in span),
        could_not_tell_before=why_old,
        could_not_tell_after=why_new,
    )


def comparable_dates(before: ServiceDays, after: ServiceDays) -> tuple[Dates, Dates]:
    """The dates of each service inside the days that both feeds cover.

    A calendar that rolls on by a day gives every service other dates; what they have in common says whether it is
    the same service. Empty where either side cannot be told.
    """
    if before.dates is None or after.dates is None:
        return {}, {}
    spans = [sorted({day for dates in side.values() for day in dates}) for side in (before.dates, after.dates)]
    if not spans[0] or not spans[1]:
        return {}, {}
    first, last = max(spans[0][0], spans[1][0]), min(spans[0][-1], spans[1][-1])
    old, new = (
        {service_id: frozenset(day for day in dates if first <= day <= last) for service_id, dates in side.items()}
        for side in (before.dates, after.dates)
    )
    return old, new
