"""Putting a feed at its stable URLs: atomic for a reader, monotonic for the publication, repairable by rerun.

Here: the order of the writes, and why. Not here: the shape of the manifest (``manifest``), how a store
replaces an object (``store``), whether a feed is fit to be published (gates, checks).

    <folder>/versions/<base>/<label>.<extension>   written first, never changed
    <name>.manifest.json                           then moved: the decision which label is live
    <name>.<extension>                             then made to follow, one object after another

A crash after any write leaves complete objects, and the same call again finishes the work.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from continuous_gtfs.artifacts.manifest import (
    Manifest,
    Order,
    OrderPart,
    PublishedObject,
    Release,
    is_older,
    manifest_key,
    normalized_order,
    stable_key,
    version_key,
)
from continuous_gtfs.artifacts.store import ObjectNotFoundError, PreconditionFailedError, Store
from continuous_gtfs.errors import ConfigurationError, PublicationConflictError, StoreError

_MAX_ATTEMPTS = 20
_FOREVER = "public, max-age=31536000, immutable"
_NEVER_STALE = "no-cache"

Outcome = Literal["published", "unchanged", "superseded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationObject:
    """One object to publish.

    Attributes:
        extension: What its stable URL ends in, without the dot.
        data: Its bytes.
        content_type: As served.
        cache_control: As served from the stable URL.
    """

    extension: str
    data: bytes
    content_type: str
    cache_control: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What became of one call of ``publish``.

    Attributes:
        outcome: ``published``: it is live now. ``unchanged``: these very bytes were live already, and
            whatever was missing around them is repaired. ``superseded``: something newer is live, and
            nothing older came in its place.
        manifest: What is live now; after ``superseded`` that is the other one's.
    """

    outcome: Outcome
    manifest: Manifest


class Publisher:
    """Publishes to one store. Any number of publishers, in any number of processes, may share a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(self, name: str) -> Manifest | None:
        """What is live under a name; None where nothing was ever published."""
        return self._read_manifest(name)[0]

    def publish(
        self,
        name: str,
        objects: Sequence[PublicationObject],
        *,
        label: str,
        order: Sequence[OrderPart] | OrderPart,
        manifest: Mapping[str, Any],
        now: datetime,
        force_older: bool = False,
        keep_versions: int = 20,
    ) -> Publication:
        """Make ``objects`` what readers of ``name`` get, unless something newer is live.

        Args:
            name: Key without extension, ``schedule/production/gtfs``.
            objects: In the order in which their stable URLs are to follow.
            label: Names this content. The same label with other bytes is refused, so a label needs the
                digest of the content (or of all that determines it) in it.
            order: What "newer" means, compared part by part: ``[header_timestamp, fetched_at]``. Equal order
                with another content is not older, so it is published: new code, same input, another result.
            manifest: Facts to record with it, JSON values: inputs, code version, step hashes, run id.
            now: For ``published_at``.
            force_older: An operator's rollback: go live though something newer is. What is as old as the
                version rolled back from then needs ``force_older`` too; what is newer goes live as ever.
            keep_versions: How many earlier versions keep their version objects.

        Raises:
            StoreError: The store failed. What was live is still whole; the same call again goes on.
            PublicationConflictError: Other writers moved an object at every attempt; the same.
            ConfigurationError: A name, label, order or fact cannot be used.
        """
        if keep_versions < 0:
            raise ConfigurationError(f"publication {name}: keep_versions is {keep_versions}; 0 keeps none")
        if not objects or len({item.extension for item in objects}) < len(objects):
            raise ConfigurationError(f"publication {name}: needs objects, each with an extension of its own")
        release = Release(
            label=label,
            order=normalized_order(order),
            published_at=now.astimezone(UTC),
            objects=tuple(_describe(name, label, item) for item in objects),
        )
        # A refusal of the facts must come before anything is written.
        Manifest(name=name, current=release, facts=manifest).to_json()

        for described, item in zip(release.objects, objects, strict=True):
            self._put_version(described, item)
        decision = self._move_pointer(name, release, manifest, force_older, keep_versions)
        if decision.outcome == "superseded":
            return decision
        for described, item in zip(release.objects, objects, strict=True):
            if self._store.stat(described.version_path) is None:
                # Another publisher has retired an older use of this label since.
                self._put_version(described, item)
            winner = self._follow(name, described, item)
            if winner is not None:
                return Publication(outcome="superseded", manifest=winner)
        return decision

    def _put_version(self, described: PublishedObject, item: PublicationObject) -> None:
        key = described.version_path
        self._store.put_new(key, item.data, content_type=item.content_type, cache_control=_FOREVER)
        stored = hashlib.sha256(self._store.read(key)).hexdigest()
        if stored != described.sha256:
            raise StoreError(
                f"{key}: read back with digest {stored} instead of {described.sha256}; "
                "nothing was published. Delete that object, look at the storage device, then run again"
            )

    def _move_pointer(
        self, name: str, release: Release, facts: Mapping[str, Any], force_older: bool, keep_versions: int
    ) -> Publication:
        for _ in range(_MAX_ATTEMPTS):
            live, generation = self._read_manifest(name)
            if live is None:
                successor = Manifest(name=name, current=release, facts=facts)
                outcome: Outcome = "published"
            elif _is_same(live.current, release):
                outcome = "unchanged"
                if force_older or not is_older(live.order, release.order):
                    return Publication(outcome=outcome, manifest=live)
                # The vendor went back to these bytes: what lies between must not come after them.
                current = replace(release, published_at=live.published_at)
                successor = replace(live, current=current, facts=facts)
            elif not force_older and _is_barred(live, release.order):
                return Publication(outcome="superseded", manifest=live)
            else:
                successor = _succeed(live, release, facts, force_older, keep_versions)
                successor = replace(successor, expired=successor.expired + self._retire(live, successor))
                outcome = "published"
            try:
                self._store.replace(
                    manifest_key(name),
                    successor.to_json(),
                    if_generation=generation,
                    content_type="application/json",
                    cache_control=_NEVER_STALE,
                )
            except PreconditionFailedError:
                continue
            return Publication(outcome=outcome, manifest=successor)
        raise PublicationConflictError(
            f"{manifest_key(name)}: other writers moved it {_MAX_ATTEMPTS} times in a row; run again"
        )

    def _follow(self, name: str, described: PublishedObject, item: PublicationObject) -> Manifest | None:
        """Make the stable object follow the manifest; the manifest that won instead, if one did.

        The generation is read before the manifest. A later publisher moves the manifest before it looks at
        the stable object, so whoever lost sees it in the manifest or has its write refused. For that,
        equal bytes are written again too: left alone, their generation would still let a late loser in
        that read it before its rival came back to the same bytes.
        """
        for _ in range(_MAX_ATTEMPTS):
            info = self._store.stat(described.path)
            live, _generation = self._read_manifest(name)
            if live is None:
                raise StoreError(f"{manifest_key(name)} was deleted during publication; run again")
            if described not in live.objects:
                return live
            try:
                self._store.replace(
                    described.path,
                    item.data,
                    if_generation=info.generation if info else None,
                    content_type=item.content_type,
                    cache_control=item.cache_control,
                )
            except PreconditionFailedError:
                continue
            return None
        raise PublicationConflictError(
            f"{described.path}: other writers moved it {_MAX_ATTEMPTS} times in a row; run again"
        )

    def _retire(self, live: Manifest, successor: Manifest) -> tuple[Release, ...]:
        """Delete what the live manifest calls expired; give back what would not go, to be tried again.

        Before the pointer moves, since after it nobody would know of them any more.
        """
        kept = {release.label for release in (successor.current, *successor.previous, *successor.expired)}
        remaining: list[Release] = []
        for release in live.expired:
            if release.label in kept:
                continue
            try:
                for item in release.objects:
                    self._store.delete(item.version_path)
            except StoreError:
                # Tidying up must not keep a good feed from its readers.
                remaining.append(release)
        return tuple(remaining)

    def _read_manifest(self, name: str) -> tuple[Manifest | None, str | None]:
        key = manifest_key(name)
        for _ in range(_MAX_ATTEMPTS):
            info = self._store.stat(key)
            if info is None:
                return None, None
            try:
                data = self._store.read(key)
            except ObjectNotFoundError:
                continue
            # Read after stat: if it moved in between, the generation is too old to replace anything with.
            return Manifest.from_json(name, data), info.generation
        raise PublicationConflictError(f"{key}: appears and disappears; is something deleting it?")


def _describe(name: str, label: str, item: PublicationObject) -> PublishedObject:
    return PublishedObject(
        extension=item.extension,
        path=stable_key(name, item.extension),
        version_path=version_key(name, label, item.extension),
        sha256=hashlib.sha256(item.data).hexdigest(),
        bytes=len(item.data),
        content_type=item.content_type,
    )


def _is_same(live: Release, release: Release) -> bool:
    return live.label == release.label and live.objects == release.objects


def _is_barred(live: Manifest, order: Order) -> bool:
    if is_older(order, live.order):
        return True
    barrier = live.rolled_back_from
    return barrier is not None and not is_older(barrier, order)


def _succeed(
    live: Manifest, release: Release, facts: Mapping[str, Any], force_older: bool, keep_versions: int
) -> Manifest:
    history: dict[str, Release] = {}
    for earlier in itertools.chain((live.current,), live.previous):
        if earlier.label != release.label:
            history.setdefault(earlier.label, earlier)
    releases = tuple(history.values())
    return Manifest(
        name=live.name,
        current=release,
        facts=facts,
        previous=releases[:keep_versions],
        expired=releases[keep_versions:],
        rolled_back_from=_barrier_behind(live, release.order) if force_older else None,
    )


def _barrier_behind(live: Manifest, order: Order) -> Order | None:
    """The newest order that going to ``order`` leaves behind; None if it leaves none."""
    try:
        newest = live.order
        if live.rolled_back_from is not None and is_older(newest, live.rolled_back_from):
            newest = live.rolled_back_from
        return None if is_older(newest, order) else newest
    except ConfigurationError:
        # Orders of another kind than before, made live by name: there is no newest among them.
        return None
