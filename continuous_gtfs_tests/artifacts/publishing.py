"""Publications that say of themselves which they are and whether they are whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from continuous_gtfs.artifacts.publication import Publication, PublicationObject, Publisher
from continuous_gtfs.artifacts.store import ObjectInfo, Store

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EXTENSIONS = ("pb", "json")


def numbered_body(number: int, extension: str, size: int = 3_000) -> bytes:
    """``<number> <extension> <filling> <sha256 of what is before it>``."""
    body = f"{number} {extension} ".encode() + f"{number:05d}".encode() * (size // 5) + b" "
    return body + hashlib.sha256(body).hexdigest().encode()


def number_of(body: bytes) -> int:
    """The number of a whole body; a torn or mixed one fails the test."""
    assert hashlib.sha256(body[:-64]).hexdigest().encode() == body[-64:], f"not whole: {body[:40]!r}"
    return int(body.split(b" ", 1)[0])


def numbered_objects(number: int, size: int = 3_000) -> tuple[PublicationObject, ...]:
    return tuple(
        PublicationObject(
            extension=extension,
            data=numbered_body(number, extension, size),
            content_type=f"test/{extension}",
            cache_control="max-age=1",
        )
        for extension in EXTENSIONS
    )


def publish_numbered(
    publisher: Publisher,
    name: str,
    number: int,
    *,
    order: int | None = None,
    size: int = 3_000,
    force_older: bool = False,
    keep_versions: int = 5,
) -> Publication:
    """Publish content ``number`` under the label ``v<number>``, at ``order`` (the number if not given)."""
    return publisher.publish(
        name,
        numbered_objects(number, size),
        label=f"v{number}",
        order=[number if order is None else order],
        manifest={"number": number},
        now=NOW,
        force_older=force_older,
        keep_versions=keep_versions,
    )


def assert_live(store: Store, name: str, number: int) -> None:
    """Manifest, stable objects and version objects all say ``number``."""
    manifest = Publisher(store).current(name)
    assert manifest is not None
    assert manifest.label == f"v{number}"
    assert manifest.facts == {"number": number}
    for item, extension in zip(manifest.objects, EXTENSIONS, strict=True):
        assert item.path == f"{name}.{extension}"
        body = numbered_body(number, extension)
        assert store.read(item.path) == body
        assert store.read(item.version_path) == body
        assert item.sha256 == hashlib.sha256(body).hexdigest()
        assert item.bytes == len(body)


def assert_whole(store: Store, name: str) -> None:
    """Whatever is there is whole, and everything that the manifest calls current or previous is there."""
    for extension in EXTENSIONS:
        if store.stat(f"{name}.{extension}") is not None:
            number_of(store.read(f"{name}.{extension}"))
    manifest = Publisher(store).current(name)
    if manifest is not None:
        for release in (manifest.current, *manifest.previous):
            for item in release.objects:
                assert hashlib.sha256(store.read(item.version_path)).hexdigest() == item.sha256


class WatchedStore:
    """A Store that tells ``before`` and ``after`` of each call, by running number; they may raise or interfere."""

    def __init__(
        self,
        store: Store,
        *,
        before: Callable[[int, str, str], None] = lambda number, method, key: None,
        after: Callable[[int, str, str], None] = lambda number, method, key: None,
    ) -> None:
        self._store = store
        self._before = before
        self._after = after
        self.calls = 0

    @property
    def is_remote(self) -> bool:
        return self._store.is_remote

    def _call(self, method: str, key: str, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        number = self.calls
        self._before(number, method, key)
        answer = getattr(self._store, method)(key, *arguments, **options)
        self._after(number, method, key)
        return answer

    def put_new(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> ObjectInfo:
        info: ObjectInfo = self._call("put_new", key, data, content_type=content_type, cache_control=cache_control)
        return info

    def replace(
        self,
        key: str,
        data: bytes,
        *,
        if_generation: str | None,
        content_type: str,
        cache_control: str | None = None,
    ) -> ObjectInfo:
        info: ObjectInfo = self._call(
            "replace",
            key,
            data,
            if_generation=if_generation,
            content_type=content_type,
            cache_control=cache_control,
        )
        return info

    def read(self, key: str) -> bytes:
        data: bytes = self._call("read", key)
        return data

    def read_with_generation(self, key: str) -> tuple[bytes, str] | None:
        found: tuple[bytes, str] | None = self._call("read_with_generation", key)
        return found

    def stat(self, key: str) -> ObjectInfo | None:
        info: ObjectInfo | None = self._call("stat", key)
        return info

    def delete(self, key: str) -> None:
        self._call("delete", key)

    def list(self, prefix: str) -> Iterator[str]:
        keys: Iterator[str] = self._call("list", prefix)
        return keys


class CrashError(Exception):
    """Stands for the end of the process, so it is none of ours that anybody would handle."""


def crash_at(crash_number: int) -> Callable[[int, str, str], None]:
    """For ``WatchedStore``: fail at one call. As ``after``, the call is done and only its answer is lost."""

    def crash(number: int, method: str, key: str) -> None:
        if number == crash_number:
            raise CrashError(f"crash at call {number}: {method} {key}")

    return crash
