"""Removing the small files of versions that are packed, and only what nothing else needs.

What a ``latest`` pointer names stays, and bytes that another record refers to: the same bytes may be a version of
another environment. Others may save versions meanwhile: ``Archive.save`` sees that bytes are there, then writes the
record that refers to them, and the removal may fall in between. So after it, whatever is referred to and gone is
put back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from continuous_gtfs.artifacts.archive import Archive, blob_key, record_key
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.artifacts.together import in_turns
from continuous_gtfs.versions import FeedVersion

_DIGITS = 12
# A realtime version's id ends in the beginning of the digest of its bytes, so its record need not be read.
_NAMES_DIGEST = re.compile(rf"\d+-([0-9a-f]{{{_DIGITS}}})")

Reference = tuple[str, str, str]
"""Environment, feed and version_id of a record or a pointer."""


def remove_versions(
    store: Store, archive: Archive, versions: Sequence[FeedVersion], body_of: Callable[[FeedVersion], bytes]
) -> int:
    """Removes records and bytes of packed versions, bytes first: a record that is left is found by the next removal.

    Args:
        body_of: A version's bytes, from its pack.

    Returns:
        How many objects were removed.
    """
    pointed_at = {_reference(version) for version in latest_versions(store, archive)}
    going = {_reference(version): version for version in versions if _reference(version) not in pointed_at}
    referred_to = _references(store, archive)

    def remove(reference: Reference, version: FeedVersion) -> int:
        is_needed = bool(referred_to.get(version.body_digest[:_DIGITS], set()) - going.keys())
        if not is_needed:
            store.delete(blob_key(version.body_digest))
        store.delete(record_key(*reference))
        return 1 if is_needed else 2

    removed = sum(in_turns(store, [partial(remove, *each) for each in going.items()]))
    if going:
        _restore(store, archive, going.values(), body_of)
    return removed


def latest_versions(store: Store, archive: Archive) -> list[FeedVersion]:
    """What the ``latest`` pointers name, of all feeds."""
    found = []
    for key in store.list("latest/"):
        environment, _, feed = key.removeprefix("latest/").removesuffix(".json").partition("/")
        if version := archive.latest(environment, feed):
            found.append(version)
    return found


def _references(store: Store, archive: Archive) -> dict[str, set[Reference]]:
    """What refers to bytes, by the beginning of their digest."""
    found: dict[str, set[Reference]] = {}
    for key in store.list("versions/"):
        environment, _, rest = key.removeprefix("versions/").removesuffix(".json").partition("/")
        feed, _, version_id = rest.partition("/")
        if match := _NAMES_DIGEST.fullmatch(version_id):
            found.setdefault(match[1], set()).add((environment, feed, version_id))
        elif version := archive.find(environment, feed, version_id):
            found.setdefault(version.body_digest[:_DIGITS], set()).add(_reference(version))
    for version in latest_versions(store, archive):
        found.setdefault(version.body_digest[:_DIGITS], set()).add(_reference(version))
    return found


def _restore(
    store: Store, archive: Archive, removed: Iterable[FeedVersion], body_of: Callable[[FeedVersion], bytes]
) -> None:
    pointers = {_reference(version): version for version in latest_versions(store, archive)}
    referred_to = _references(store, archive)
    for version in removed:
        for reference in referred_to.get(version.body_digest[:_DIGITS], ()):
            wanted = pointers.get(reference) or archive.find(*reference)
            is_whole = store.stat(blob_key(version.body_digest)) and store.stat(record_key(*reference))
            if wanted is not None and wanted.body_digest == version.body_digest and not is_whole:
                archive.save(wanted, body_of(version))


def _reference(version: FeedVersion) -> Reference:
    return version.environment, version.feed, version.version_id
