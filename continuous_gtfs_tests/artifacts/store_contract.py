"""What every Store must do. A backend's test module subclasses ``StoreContract`` and supplies the fixture ``store``."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from continuous_gtfs.artifacts.store import ObjectInfo, ObjectNotFoundError, PreconditionFailedError, Store
from continuous_gtfs.errors import ConfigurationError, StoreError

TEXT = "text/plain"

KEYS_THAT_LEAVE_OR_CONFUSE = [
    "",
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "a/..",
    "..",
    ".",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    ".metadata/objects/a",
    "a/.hidden",
    "a\\b",
    "a\x00b",
    "a\nb",
    "a/" + "b" * 241,
    "/".join(["part"] * 300),
    "\ud800",
]


class StoreContract:
    def test_what_was_put_is_read_and_described(self, store: Store) -> None:
        info = store.put_new("feeds/a.pb", b"\x00\x01", content_type="application/x-protobuf", cache_control="no-cache")
        assert store.read("feeds/a.pb") == b"\x00\x01"
        assert store.stat("feeds/a.pb") == info
        assert info == ObjectInfo(
            key="feeds/a.pb",
            size=2,
            sha256=hashlib.sha256(b"\x00\x01").hexdigest(),
            generation=info.generation,
            content_type="application/x-protobuf",
            cache_control="no-cache",
        )

    def test_an_object_may_be_empty_or_large(self, store: Store) -> None:
        large = bytes(range(256)) * 12_000
        store.put_new("empty", b"", content_type=TEXT)
        store.put_new("large", large, content_type=TEXT)
        assert store.read("empty") == b""
        assert store.read("large") == large
        empty = store.stat("empty")
        assert empty is not None
        assert empty.size == 0

    def test_putting_the_same_bytes_again_changes_nothing(self, store: Store) -> None:
        first = store.put_new("a", b"one", content_type=TEXT)
        assert store.put_new("a", b"one", content_type=TEXT) == first

    def test_putting_other_bytes_is_refused_and_the_first_stay(self, store: Store) -> None:
        first = store.put_new("a", b"one", content_type=TEXT)
        with pytest.raises(StoreError, match="other bytes"):
            store.put_new("a", b"two", content_type=TEXT)
        assert store.read("a") == b"one"
        assert store.stat("a") == first

    def test_a_replacement_names_the_generation_it_replaces(self, store: Store) -> None:
        first = store.replace("a", b"one", if_generation=None, content_type=TEXT)
        second = store.replace("a", b"two", if_generation=first.generation, content_type="text/html")
        assert store.read("a") == b"two"
        assert store.stat("a") == second
        assert second.content_type == "text/html"

    def test_a_replacement_of_a_generation_that_is_gone_is_refused(self, store: Store) -> None:
        first = store.replace("a", b"one", if_generation=None, content_type=TEXT)
        second = store.replace("a", b"two", if_generation=first.generation, content_type=TEXT)
        with pytest.raises(PreconditionFailedError):
            store.replace("a", b"three", if_generation=first.generation, content_type=TEXT)
        assert store.read("a") == b"two"
        assert store.stat("a") == second

    def test_a_creation_is_refused_where_something_is(self, store: Store) -> None:
        store.replace("a", b"one", if_generation=None, content_type=TEXT)
        with pytest.raises(PreconditionFailedError):
            store.replace("a", b"two", if_generation=None, content_type=TEXT)
        assert store.read("a") == b"one"

    def test_a_replacement_of_a_deleted_object_is_refused(self, store: Store) -> None:
        first = store.replace("a", b"one", if_generation=None, content_type=TEXT)
        store.delete("a")
        with pytest.raises(PreconditionFailedError):
            store.replace("a", b"two", if_generation=first.generation, content_type=TEXT)
        assert store.stat("a") is None

    def test_no_generation_comes_twice_even_for_the_same_bytes(self, store: Store) -> None:
        generations: list[str] = []
        current: str | None = None
        for turn in range(40):
            if turn % 10 == 9:
                store.delete("a")
                current = None
            current = store.replace("a", b"AB"[turn % 2 :][:1], if_generation=current, content_type=TEXT).generation
            generations.append(current)
        assert len(set(generations)) == 40

    def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        store.put_new("folder/a", b"one", content_type=TEXT)
        for key in ("missing", "folder", "folder/a/below", "folder/b"):
            assert store.stat(key) is None
            with pytest.raises(ObjectNotFoundError):
                store.read(key)

    def test_deleting_twice_is_no_error(self, store: Store) -> None:
        store.put_new("folder/a", b"one", content_type=TEXT)
        store.delete("folder/a")
        store.delete("folder/a")
        assert store.stat("folder/a") is None
        assert list(store.list("")) == []

    def test_listing_gives_sorted_keys_that_start_with_the_prefix(self, store: Store) -> None:
        keys = ["a/b/c", "a/b", "a/bc", "a-b", "b"]
        for key in ["a/b/c", "a/bc", "a-b", "b", "a/d/e.json"]:
            store.put_new(key, b"x", content_type=TEXT)
        assert list(store.list("")) == sorted([*keys[:1], *keys[2:], "a/d/e.json"])
        assert list(store.list("a/b")) == ["a/b/c", "a/bc"]
        assert list(store.list("a/")) == ["a/b/c", "a/bc", "a/d/e.json"]
        assert list(store.list("nothing/here")) == []

    def test_a_key_may_hold_any_letters(self, store: Store) -> None:
        key = "versions/Montréal/feed 1+2 %20?#&.zip"
        store.put_new(key, b"one", content_type=TEXT)
        assert store.read(key) == b"one"
        assert list(store.list("versions/Montr")) == [key]

    @pytest.mark.parametrize("key", KEYS_THAT_LEAVE_OR_CONFUSE)
    def test_a_key_that_could_leave_the_store_is_refused_by_every_method(self, store: Store, key: str) -> None:
        attempts: list[Callable[[], object]] = [
            lambda: store.put_new(key, b"x", content_type=TEXT),
            lambda: store.replace(key, b"x", if_generation=None, content_type=TEXT),
            lambda: store.read(key),
            lambda: store.stat(key),
            lambda: store.delete(key),
        ]
        if key and not key.endswith("/"):
            attempts.append(lambda: list(store.list(key)))
        for attempt in attempts:
            with pytest.raises(ConfigurationError, match="object key"):
                attempt()

    def test_of_many_creators_one_wins(self, store: Store) -> None:
        barrier = threading.Barrier(8)

        def create(number: int) -> bool:
            barrier.wait(timeout=30)
            try:
                store.replace("a", b"%d" % number, if_generation=None, content_type=TEXT)
            except PreconditionFailedError:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(create, range(8)))
        assert outcomes.count(True) == 1
        assert store.read("a") == b"%d" % outcomes.index(True)

    def test_no_update_is_lost_between_threads(self, store: Store) -> None:
        store.replace("counter", b"0", if_generation=None, content_type=TEXT)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: count_up(store, "counter", times=15), range(4)))
        assert store.read("counter") == b"60"


def count_up(store: Store, key: str, *, times: int) -> None:
    """Add one ``times`` times, trying again whenever another writer was first."""
    for _ in range(times):
        while True:
            info = store.stat(key)
            assert info is not None
            try:
                store.replace(key, b"%d" % (int(store.read(key)) + 1), if_generation=info.generation, content_type=TEXT)
            except PreconditionFailedError:
                continue
            break
