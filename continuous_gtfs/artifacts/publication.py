"""Putting a feed at its stable URLs: atomic for a reader, monotonic for the publication, repairable by rerun.

Here: the order of the writes, and why. Not here: the shape of the manifest (``manifest``), which of two releases is
live (``succession``), how a store replaces an object (``store``), whether a feed is fit to go out (gates, checks).

    <folder>/versions/<base>/<label>.<extension>   written first, never changed
    <name>.manifest.json                           then moved: the decision which label is live
    <name>.<extension>                             then made to follow, one object after another

A crash after any write leaves complete objects, and the same call again finishes the work. In a bucket the objects of
one line are written at the same time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from continuous_gtfs.artifacts.manifest import (
    Manifest,
    OrderPart,
    PublishedObject,
    Release,
    manifest_key,
    normalized_order,
)
from continuous_gtfs.artifacts.store import PreconditionFailedError, Store
from continuous_gtfs.artifacts.succession import Outcome, Succession, is_named, succession
from continuous_gtfs.artifacts.together import together
from continuous_gtfs.errors import ConfigurationError, PublicationConflictError, StoreError

_MAX_ATTEMPTS = 20
_RETIRE_AT_IN_A_BUCKET = 4
"""Each deletion is a request there: every fourth publication makes those of four releases, at the same time."""
_FOREVER = "public, max-age=31536000, immutable"
_NEVER_STALE = "no-cache"


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


@dataclass(frozen=True, slots=True)
class Live:
    """What one look at a manifest found.

    Attributes:
        manifest: What was live; None where nothing was ever published.
        generation: Of the manifest's object.
    """

    manifest: Manifest | None
    generation: str | None


class Publisher:
    """Publishes to one store. Any number of publishers, in any number of processes, may share a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(self, name: str) -> Manifest | None:
        """What is live under a name; None where nothing was ever published."""
        return self.look(name).manifest

    def look(self, name: str) -> Live:
        """What is live, for a ``publish`` that is to begin from there and not read it again."""
        found = self._store.read_with_generation(manifest_key(name))
        return Live(None, None) if found is None else Live(Manifest.from_json(name, found[0]), found[1])

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
        seen: Live | None = None,
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
            seen: What ``look`` found a moment ago. That it has changed since is found out.

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
            objects=tuple(
                PublishedObject.of(name, label, item.extension, item.data, item.content_type) for item in objects
            ),
        )
        # A refusal of the facts must come before anything is written.
        Manifest(name=name, current=release, facts=manifest).to_json()

        follow = partial(
            succession,
            name,
            release=release,
            facts=manifest,
            force_older=force_older,
            keep_versions=keep_versions,
            retire_at=_RETIRE_AT_IN_A_BUCKET if self._store.is_remote else 1,
        )
        seen = seen or self.look(name)
        items = list(zip(release.objects, objects, strict=True))
        first = follow(live=seen.manifest)
        # What is live already has its version objects; whether that still holds is looked at below.
        calls: list[Callable[[], Any]] = [partial(self._generation, described.path) for described in release.objects]
        calls += [partial(self._put_version, *item) for item in items if first.outcome != "unchanged"]
        # Nothing is deleted by what was seen before.
        calls += [partial(self.look, name)] if first.retired else []
        answers = together(self._store, calls)
        generations = answers[: len(items)]
        if first.retired:
            seen = answers[-1]
        moved, is_first_try = self._move_pointer(name, seen, follow, items, may_retire=bool(first.retired))
        if moved.outcome == "superseded":
            return Publication(outcome="superseded", manifest=moved.manifest)
        # Of a label that was in use before, another publisher may have retired the version objects since.
        is_version_safe = is_first_try and not is_named(seen.manifest, release.label)
        winners = together(
            self._store,
            [
                partial(self._follow, name, *item, generation=generation, is_version_safe=is_version_safe)
                for item, generation in zip(items, generations, strict=True)
            ],
        )
        winner = next((each for each in winners if each is not None), None)
        if winner is not None:
            return Publication(outcome="superseded", manifest=winner)
        return Publication(outcome=moved.outcome, manifest=moved.manifest)

    def _put_version(self, described: PublishedObject, item: PublicationObject) -> None:
        key = described.version_path
        self._store.put_new(key, item.data, content_type=item.content_type, cache_control=_FOREVER)
        if self._store.is_remote:
            return
        stored = hashlib.sha256(self._store.read(key)).hexdigest()
        if stored != described.sha256:
            raise StoreError(
                f"{key}: read back with digest {stored} instead of {described.sha256}; "
                "nothing was published. Delete that object, look at the storage device, then run again"
            )

    def _put_missing_version(self, described: PublishedObject, item: PublicationObject) -> None:
        if self._store.stat(described.version_path) is None:
            self._put_version(described, item)

    def _generation(self, key: str) -> str | None:
        info = self._store.stat(key)
        return info.generation if info else None

    def _move_pointer(
        self,
        name: str,
        seen: Live,
        follow: Callable[..., Succession],
        items: Sequence[tuple[PublishedObject, PublicationObject]],
        *,
        may_retire: bool,
    ) -> tuple[Succession, bool]:
        """Move the manifest, if it is to be moved; what was decided, and whether that went as ``seen`` said.

        Whichever way it ends, this release was live at a moment after the call began: the manifest was moved to it, or
        was looked at and named it.
        """
        live = seen
        for _ in range(_MAX_ATTEMPTS):
            decided = follow(live=live.manifest)
            if decided.outcome == "superseded":
                return decided, False
            if live is seen and (not decided.is_move or (decided.retired and not may_retire)):
                live = self.look(name)
                continue
            if not decided.is_move:
                return decided, False
            successor = decided.manifest
            successor = replace(successor, expired=successor.expired + self._retire(decided.retired))
            if live is not seen:
                # Of a label that was in use before, a rival may have retired the version objects meanwhile.
                together(self._store, [partial(self._put_missing_version, *item) for item in items])
            try:
                self._store.replace(
                    manifest_key(name),
                    successor.to_json(),
                    if_generation=live.generation,
                    content_type="application/json",
                    cache_control=_NEVER_STALE,
                )
            except PreconditionFailedError:
                live = self.look(name)
                continue
            return replace(decided, manifest=successor), live is seen
        raise PublicationConflictError(
            f"{manifest_key(name)}: other writers moved it {_MAX_ATTEMPTS} times in a row; run again"
        )

    def _follow(
        self,
        name: str,
        described: PublishedObject,
        item: PublicationObject,
        *,
        generation: str | None,
        is_version_safe: bool,
    ) -> Manifest | None:
        """Make the stable object follow the manifest; the manifest that won instead, if one did.

        The generation was read before this release was seen to be live. A later publisher reads its own before it
        moves the manifest, and writes after that, so whoever lost sees it in the manifest or has its write refused:
        the generation that it read is older than that write. For that, equal bytes are written again too: left alone,
        their generation would still let a late loser in that read it before its rival came back to the same bytes.
        """
        if not is_version_safe:
            self._put_missing_version(described, item)
        for _ in range(_MAX_ATTEMPTS):
            try:
                self._store.replace(
                    described.path,
                    item.data,
                    if_generation=generation,
                    content_type=item.content_type,
                    cache_control=item.cache_control,
                )
            except PreconditionFailedError:
                generation = self._generation(described.path)
                live = self.current(name)
                if live is None:
                    raise StoreError(f"{manifest_key(name)} was deleted during publication; run again") from None
                if described not in live.objects:
                    return live
                continue
            return None
        raise PublicationConflictError(
            f"{described.path}: other writers moved it {_MAX_ATTEMPTS} times in a row; run again"
        )

    def _retire(self, releases: Sequence[Release]) -> tuple[Release, ...]:
        """Delete the version objects of these; give back what would not go, to be tried again.

        Before the pointer moves, since after it nobody would know of them any more.
        """
        items = [(release, item) for release in releases for item in release.objects]
        went = together(self._store, [partial(self._is_deleted, item.version_path) for _, item in items])
        remaining = {release.label for (release, _), is_gone in zip(items, went, strict=True) if not is_gone}
        return tuple(release for release in releases if release.label in remaining)

    def _is_deleted(self, key: str) -> bool:
        try:
            self._store.delete(key)
        except StoreError:
            # Tidying up must not keep a good feed from its readers.
            return False
        return True
