"""Removing version objects that no manifest names: what publications that were overtaken, or died, have left.

A publication writes its version objects before it moves the manifest, so an object without a name may belong to one
that is under way. It goes only when passes hours apart have found it without a name, and comes back should the
manifest name it at that very moment. What the manifest lists as live, ``previous`` or ``expired`` is never touched.

    maintenance/unnamed_versions.json    in the archive's store: since when which objects have been seen without a name
"""

from __future__ import annotations

from dataclasses import dataclass, field

from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.artifacts.seen_before import SeenBefore
from continuous_gtfs.artifacts.store import ObjectNotFoundError, Store
from continuous_gtfs.errors import ArchiveCorruptError

MEMORY_KEY = "maintenance/unnamed_versions.json"
_FOLDER = "versions"


@dataclass(slots=True)
class SweptVersions:
    """What a sweep has removed.

    Attributes:
        count: How many objects.
        bytes: Their bytes.
        waiting: How many have no name, and not for long enough.
        unreadable: Publications whose manifest cannot be read, one sentence each: nothing of them was touched.
    """

    count: int = 0
    bytes: int = 0
    waiting: int = 0
    unreadable: list[str] = field(default_factory=list)


def sweep_unnamed_versions(
    published: Store, memory: Store, *, now: float, keep_s: float, is_dry_run: bool = False
) -> SweptVersions:
    """Removes what has been seen without a name for ``keep_s``.

    Args:
        published: The store of what is published.
        memory: Where to keep what was seen; not open to the public.
        now: POSIX seconds.

    Raises:
        StoreError: A store failed. What was removed was owed; the next sweep goes on.
    """
    swept = SweptVersions()
    publisher = Publisher(published)
    seen = SeenBefore(memory, MEMORY_KEY, now, keep_s)
    for name, keys in _version_keys(published).items():
        try:
            manifest = publisher.current(name)
        except ArchiveCorruptError as error:
            swept.unreadable.append(str(error))
            continue
        if manifest is None:
            # Either nothing went out yet, or a person has taken the manifest away: not ours to judge.
            continue
        named = _named(manifest)
        for key in keys:
            if key in named:
                continue
            if not seen.is_old(key):
                continue
            size = _size(published, key) if is_dry_run else _remove(published, publisher, name, key)
            swept.count += size is not None
            swept.bytes += size or 0
    swept.waiting = seen.waiting
    if not is_dry_run:
        seen.save()
    return swept


def _remove(store: Store, publisher: Publisher, name: str, key: str) -> int | None:
    """Deletes the object and gives its bytes; None where it was gone or has a name by now."""
    info = store.stat(key)
    if info is None:
        return None
    try:
        data = store.read(key)
    except ObjectNotFoundError:
        return None
    if _is_named(publisher, name, key):
        return None
    store.delete(key)
    if _is_named(publisher, name, key):
        store.put_new(key, data, content_type=info.content_type, cache_control=info.cache_control)
        return None
    return len(data)


def _is_named(publisher: Publisher, name: str, key: str) -> bool:
    manifest = publisher.current(name)
    return manifest is None or key in _named(manifest)


def _named(manifest: Manifest) -> frozenset[str]:
    releases = (manifest.current, *manifest.previous, *manifest.expired)
    return frozenset(item.version_path for release in releases for item in release.objects)


def _version_keys(store: Store) -> dict[str, list[str]]:
    """By name of the publication, the keys of its version objects."""
    found: dict[str, list[str]] = {}
    for key in store.list(""):
        parts = key.split("/")
        if len(parts) >= 3 and parts[-3] == _FOLDER:
            found.setdefault("/".join((*parts[:-3], parts[-2])), []).append(key)
    return found


def _size(store: Store, key: str) -> int | None:
    info = store.stat(key)
    return None if info is None else info.size
