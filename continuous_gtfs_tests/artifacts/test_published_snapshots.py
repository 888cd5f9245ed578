"""What went out is kept for good, with its facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots, snapshot_key
from continuous_gtfs.errors import ArchiveCorruptError
from continuous_gtfs_tests.artifacts.snapshots import FEED, HOUR, NEXT_HOUR, published_of, version_of

BODY = b"\x00line\nand another\n"
SNAPSHOT = published_of(version_of(b"raw", NEXT_HOUR - timedelta(milliseconds=1)), BODY)


@pytest.fixture
def store(memory_path: Path) -> LocalStore:
    return LocalStore(memory_path / "archive")


def test_a_snapshot_is_kept_in_the_hour_in_which_its_input_was_fetched(store: LocalStore) -> None:
    snapshots = PublishedSnapshots(store)
    snapshots.save(SNAPSHOT, BODY)
    assert SNAPSHOT.published_at > NEXT_HOUR
    assert snapshots.hours("production", FEED) == [HOUR]
    (key,) = snapshots.keys("production", FEED, HOUR)
    assert snapshots.read(key) == (SNAPSHOT, BODY)
    assert snapshots.keys("production", FEED, NEXT_HOUR) == snapshots.keys("qa", FEED, HOUR) == []


def test_of_the_same_publication_twice_the_first_stays(store: LocalStore) -> None:
    snapshots = PublishedSnapshots(store)
    snapshots.save(SNAPSHOT, BODY)
    snapshots.save(replace(SNAPSHOT, published_at=SNAPSHOT.published_at + timedelta(minutes=1)), BODY)
    (key,) = store.list("publications/")
    assert snapshots.read(key) == (SNAPSHOT, BODY)


def test_bytes_that_are_not_the_snapshot_are_not_stored(store: LocalStore) -> None:
    with pytest.raises(ArchiveCorruptError, match="nothing was stored"):
        PublishedSnapshots(store).save(SNAPSHOT, b"other")
    assert list(store.list("")) == []


@pytest.mark.parametrize("damaged", [b"", b"{}\nbytes", b"[1]\nbytes", None])
def test_a_damaged_object_is_named(store: LocalStore, damaged: bytes | None) -> None:
    snapshots = PublishedSnapshots(store)
    snapshots.save(SNAPSHOT, BODY)
    key = snapshot_key(SNAPSHOT)
    path = store.root / key
    path.write_bytes(path.read_bytes() + b"more" if damaged is None else damaged)
    with pytest.raises(ArchiveCorruptError, match=key):
        snapshots.read(key)


def test_an_object_that_was_packed_meanwhile_is_none(store: LocalStore) -> None:
    assert PublishedSnapshots(store).read(snapshot_key(SNAPSHOT)) is None
