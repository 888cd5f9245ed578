from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.copying import copy_store
from continuous_gtfs.artifacts.gcs import GcsStore
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.packing import Packer
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs_tests.artifacts.cloud import CloudServer
from continuous_gtfs_tests.artifacts.publishing import (
    CrashError,
    WatchedStore,
    assert_live,
    assert_whole,
    crash_at,
    publish_numbered,
)
from continuous_gtfs_tests.artifacts.snapshots import COLUMNS, FEED, HOUR, version_of

NAME = "realtime/production/vehicle_positions"
BODIES = [b"a b", b"c d e", b"f"]


def fill(store: Store) -> None:
    """Both halves of a store: an archive with an hour that is packed and one that is not, and publications."""
    archive = Archive(store)
    for number, body in enumerate(BODIES):
        archive.save(version_of(body, HOUR + timedelta(minutes=40 * number)), body)
    Packer(store, COLUMNS).pack("production", FEED, [HOUR])
    for number in (1, 2, 3):
        publish_numbered(Publisher(store), NAME, number, keep_versions=1)


def assert_copied(store: Store) -> None:
    archive = Archive(store)
    assert [archive.read(version) for version in archive.versions("production", FEED)] == BODIES
    latest = archive.latest("production", FEED)
    assert latest is not None
    assert archive.read(latest) == BODIES[-1]
    assert_live(store, NAME, 3)
    assert_whole(store, NAME)


def described(store: Store) -> dict[str, tuple[str, str, str | None]]:
    found = {key: store.stat(key) for key in store.list("")}
    return {key: (info.sha256, info.content_type, info.cache_control) for key, info in found.items() if info}


@pytest.fixture
def source(memory_path: Path) -> LocalStore:
    store = LocalStore(memory_path / "source")
    fill(store)
    return store


@pytest.fixture
def target(memory_path: Path) -> LocalStore:
    return LocalStore(memory_path / "target")


@pytest.mark.parametrize("way", ["to_a_bucket", "from_a_bucket", "between_buckets", "between_folders"])
def test_a_copy_has_all_and_is_written_to_as_the_first(
    source: LocalStore, target: LocalStore, cloud: CloudServer, way: str
) -> None:
    first: Store = source
    second: Store = target
    if way in ("from_a_bucket", "between_buckets"):
        first = GcsStore(cloud.make_bucket(), "kept")
        fill(first)
    if way in ("to_a_bucket", "between_buckets"):
        second = GcsStore(cloud.make_bucket())
    copy = copy_store(first, second)
    assert copy.is_whole
    assert copy.counts["copied"] == len(list(first.list("")))
    assert described(second) == described(first)
    assert_copied(second)
    assert publish_numbered(Publisher(second), NAME, 4, keep_versions=1).outcome == "published"
    assert_live(second, NAME, 4)


def test_what_refers_comes_after_what_it_refers_to_and_what_decides_last(
    source: LocalStore, target: LocalStore
) -> None:
    written: list[str] = []

    def note(number: int, method: str, key: str) -> None:
        if method == "put_new":
            written.append(key)

    copy_store(source, WatchedStore(target, after=note))
    assert sorted(written) == sorted(source.list(""))
    pointers = [key for key in written if key.startswith("latest/") or key.endswith(".manifest.json")]
    assert written[-len(pointers) :] == pointers
    assert len(pointers) == 2
    first_record = min(written.index(key) for key in written if key.startswith("versions/") or key == f"{NAME}.pb")
    assert all(
        written.index(key) < first_record
        for key in written
        if key.startswith("archive/") or "/versions/" in key[1:]
        if not key.startswith("versions/")
    )


def test_a_copy_that_is_broken_off_anywhere_goes_on(source: LocalStore, memory_path: Path) -> None:
    crashes = 0
    while True:
        target = LocalStore(memory_path / f"target-{crashes}")
        try:
            copy_store(source, WatchedStore(target, before=crash_at(crashes + 1)))
        except CrashError:
            crashes += 3
        else:
            break
        before = len(list(target.list("")))
        copy = copy_store(source, target)
        assert copy.counts["present"] == before
        assert described(target) == described(source)
    assert crashes >= 15


def test_a_dry_run_writes_nothing_and_says_how_much(source: LocalStore, target: LocalStore) -> None:
    copy = copy_store(source, target, is_dry_run=True)
    assert list(target.list("")) == []
    assert copy.counts["copied"] == len(list(source.list("")))
    assert "would be copied" in copy.text(is_dry_run=True)
    assert copy.bytes == copy_store(source, target).bytes


def test_what_has_changed_since_an_earlier_copy_is_replaced_only_when_told(
    source: LocalStore, target: LocalStore
) -> None:
    copy_store(source, target)
    publish_numbered(Publisher(source), NAME, 5, keep_versions=1)
    late = copy_store(source, target)
    assert not late.is_whole
    assert late.counts["differs"] == 3
    assert all("--replace-changed" in sentence for sentence in late.told)
    assert_whole(target, NAME)
    manifest = Publisher(target).current(NAME)
    assert manifest is not None
    assert manifest.label == "v3"
    again = copy_store(source, target, may_replace=True)
    assert again.is_whole
    assert again.counts["replaced"] == 3
    assert_live(target, NAME, 5)


def damaged_at_the_source(source: LocalStore, target: LocalStore, key: str) -> str:
    path = source.root / key
    path.write_bytes(path.read_bytes() + b"!")
    return "are not those that were stored"


def another_at_the_target(source: LocalStore, target: LocalStore, key: str) -> str:
    target.put_new(key, b"another", content_type="test")
    return "the target has other bytes under this name"


@pytest.mark.parametrize("spoil", [damaged_at_the_source, another_at_the_target])
def test_bytes_that_are_not_what_their_name_says_are_told_and_the_rest_is_copied(
    source: LocalStore, target: LocalStore, spoil: Callable[[LocalStore, LocalStore, str], str]
) -> None:
    key = f"archive/blobs/{(digest := hashlib.sha256(BODIES[2]).hexdigest())[:2]}/{digest}"
    told = spoil(source, target, key)
    copy = copy_store(source, target, may_replace=True)
    assert not copy.is_whole
    (sentence,) = copy.told
    assert sentence.startswith(f"{key}: ")
    assert told in sentence
    assert_live(target, NAME, 3)


def places(memory_path: Path) -> Iterator[tuple[Store, Store]]:
    yield LocalStore(memory_path / "source"), LocalStore(memory_path / "source")
    yield LocalStore(memory_path / "source"), LocalStore(memory_path / "source" / "below")
    yield GcsStore("bucket", "kept"), GcsStore("bucket", "kept/more")
    yield GcsStore("bucket"), GcsStore("bucket", "kept")


def test_stores_that_lie_one_in_the_other_are_refused(source: LocalStore, memory_path: Path) -> None:
    for first, second in places(memory_path):
        with pytest.raises(ConfigurationError, match="one in the other"):
            copy_store(first, second)


def test_an_empty_store_is_refused(memory_path: Path, target: LocalStore) -> None:
    with pytest.raises(ConfigurationError, match="has no objects"):
        copy_store(LocalStore(memory_path / "nothing"), target)
