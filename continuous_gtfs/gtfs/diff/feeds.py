"""The diff of two feeds, put together: which file is compared when, and what it is told for."""

from __future__ import annotations

from continuous_gtfs.gtfs.diff.files import file_diff, match_pair, open_pair
from continuous_gtfs.gtfs.diff.report import FeedDiff, FileDiff, TripsDiff
from continuous_gtfs.gtfs.diff.routes import routes_diff
from continuous_gtfs.gtfs.diff.service_days import ServiceDays, comparable_dates, service_diff
from continuous_gtfs.gtfs.diff.stops import stops_diff
from continuous_gtfs.gtfs.diff.tables import Renamed
from continuous_gtfs.gtfs.diff.trips import find_trips, match_stop_times, why_not
from continuous_gtfs.gtfs.feed import Feed

TRIPS, STOP_TIMES, ROUTES, STOPS = "trips.txt", "stop_times.txt", "routes.txt", "stops.txt"


def diff_feeds(before: Feed, after: Feed, *, sample: int = 20) -> FeedDiff:
    """What differs between two versions of a feed.

    Content decides: the order of rows that have a key, the order of files, quotation marks, line ends, a byte order
    mark and the spaces around a value make no difference. Trips are paired by what they are before their rows are
    compared, so that a new numbering of all trips is no change of any row.

    Args:
        sample: How many rows or entities of each kind are listed at most; what is counted is always complete.

    Raises:
        FeedStructureError: A member of either zip is damaged. A file that merely cannot be parsed is compared as
            bytes, and the diff says so.
    """
    days_before, days_after = ServiceDays.of(before), ServiceDays.of(after)
    names = sorted({*before.files, *after.files})
    found: dict[str, FileDiff | None] = {}

    trips_diff, renamed = _trips(before, after, (days_before, days_after), sample, found)
    for name in names:
        if name in (ROUTES, STOPS) or name in found:
            continue
        pair = open_pair(before, after, name)
        found[name] = file_diff(pair, match_pair(pair, renamed), sample)

    routes = open_pair(before, after, ROUTES)
    match = match_pair(routes, renamed)
    found[ROUTES] = file_diff(routes, match, sample)
    routes_found = routes_diff(routes, match, sample)
    stops = open_pair(before, after, STOPS, is_needed=True)
    match = match_pair(stops, renamed)
    found[STOPS] = file_diff(stops, match, sample)

    return FeedDiff(
        files=tuple(one for name in names if (one := found[name]) is not None),
        files_before=tuple(sorted(before.files)),
        files_after=tuple(sorted(after.files)),
        routes=routes_found,
        stops=stops_diff(stops, match, sample),
        trips=trips_diff,
        service=service_diff(before, after, days_before, days_after),
        sample=sample,
    )


def _trips(
    before: Feed,
    after: Feed,
    days: tuple[ServiceDays, ServiceDays],
    sample: int,
    found: dict[str, FileDiff | None],
) -> tuple[TripsDiff, Renamed]:
    """Compare trips.txt and stop_times.txt, into ``found``; what became of the trips, and what ids became of which."""
    trips, stop_times = open_pair(before, after, TRIPS), open_pair(before, after, STOP_TIMES)
    if trips.is_equal and stop_times.is_equal:
        return _unchanged(before), {}
    trips = open_pair(before, after, TRIPS, is_needed=True) if trips.is_equal else trips
    stop_times = open_pair(before, after, STOP_TIMES, is_needed=True) if stop_times.is_equal else stop_times
    why = why_not(trips, stop_times)
    if why:
        for pair in (trips, stop_times):
            found[pair.file] = file_diff(pair, match_pair(pair, {}), sample)
        return TripsDiff(could_not_tell=why), {}
    these = find_trips(trips, stop_times, comparable_dates(*days), sample)
    found[STOP_TIMES] = file_diff(stop_times, match_stop_times(these), sample)
    found[TRIPS] = file_diff(trips, match_pair(trips, these.renamed), sample)
    return these.diff, these.renamed


def _unchanged(feed: Feed) -> TripsDiff:
    count = feed.row_counts()[TRIPS] if TRIPS in feed else 0
    return TripsDiff(before=count, after=count)
