"""The packs of the archive: where they lie, and finding in them what no small file holds any more. Reads only.

    archive/packs/<environment>/<feed>/<hour>.parquet      2026-11-25T02: what was fetched from 02:00 on, in UTC

What is in a pack is in ``pack_format``; how small files become packs is in ``packing``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from continuous_gtfs.artifacts.pack_format import PackFile, PublishedSnapshot
from continuous_gtfs.artifacts.store import ObjectNotFoundError, Store
from continuous_gtfs.versions import FeedVersion

_HOUR = "%Y-%m-%dT%H"
_REALTIME_ID = re.compile(r"(\d+)-[0-9a-f]{12}")
# As seconds, this is the year 5138: what is higher was meant in milliseconds, or finer.
_TOO_HIGH = 1e11


def hour_of(moment: datetime) -> datetime:
    """The beginning of the hour, in UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hour_name(hour: datetime) -> str:
    return f"{hour.astimezone(UTC):{_HOUR}}"


def parse_hour(name: str) -> datetime | None:
    """The hour of that name; None for a name that is none."""
    try:
        return datetime.strptime(name, _HOUR).replace(tzinfo=UTC)
    except ValueError:
        return None


def made_at_of(version_id: str) -> float | None:
    """POSIX seconds that a realtime version's id begins with, 0 for none; None for an id that is not of this form."""
    match = _REALTIME_ID.fullmatch(version_id)
    if match is None:
        return None
    made_at = float(match[1])
    while made_at >= _TOO_HIGH:
        made_at /= 1000
    return made_at


def pack_key(environment: str, feed: str, hour: datetime) -> str:
    return f"{_folder(environment, feed)}{hour_name(hour)}.parquet"


def _folder(environment: str, feed: str) -> str:
    return f"archive/packs/{environment}/{feed}/"


class Packs:
    """Packed snapshots in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open(self, environment: str, feed: str, hour: datetime) -> PackFile | None:
        """The pack of an hour; None where there is none.

        Raises:
            ArchiveCorruptError: It cannot be read.
        """
        key = pack_key(environment, feed, hour)
        try:
            data = self._store.read(key)
        except ObjectNotFoundError:
            return None
        return PackFile(data, name=key)

    def hours(self, environment: str, feed: str) -> list[datetime]:
        """The hours that have a pack, oldest first."""
        folder = _folder(environment, feed)
        names = [key.removeprefix(folder).removesuffix(".parquet") for key in self._store.list(folder)]
        return [hour for name in names if (hour := parse_hour(name))]

    def find(self, environment: str, feed: str, version_id: str) -> FeedVersion | None:
        """A packed version's record; None where no pack has it."""
        found = self._locate(environment, feed, version_id)
        return found[1] if found else None

    def read(self, version: FeedVersion) -> bytes | None:
        """A packed version's bytes, checked; None where no pack has them."""
        found = self._locate(version.environment, version.feed, version.version_id)
        if found is None:
            return None
        body = found[0].body(found[1])
        return body if hashlib.sha256(body).hexdigest() == version.body_digest else None

    def versions(self, environment: str, feed: str) -> Iterator[FeedVersion]:
        """Every packed version, oldest hour first. Reads every pack."""
        for hour in self.hours(environment, feed):
            if pack := self.open(environment, feed, hour):
                yield from (record for record in pack.records if isinstance(record, FeedVersion))

    def published(self, environment: str, feed: str, hour: datetime) -> list[tuple[PublishedSnapshot, bytes]]:
        """What was published of the versions of an hour, in the order of the versions."""
        if pack := self.open(environment, feed, hour):
            return [(record, pack.body(record)) for record in pack.records if isinstance(record, PublishedSnapshot)]
        return []

    def _locate(self, environment: str, feed: str, version_id: str) -> tuple[PackFile, FeedVersion] | None:
        """Looks where the header timestamp in the id points to, then ever further from it.

        A feed is fetched seconds after it was made, so that is one pack, at times two; only a feed whose clock is
        wrong, or an id that does not exist, costs more.
        """
        made_at = made_at_of(version_id)
        if made_at is None:
            return None
        hours = sorted(self.hours(environment, feed), key=lambda hour: abs(hour.timestamp() + 1800 - made_at))
        for hour in hours:
            if pack := self.open(environment, feed, hour):
                for record in pack.records:
                    if isinstance(record, FeedVersion) and record.version_id == version_id:
                        return pack, record
        return None
