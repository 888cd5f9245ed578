"""Which hours of an environment still lie in small files. Reads few of them: a schedule asks every hour."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.packs import hour_of
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.artifacts.store import Store

HOUR = timedelta(hours=1)
HOURS_AT_ONCE = 24
"""So many are packed by one run at most."""

_MADE_AT = re.compile(r"(\d{1,11})-")

Span = tuple[datetime, datetime]
"""First and last hour."""


def spans_to_pack(
    store: Store, environment: str, feeds: Iterable[str], *, last: datetime, kept: Collection[tuple[str, str]] = ()
) -> list[Span]:
    """The hours to pack now, newest first: what ends with ``last``, and what was left behind longer ago.

    Args:
        last: The last complete hour; it is packed in any case.
        kept: Feed and version_id of versions that are to stay as small files, so that they are not waited for.

    Returns:
        One or two spans of at most ``HOURS_AT_ONCE`` hours. What is older than the second waits for the next call, so
        that a snapshot which can never be packed holds up nothing but itself.
    """
    first_of_day = last - (HOURS_AT_ONCE - 1) * HOUR
    start, older = last, None
    for feed in feeds:
        start, older = _versions(store, environment, feed, start, older, last, kept)
        for hour in PublishedSnapshots(store).hours(environment, feed):
            if hour < first_of_day:
                older = max(older or hour, hour)
            elif hour < start:
                start = hour
    spans = [(start, last)]
    if older is not None:
        spans.append((older - (HOURS_AT_ONCE - 1) * HOUR, older))
    return spans


def _versions(
    store: Store,
    environment: str,
    feed: str,
    start: datetime,
    older: datetime | None,
    last: datetime,
    kept: Collection[tuple[str, str]],
) -> tuple[datetime, datetime | None]:
    """``start`` and ``older`` as far as one feed's versions move them.

    Ids begin with the header timestamp, which is about when a version was fetched. Only where that would change the
    answer is its record read: a vendor's clock may be wrong, and its hour is that in which it was fetched.
    """
    archive = Archive(store)
    latest = archive.latest(environment, feed)
    first_of_day = last - (HOURS_AT_ONCE - 1) * HOUR
    folder = f"versions/{environment}/{feed}/"
    for key in sorted(store.list(folder), key=_made_at, reverse=True):
        version_id = key.removeprefix(folder).removesuffix(".json")
        is_kept = (feed, version_id) in kept or (latest is not None and latest.version_id == version_id)
        if is_kept or _made_at(key) >= start.timestamp():
            continue
        version = archive.find(environment, feed, version_id)
        hour = hour_of(version.fetched_at) if version else last
        if first_of_day <= hour < start:
            start = hour
        elif hour < first_of_day:
            # The keys come newest first, so this is about the newest of the older ones.
            return start, max(older or hour, hour)
    return start, older


def _made_at(key: str) -> float:
    match = _MADE_AT.match(key.rpartition("/")[2])
    return float(match[1]) if match else 0.0
