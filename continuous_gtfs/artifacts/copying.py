"""Copying all that is in one store to another: an archive, what is published, or both.

What refers to something is copied after that, and what decides (manifests, ``latest`` pointers) last: whoever opens the
copy half-way finds no reference into nothing. What is there already is left, so the same call again goes on.

An object is named by its content, or changes: a manifest, a pointer, a stable URL, a record, a pack. Of what changes, a
later copy may replace what an earlier one has written, where it is told to; never what is named by its content.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from continuous_gtfs.artifacts.gcs import GcsStore
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.store import (
    ObjectInfo,
    ObjectNotFoundError,
    OtherBytesError,
    PreconditionFailedError,
    Store,
)
from continuous_gtfs.artifacts.together import MOST_AT_ONCE, together
from continuous_gtfs.errors import ConfigurationError, StoreError

Became = Literal["copied", "replaced", "present", "differs", "damaged", "gone"]

_POINTER = re.compile(r"latest/.+|.+\.manifest\.json")
_BLOB = re.compile(r"(?:archive|transformed)/blobs/[0-9a-f]{2}/([0-9a-f]{64})")
# The archive's records lie in a folder of the same name, one level deeper; they take newer facts.
_NAMED_BY_CONTENT = re.compile(r"publications/.+|(?:.+/)?versions/[^/]+/[^/]+")


@dataclass(slots=True)
class Copy:
    """What a copy came to, or would come to.

    Attributes:
        counts: By what became of them, how many objects. ``present``: the same bytes were there. ``differs``: others
            were there, and were left. ``damaged``: the source has other bytes than it was given. ``gone``: removed at
            the source meanwhile.
        bytes: Of what was copied or replaced.
        told: A sentence for each object that differs or is damaged.
    """

    counts: dict[Became, int] = field(default_factory=lambda: dict.fromkeys(_BECAME, 0))
    bytes: int = 0
    told: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether the target now has all that the source has."""
        return not self.told

    def text(self, *, is_dry_run: bool) -> str:
        """Lines for a person."""
        verb = "would be copied" if is_dry_run else "copied"
        done = self.counts["copied"]
        lines = [f"{done} objects {verb} ({self.bytes} bytes), {self.counts['present']} were there already"]
        if self.counts["replaced"]:
            lines.append(f"{self.counts['replaced']} that had changed {'would be ' * is_dry_run}replaced")
        if self.counts["gone"]:
            lines.append(f"{self.counts['gone']} were removed at the source meanwhile: copy again once nothing runs")
        return "\n".join([*lines, *self.told]) + "\n"


_BECAME: tuple[Became, ...] = ("copied", "replaced", "present", "differs", "damaged", "gone")


def copy_store(
    source: Store,
    target: Store,
    *,
    is_dry_run: bool = False,
    may_replace: bool = False,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Copy:
    """Make sure that ``target`` has every object of ``source``.

    Args:
        is_dry_run: Write nothing; objects that would be copied are not read either.
        may_replace: Replace what changes, where the target has it as it was before.
        told: Called now and then with how many objects were seen to, and of how many.

    Raises:
        ConfigurationError: One store lies in the other, or the source is empty.
        StoreError: A store failed. What is copied stays; the same call goes on.
    """
    _refuse_nested(source, target)
    keys = sorted(source.list(""), key=lambda key: (_rank(key), key))
    if not keys:
        raise ConfigurationError(f"{source!r} has no objects: is that the store to copy from?")
    there = frozenset(target.list(""))
    copy = Copy()
    slow = source if source.is_remote else target
    for rank in range(3):
        of_rank = [key for key in keys if _rank(key) == rank]
        for start in range(0, len(of_rank), MOST_AT_ONCE):
            some = of_rank[start : start + MOST_AT_ONCE]
            calls = [partial(_copy, source, target, key, key in there, is_dry_run, may_replace) for key in some]
            for became, size, sentence in together(slow, calls):
                copy.counts[became] += 1
                copy.bytes += size
                copy.told += [sentence] if sentence else []
            told(sum(copy.counts.values()), len(keys))
    return copy


def _copy(
    source: Store, target: Store, key: str, is_there: bool, is_dry_run: bool, may_replace: bool
) -> tuple[Became, int, str]:
    """What became of one object, how many bytes were written, and what is to be said of it."""
    info = source.stat(key)
    if info is None:
        return "gone", 0, ""
    present = target.stat(key) if is_there else None
    if present is not None and present.sha256 == info.sha256:
        return "present", 0, ""
    if present is not None and (not may_replace or _is_named_by_content(key)):
        return "differs", 0, _difference(key, info, present)
    became: Became = "replaced" if present else "copied"
    if is_dry_run:
        return became, info.size, ""
    try:
        data = source.read(key)
    except ObjectNotFoundError:
        return "gone", 0, ""
    digest = hashlib.sha256(data).hexdigest()
    if digest != info.sha256 and not _is_named_by_content(key):
        # It may have changed since it was described.
        info = source.stat(key) or info
    match = _BLOB.fullmatch(key)
    if digest != (match[1] if match else info.sha256):
        return "damaged", 0, f"{key}: its bytes are not those that were stored; restore it at the source, then copy on"
    try:
        _put(target, key, data, info, present.generation if present else None)
    except (OtherBytesError, PreconditionFailedError):
        return "differs", 0, f"{key}: was written at the target meanwhile; is something running there?"
    return became, len(data), ""


def _put(target: Store, key: str, data: bytes, info: ObjectInfo, generation: str | None = None) -> None:
    if generation is None:
        target.put_new(key, data, content_type=info.content_type, cache_control=info.cache_control)
    else:
        target.replace(
            key, data, if_generation=generation, content_type=info.content_type, cache_control=info.cache_control
        )
    if not target.is_remote and target.read(key) != data:
        raise StoreError(f"{key}: read back from {target!r} with other bytes; look at its storage device, then copy on")


def _difference(key: str, info: ObjectInfo, present: ObjectInfo) -> str:
    if _is_named_by_content(key):
        return f"{key}: the target has other bytes under this name (digest {present.sha256}, here {info.sha256})"
    return f"{key}: is another at the target; replace it by what is here with --replace-changed"


def _is_named_by_content(key: str) -> bool:
    return bool(_BLOB.fullmatch(key) or _NAMED_BY_CONTENT.fullmatch(key))


def _rank(key: str) -> int:
    """What is to come first: bytes, then what refers to them, then what decides."""
    if _POINTER.fullmatch(key):
        return 2
    is_bytes = _is_named_by_content(key) or key.startswith("archive/")
    return 0 if is_bytes else 1


def _refuse_nested(source: Store, target: Store) -> None:
    first, second = _place(source), _place(target)
    if first is None or second is None:
        return
    if first[0] == second[0] and (_is_below(first[1], second[1]) or _is_below(second[1], first[1])):
        raise ConfigurationError(f"{source!r} and {target!r} lie one in the other; a copy needs a place of its own")


def _place(store: Store) -> tuple[str, Sequence[str]] | None:
    """The bucket, empty for a folder, and the parts of the way to it; None where that cannot be told."""
    if isinstance(store, GcsStore):
        return store.bucket, [part for part in store.prefix.split("/") if part]
    return ("", store.root.resolve().parts) if isinstance(store, LocalStore) else None


def _is_below(one: Sequence[str], other: Sequence[str]) -> bool:
    return list(one[: len(other)]) == list(other)
