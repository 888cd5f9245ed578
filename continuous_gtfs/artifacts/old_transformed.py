"""Removing what schedules were transformed to long ago, and bytes that a later transformation has replaced.

A version's record, with its reports, goes when the version was fetched long ago and is neither live nor listed as live
before; the version itself stays in the archive, and can be transformed again. Bytes go when no record refers to them.
Both go only when passes hours apart have found them so, and bytes come back should a record name them meanwhile.

    maintenance/old_transformed.json    in the same store: since when what has been found so
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from continuous_gtfs import names
from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.artifacts.seen_before import SeenBefore
from continuous_gtfs.artifacts.store import ObjectNotFoundError, Store
from continuous_gtfs.artifacts.transformed import BLOBS, FOLDER, TransformedFeed, TransformedFeeds
from continuous_gtfs.errors import ArchiveCorruptError

MEMORY_KEY = "maintenance/old_transformed.json"


@dataclass(slots=True)
class SweptTransformed:
    """What a sweep has removed.

    Attributes:
        versions: Of how many versions what they were transformed to.
        objects: Records, reports and bytes together.
        bytes: Theirs.
        unreadable: What cannot be read, one sentence each: then no bytes go, since it may refer to them.
    """

    versions: int = 0
    objects: int = 0
    bytes: int = 0
    unreadable: list[str] = field(default_factory=list)


def sweep_transformed(
    archive: Store, published: Store, *, now: float, keep_s: float, unused_s: float, is_dry_run: bool = False
) -> SweptTransformed:
    """Removes what is old or replaced.

    Args:
        archive: The private store, in which transformed schedules lie.
        now: POSIX seconds.
        keep_s: What was fetched later than so many seconds ago stays.
        unused_s: How long something must have been found old, or referred to by nothing.

    Raises:
        StoreError: A store failed. What was removed was owed; the next sweep goes on.
    """
    return _Sweep(archive, published, SeenBefore(archive, MEMORY_KEY, now, unused_s), is_dry_run).sweep(now - keep_s)


class _Sweep:
    def __init__(self, archive: Store, published: Store, seen: SeenBefore, is_dry_run: bool) -> None:
        self._store = archive
        self._archive = Archive(archive)
        self._transformed = TransformedFeeds(archive)
        self._publisher = Publisher(published)
        self._seen = seen
        self._is_dry_run = is_dry_run
        self._swept = SweptTransformed()

    def sweep(self, fetched_before: float) -> SweptTransformed:
        used: set[str] = set()
        listed: dict[str, frozenset[str]] = {}
        for key, environment, version_id in self._records():
            record = self._load(environment, version_id)
            if record is None:
                continue
            if environment not in listed:
                listed[environment] = self._listed(environment)
            if version_id in listed[environment] or not self._is_old(environment, version_id, fetched_before):
                used |= {record.feed_digest, record.index_digest}
            # Another record under the same name has come later, and waits anew.
            elif self._seen.is_old(f"{key} {record.run_id}"):
                self._remove_version(key, environment, version_id)
            else:
                used |= {record.feed_digest, record.index_digest}
        if not self._swept.unreadable:
            self._remove_bytes(used)
        if not self._is_dry_run:
            self._seen.save()
        return self._swept

    def _records(self) -> Iterator[tuple[str, str, str]]:
        """Key, environment and version of each record."""
        for key in self._store.list(FOLDER):
            parts = key.removeprefix(FOLDER).split("/")
            if len(parts) == 2 and parts[1].endswith(".json"):
                yield key, parts[0], parts[1].removesuffix(".json")

    def _load(self, environment: str, version_id: str) -> TransformedFeed | None:
        try:
            return self._transformed.load(environment, version_id)
        except (ValueError, TypeError) as error:
            self._swept.unreadable.append(
                f"transformed/{environment}/{version_id}.json is no record of a transformed schedule ({error}); "
                "run the transform of that version again"
            )
            return None

    def _listed(self, environment: str) -> frozenset[str]:
        """The versions that the manifest lists. Their labels are the version's id and the beginning of a digest."""
        manifest = self._publisher.current(names.schedule_publication(environment))
        if manifest is None:
            return frozenset()
        releases = (manifest.current, *manifest.previous, *manifest.expired)
        return frozenset(release.label.rpartition("-")[0] for release in releases)

    def _is_old(self, environment: str, version_id: str, fetched_before: float) -> bool:
        """A version that the archive does not have could not be transformed again: what was made of it stays."""
        try:
            version = self._archive.find(environment, "schedule", version_id)
        except ArchiveCorruptError as error:
            self._swept.unreadable.append(str(error))
            return False
        return version is not None and version.fetched_at.timestamp() < fetched_before

    def _remove_version(self, key: str, environment: str, version_id: str) -> None:
        self._swept.versions += 1
        # The record last: while it is there, the next sweep finds what is left.
        for each in (*self._store.list(f"{FOLDER}{environment}/{version_id}/"), key):
            self._remove(each)

    def _remove_bytes(self, used: set[str]) -> None:
        gone: dict[str, bytes] = {}
        for key in self._store.list(BLOBS):
            digest = key.rpartition("/")[2]
            if digest in used or not self._seen.is_old(key):
                continue
            if not self._is_dry_run:
                try:
                    gone[digest] = self._store.read(key)
                except ObjectNotFoundError:
                    continue
            self._remove(key)
        if gone:
            self._restore(gone)

    def _restore(self, gone: dict[str, bytes]) -> None:
        """Put back what a record refers to by now: it was saved between the first look and the removal."""
        for _, environment, version_id in self._records():
            record = self._load(environment, version_id)
            for digest in (record.feed_digest, record.index_digest) if record else ():
                if digest in gone:
                    self._transformed.save_bytes(gone[digest])

    def _remove(self, key: str) -> None:
        info = self._store.stat(key)
        if info is None:
            return
        self._swept.objects += 1
        self._swept.bytes += info.size
        if not self._is_dry_run:
            self._store.delete(key)
