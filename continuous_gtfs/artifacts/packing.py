"""Moving past hours of the archive from small files into packs. What a pack is: ``pack_format``, ``packs``.

Small files go only after the pack has been read back from the store and every row of it was checked, so whatever
dies in between, each snapshot is in one place at least and the same call finishes the work. An hour may be packed
again: what is in its pack stays, what came late is added, and with nothing new the file is not written.

Not here: which hours wait (``unpacked_hours``), and which small files must stay (``removal``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.pack_format import (
    EntityColumns,
    Name,
    PackFile,
    PublishedSnapshot,
    Record,
    record_name,
    write_pack,
)
from continuous_gtfs.artifacts.packs import Packs, hour_name, hour_of, pack_key
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.artifacts.removal import remove_versions
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.artifacts.together import in_turns
from continuous_gtfs.errors import ArchiveCorruptError, StoreError
from continuous_gtfs.versions import FeedVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class PackResult:
    """What became of one hour of one feed.

    Attributes:
        key: Of the pack; None where nothing was fetched, or where the pack that is there cannot be read.
        fetched: Snapshots in the pack, as the vendor sent them.
        published: The same, as they went out.
        added: How many of these the pack did not have before.
        body_bytes: Of all snapshots in it.
        pack_bytes: Of the file.
        removed: Small objects removed.
        unreadable: What could not be read and is left where it is, one sentence each.
    """

    key: str | None
    fetched: int = 0
    published: int = 0
    added: int = 0
    body_bytes: int = 0
    pack_bytes: int = 0
    removed: int = 0
    unreadable: tuple[str, ...] = ()


@dataclass(slots=True)
class _Small:
    """What lies in small files of one hour, and how to read it."""

    records: dict[Name, Record] = field(default_factory=dict)
    readers: dict[Name, Callable[[], bytes]] = field(default_factory=dict)
    publication_keys: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def add(self, record: Record, reader: Callable[[], bytes]) -> None:
        name = record_name(record)
        self.records[name], self.readers[name] = record, reader


class Packer:
    """Packs hours of realtime feeds in one store. Others may write to the archive meanwhile."""

    def __init__(self, store: Store, entities: EntityColumns) -> None:
        self._store = store
        self._entities = entities
        self._archive = Archive(store)
        self._packs = Packs(store)
        self._published = PublishedSnapshots(store)

    def pack(
        self, environment: str, feed: str, hours: Iterable[datetime], *, kept: Collection[str] = ()
    ) -> dict[datetime, PackResult]:
        """Packs what was fetched in ``hours``, and what was published of it.

        Args:
            hours: Complete ones: what is fetched later comes into the pack only by packing again.
            kept: Ids of versions that stay as small files too.

        Returns:
            By hour. A record that cannot be read may be of any hour, and is told with the last one.

        Raises:
            StoreError: The store failed, or gave back other bytes than were written. Nothing was removed that is not
                in a pack; the same call goes on.
        """
        by_hour: dict[datetime, list[FeedVersion]] = {}
        unreadable: list[str] = []
        for version in self._archive.unpacked(environment, feed, unreadable=unreadable):
            by_hour.setdefault(hour_of(version.fetched_at), []).append(version)
        results: dict[datetime, PackResult] = {}
        for hour in hours:
            try:
                results[hour] = self._pack_hour(environment, feed, hour, by_hour.get(hour, ()), frozenset(kept))
            except ArchiveCorruptError as error:
                # An hour whose pack is damaged must not keep the others from being packed.
                results[hour] = PackResult(key=None, unreadable=(str(error),))
        if unreadable and results:
            last = max(results)
            results[last] = replace(results[last], unreadable=(*results[last].unreadable, *unreadable))
        return results

    def _pack_hour(
        self, environment: str, feed: str, hour: datetime, versions: Iterable[FeedVersion], kept: frozenset[str]
    ) -> PackResult:
        small = self._small(environment, feed, hour, versions)
        key = pack_key(environment, feed, hour)
        info = self._store.stat(key)
        present = self._packs.open(environment, feed, hour) if info else None
        if present is None and not small.records:
            return PackResult(key=None, unreadable=tuple(small.unreadable))
        packed = {record_name(record): record for record in present.records} if present else {}
        new = {name: record for name, record in small.records.items() if name not in packed}
        if new:

            def body_of(record: Record) -> bytes:
                name = record_name(record)
                return present.body(record) if present and name in packed else small.readers[name]()

            written = write_pack(
                (packed | new).values(),
                body_of,
                self._entities,
                {"environment": environment, "feed": feed, "hour": hour_name(hour)},
            )
            self._store.replace(
                key,
                written,
                if_generation=info.generation if info else None,
                content_type="application/vnd.apache.parquet",
            )
        data = self._store.read(key)
        pack = _verified(PackFile(data, name=key), packed | new, key)
        removed = self._remove(small, pack, kept)
        return PackResult(
            key=key,
            fetched=sum(isinstance(record, FeedVersion) for record in pack.records),
            published=sum(not isinstance(record, FeedVersion) for record in pack.records),
            added=len(new),
            body_bytes=sum(record.body_bytes for record in pack.records),
            pack_bytes=len(data),
            removed=removed,
            unreadable=tuple(small.unreadable),
        )

    def _small(self, environment: str, feed: str, hour: datetime, versions: Iterable[FeedVersion]) -> _Small:
        small = _Small()
        known = list(versions)
        # One snapshot that is lost must not keep the others of the hour from being packed.
        wrong = in_turns(self._store, [partial(self._what_is_wrong, version) for version in known])
        for version, error in zip(known, wrong, strict=True):
            if error is not None:
                small.unreadable.append(str(error))
            else:
                small.add(version, partial(self._archive.read, version))
        keys = self._published.keys(environment, feed, hour)
        for key, found in zip(keys, in_turns(self._store, [partial(self._record, key) for key in keys]), strict=True):
            if isinstance(found, ArchiveCorruptError):
                small.unreadable.append(str(found))
            elif found is not None:
                small.add(found, partial(self._read_published, key))
                small.publication_keys.append(key)
        return small

    def _what_is_wrong(self, version: FeedVersion) -> ArchiveCorruptError | None:
        try:
            self._archive.read(version)
        except ArchiveCorruptError as error:
            return error
        return None

    def _record(self, key: str) -> PublishedSnapshot | ArchiveCorruptError | None:
        try:
            found = self._published.read(key)
        except ArchiveCorruptError as error:
            return error
        return found[0] if found else None

    def _read_published(self, key: str) -> bytes:
        found = self._published.read(key)
        if found is None:
            raise StoreError(f"{key} was removed while its hour was being packed; run again")
        return found[1]

    def _remove(self, small: _Small, pack: PackFile, kept: frozenset[str]) -> int:
        for _ in in_turns(self._store, [partial(self._store.delete, key) for key in small.publication_keys]):
            pass
        versions = [
            record
            for record in small.records.values()
            if isinstance(record, FeedVersion) and record.version_id not in kept
        ]
        return len(small.publication_keys) + remove_versions(self._store, self._archive, versions, pack.body)


def _verified(pack: PackFile, expected: Mapping[Name, Record], key: str) -> PackFile:
    """The pack as read back, if it holds every record that it must, each with its bytes.

    Raises:
        StoreError: It does not.
    """
    found = {record_name(record): record for record in pack.records}
    missing = [name for name, record in expected.items() if found.get(name) != record]
    damaged = [
        record_name(record)
        for record in pack.records
        if hashlib.sha256(pack.body(record)).hexdigest() != record.body_digest
    ]
    if missing or damaged:
        raise StoreError(
            f"{key}: read back without {len(missing)} and with {len(damaged)} damaged of {len(expected)} snapshots "
            f"(the first: {(missing + damaged)[0]}); no small file was removed. Look at the storage device, then run "
            "again"
        )
    return pack
