"""Which hours of an environment still lie in small files. Reads few of them: a schedule asks every hour."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.packs import hour_of, made_at_of
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.errors import ArchiveCorruptError

HOUR = timedelta(hours=1)
HOURS_AT_ONCE = 24
"""So many are packed by one run at most."""

# Multiples of it, less the whole, lie evenly between 0 and 1, however many one takes.
_GOLDEN_RATIO = 0.618033988749895

Span = tuple[datetime, datetime]
"""First and last hour."""


@dataclass(frozen=True, slots=True)
class _Older:
    """What waits for longer than a day: a version, or with None what was published of those of an hour."""

    made_at: float
    feed: str
    version_id: str | None


def spans_to_pack(
    store: Store, environment: str, feeds: Iterable[str], *, last: datetime, kept: Collection[tuple[str, str]] = ()
) -> list[Span]:
    """The hours to pack now, newest first: what ends with ``last``, and what was left behind longer ago.

    Args:
        last: The last complete hour; it is packed in any case.
        kept: Feed and version_id of versions that are to stay as small files, so that they are not waited for.

    Returns:
        One or two spans of at most ``HOURS_AT_ONCE`` hours. What is older than the second waits for another call. Every
        other hour the second is not the newest but lies anywhere in what is older, so that a snapshot which can never
        be packed holds up nothing but itself.
    """
    archive = Archive(store)
    first_of_day = last - (HOURS_AT_ONCE - 1) * HOUR
    start, waiting = last, list[_Older]()
    for feed in feeds:
        start, older = _versions(store, archive, environment, feed, start, last, kept)
        waiting += older
        for hour in PublishedSnapshots(store).hours(environment, feed):
            if hour < first_of_day:
                waiting.append(_Older(hour.timestamp(), feed, None))
            elif hour < start:
                start = hour
    chosen = _hour(archive, environment, _chosen(waiting, last)) if waiting else None
    if chosen is None or chosen >= first_of_day:
        return [(start if chosen is None else min(start, chosen), last)]
    return [(start, last), (chosen - (HOURS_AT_ONCE - 1) * HOUR, chosen)]


def _chosen(waiting: Collection[_Older], last: datetime) -> _Older:
    newest_first = sorted(waiting, key=lambda older: older.made_at, reverse=True)
    turn = int(last.timestamp()) // 3600
    return newest_first[int(len(newest_first) * (turn * _GOLDEN_RATIO % 1)) if turn % 2 else 0]


def _hour(archive: Archive, environment: str, older: _Older) -> datetime | None:
    """The hour that something is to be packed in; None where its record is gone or cannot be read."""
    if older.version_id is None:
        return datetime.fromtimestamp(older.made_at, UTC)
    try:
        version = archive.find(environment, older.feed, older.version_id)
    except ArchiveCorruptError:
        # The run that packs the feed names it.
        return None
    return hour_of(version.fetched_at) if version else None


def _versions(
    store: Store,
    archive: Archive,
    environment: str,
    feed: str,
    start: datetime,
    last: datetime,
    kept: Collection[tuple[str, str]],
) -> tuple[datetime, list[_Older]]:
    """``start`` as far as one feed's versions move it, and those that are older than a day.

    Ids begin with the header timestamp, which is about when a version was fetched. Only where that would change the
    answer is its record read: a vendor's clock may be wrong, and its hour is that in which it was fetched.
    """
    latest = archive.latest(environment, feed)
    first_of_day = last - (HOURS_AT_ONCE - 1) * HOUR
    folder = f"versions/{environment}/{feed}/"
    ids = [key.removeprefix(folder).removesuffix(".json") for key in store.list(folder)]
    waiting = [
        _Older(made_at_of(one) or 0.0, feed, one)
        for one in ids
        if (feed, one) not in kept and (latest is None or latest.version_id != one)
    ]
    waiting.sort(key=lambda older: older.made_at, reverse=True)
    for number, one in enumerate(waiting):
        if one.made_at >= start.timestamp():
            continue
        hour = _hour(archive, environment, one)
        if hour is None:
            continue
        if hour < first_of_day:
            # They come newest first, so this is about the newest of the older ones.
            return start, waiting[number:]
        start = min(start, hour)
    return start, []
