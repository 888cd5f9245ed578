"""What went out in the current hour, until it is packed: each published feed with its facts, one object each.

The published store keeps some minutes of versions for readers; here they are kept for good. The hour is that of the
input version, so that a snapshot and what was made of it come into the same pack.

    publications/<environment>/<feed>/<hour>/<label>       a line of JSON (PublishedSnapshot), then the bytes
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import orjson

from continuous_gtfs.artifacts.pack_format import PublishedSnapshot
from continuous_gtfs.artifacts.packs import hour_name, hour_of, parse_hour
from continuous_gtfs.artifacts.store import ObjectNotFoundError, PreconditionFailedError, Store
from continuous_gtfs.errors import ArchiveCorruptError


class PublishedSnapshots:
    """Published feeds that are not packed yet, in the archive's store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, snapshot: PublishedSnapshot, body: bytes) -> None:
        """Keeps a feed that has gone out. One that is kept already stays as it is: the first time counts.

        Raises:
            ArchiveCorruptError: ``body`` is not what ``snapshot`` says it is; nothing was stored.
        """
        digest = hashlib.sha256(body).hexdigest()
        if digest != snapshot.body_digest or len(body) != snapshot.body_bytes:
            raise ArchiveCorruptError(
                f"{snapshot.version.feed_id} published as {snapshot.label}: {len(body)} bytes with digest {digest} "
                f"were handed in as {snapshot.body_bytes} bytes with digest {snapshot.body_digest}; nothing was stored"
            )
        key = snapshot_key(snapshot)
        data = orjson.dumps(snapshot.to_dict()) + b"\n" + body
        try:
            self._store.replace(key, data, if_generation=None, content_type="application/octet-stream")
        except PreconditionFailedError:
            # It is kept already.
            return

    def hours(self, environment: str, feed: str) -> list[datetime]:
        """The hours that have objects here, oldest first."""
        folder = _folder(environment, feed)
        names = dict.fromkeys(key.removeprefix(folder).partition("/")[0] for key in self._store.list(folder))
        return [hour for name in names if (hour := parse_hour(name))]

    def keys(self, environment: str, feed: str, hour: datetime) -> list[str]:
        """The objects of an hour."""
        return list(self._store.list(f"{_folder(environment, feed)}{hour_name(hour)}/"))

    def read(self, key: str) -> tuple[PublishedSnapshot, bytes] | None:
        """One of ``keys``, checked; None where it has been packed and removed meanwhile.

        Raises:
            ArchiveCorruptError: It is not what was stored.
        """
        try:
            head, _, body = self._store.read(key).partition(b"\n")
        except ObjectNotFoundError:
            return None
        try:
            snapshot = PublishedSnapshot.from_dict(orjson.loads(head))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArchiveCorruptError(
                f"{key} is no published snapshot ({error}); restore it from a backup or delete it"
            ) from error
        if hashlib.sha256(body).hexdigest() != snapshot.body_digest:
            raise ArchiveCorruptError(
                f"{key} has other bytes than its digest says; restore it from a backup or delete it"
            )
        return snapshot, body


def snapshot_key(snapshot: PublishedSnapshot) -> str:
    version = snapshot.version
    folder = _folder(version.environment, version.feed)
    return f"{folder}{hour_name(hour_of(version.fetched_at))}/{snapshot.label}"


def _folder(environment: str, feed: str) -> str:
    return f"publications/{environment}/{feed}/"
