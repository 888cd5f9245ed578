"""The archive of every feed version as the vendor sent it.

Bytes are stored under their digest before anything refers to them; a record beside them says which
version they are. Not here: what is published (``publication``), and detecting versions (``pims``, sensors).

    archive/blobs/<aa>/<sha256>                       the bytes
    versions/<environment>/<feed>/<version_id>.json   one FeedVersion
    latest/<environment>/<feed>.json                  the FeedVersion with the newest fetched_at

Realtime versions of past hours lie in packs instead (``packs``), where they are found all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from continuous_gtfs.artifacts.packs import Packs
from continuous_gtfs.artifacts.store import (
    ObjectNotFoundError,
    OtherBytesError,
    PreconditionFailedError,
    Store,
)
from continuous_gtfs.artifacts.together import in_turns, together
from continuous_gtfs.errors import ArchiveCorruptError, StoreError
from continuous_gtfs.versions import FeedVersion

_MAX_ATTEMPTS = 20

Answer = TypeVar("Answer")


class Archive:
    """Feed versions and their bytes in a store. Safe for several writers at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._packs = Packs(store)

    def save(self, version: FeedVersion, body: bytes) -> FeedVersion:
        """Store a version: its bytes, then its record. Idempotent; repairs a blob that was damaged.

        A version that is known already (the vendor went back to it) keeps the bytes it was first archived
        with, so that a rerun of the version stays the same bytes, and takes the newer ``fetched_at``.

        Returns:
            The version as recorded.

        Raises:
            ArchiveCorruptError: ``body`` is not what ``version`` says it is; nothing was stored.
        """
        digest = hashlib.sha256(body).hexdigest()
        if digest != version.body_digest or len(body) != version.body_bytes:
            raise ArchiveCorruptError(
                f"{version.feed_id} version {version.version_id}: {len(body)} bytes with digest {digest} "
                f"were handed in as {version.body_bytes} bytes with digest {version.body_digest}; "
                "nothing was stored"
            )
        self._save_blob(digest, body)
        recorded = self._advance(record_key(version.environment, version.feed, version.version_id), version)
        pointer = latest_key(version.environment, version.feed)
        last: list[Callable[[], object]] = [
            partial(self._ensure_blob, digest, body, recorded),
            partial(self._advance, pointer, recorded, is_pointer=True),
        ]
        together(self._store, last)
        return recorded

    def find(self, environment: str, feed: str, version_id: str) -> FeedVersion | None:
        """One version's record; None where the archive has no such version."""
        found = self._read_record(record_key(environment, feed, version_id))
        return found or self._packs.find(environment, feed, version_id)

    def read(self, version: FeedVersion) -> bytes:
        """The bytes of a version, checked.

        Raises:
            ArchiveCorruptError: They are gone or are not what was stored. A rerun reads the same bytes.
        """
        key = blob_key(version.body_digest)
        advice = "restore it from a backup, or let the vendor's feed be fetched again"
        try:
            body = self._store.read(key)
        except ObjectNotFoundError as error:
            if packed := self._packs.read(version):
                return packed
            raise ArchiveCorruptError(
                f"{version.feed_id} version {version.version_id}: its bytes {key} are gone; {advice}"
            ) from error
        digest = hashlib.sha256(body).hexdigest()
        if digest != version.body_digest:
            raise ArchiveCorruptError(
                f"{version.feed_id} version {version.version_id}: {key} has digest {digest}; {advice}"
            )
        return body

    def versions(self, environment: str, feed: str) -> list[FeedVersion]:
        """Every version, oldest ``fetched_at`` first. Reads every record and every pack: not for each tick."""
        known: dict[str, FeedVersion] = {}
        for version in (*self._packs.versions(environment, feed), *self.unpacked(environment, feed)):
            # One that came back after its hour was packed has a newer record beside the pack.
            if version.version_id not in known or _order(known[version.version_id]) < _order(version):
                known[version.version_id] = version
        return sorted(known.values(), key=_order)

    def unpacked(self, environment: str, feed: str, *, unreadable: list[str] | None = None) -> list[FeedVersion]:
        """The versions that have a record of their own, in the order of their ids.

        Args:
            unreadable: Takes what is wrong with the records that cannot be read, a sentence each.

        Raises:
            ArchiveCorruptError: A record cannot be read, and ``unreadable`` is None.
        """
        keys = list(self._store.list(f"versions/{environment}/{feed}/"))
        found = []
        for record in in_turns(self._store, [partial(self._readable, key) for key in keys]):
            if isinstance(record, FeedVersion):
                found.append(record)
            elif record is not None:
                if unreadable is None:
                    raise record
                unreadable.append(str(record))
        return found

    def latest(self, environment: str, feed: str) -> FeedVersion | None:
        """The version with the newest ``fetched_at``, from one read; None where none was archived."""
        pointed_at = self._read_record(latest_key(environment, feed))
        if pointed_at:
            return pointed_at
        if unpacked := self.unpacked(environment, feed):
            return max(unpacked, key=_order)
        return max(self._packs.versions(environment, feed), key=_order, default=None)

    def _ensure_blob(self, digest: str, body: bytes, recorded: FeedVersion) -> None:
        """A removal may have taken the bytes before there was a record that it could have seen."""
        if recorded.body_digest == digest and self._store.stat(blob_key(digest)) is None:
            self._save_blob(digest, body)

    def _save_blob(self, digest: str, body: bytes) -> None:
        key = blob_key(digest)

        def attempt() -> None:
            content_type = "application/octet-stream"
            with suppress(OtherBytesError):
                self._store.put_new(key, body, content_type=content_type)
                if self._store.is_remote:
                    return
            # Rot: a store may vouch for a digest that the bytes no longer have.
            found = self._store.read_with_generation(key)
            if found is None or hashlib.sha256(found[0]).hexdigest() != digest:
                generation = found[1] if found else None
                self._store.replace(key, body, if_generation=generation, content_type=content_type)

        _retrying(attempt, what=key)

    def _advance(self, key: str, version: FeedVersion, *, is_pointer: bool = False) -> FeedVersion:
        """Write a record unless what is there is as new."""

        def attempt() -> FeedVersion:
            found = self._store.read_with_generation(key)
            known = _record(key, found[0]) if found else None
            if known and _order(known) >= _order(version):
                return known
            chosen = version
            if known and not is_pointer:
                chosen = replace(
                    version,
                    content_digest=known.content_digest,
                    body_digest=known.body_digest,
                    body_bytes=known.body_bytes,
                )
            self._store.replace(
                key,
                chosen.to_json(),
                if_generation=found[1] if found else None,
                content_type="application/json",
            )
            return chosen

        return _retrying(attempt, what=key)

    def _readable(self, key: str) -> FeedVersion | ArchiveCorruptError | None:
        try:
            return self._read_record(key)
        except ArchiveCorruptError as error:
            return error

    def _read_record(self, key: str) -> FeedVersion | None:
        try:
            data = self._store.read(key)
        except ObjectNotFoundError:
            return None
        return _record(key, data)


def _record(key: str, data: bytes) -> FeedVersion:
    try:
        return FeedVersion.from_json(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArchiveCorruptError(
            f"{key} is not a feed version's record ({error}); restore it from a backup or delete it"
        ) from error


def _retrying(attempt: Callable[[], Answer], *, what: str) -> Answer:
    for _ in range(_MAX_ATTEMPTS):
        try:
            return attempt()
        except PreconditionFailedError:
            continue
    raise StoreError(f"{what}: other writers moved it {_MAX_ATTEMPTS} times in a row; run again")


def _order(version: FeedVersion) -> tuple[float, str]:
    return version.fetched_at.timestamp(), version.version_id


def blob_key(digest: str) -> str:
    return f"archive/blobs/{digest[:2]}/{digest}"


def record_key(environment: str, feed: str, version_id: str) -> str:
    return f"versions/{environment}/{feed}/{version_id}.json"


def latest_key(environment: str, feed: str) -> str:
    return f"latest/{environment}/{feed}.json"
