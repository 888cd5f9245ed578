from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.errors import ArchiveCorruptError, ConfigurationError
from continuous_gtfs.versions import FeedVersion
from continuous_gtfs_tests.artifacts.publishing import CrashError, WatchedStore, crash_at

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def version_of(body: bytes, *, version_id: str | None = None, after_s: float = 0) -> FeedVersion:
    digest = hashlib.sha256(body).hexdigest()
    return FeedVersion(
        environment="production",
        feed="schedule",
        version_id=version_id or digest[:16],
        content_digest=digest,
        body_digest=digest,
        body_bytes=len(body),
        fetched_at=NOON + timedelta(seconds=after_s),
        etag='"1"',
    )


@pytest.fixture
def store(memory_path: Path) -> LocalStore:
    return LocalStore(memory_path / "archive")


@pytest.fixture
def archive(store: LocalStore) -> Archive:
    return Archive(store)


def test_a_saved_version_is_found_with_its_bytes(archive: Archive, store: LocalStore) -> None:
    version = version_of(b"zip")
    assert archive.save(version, b"zip") == version
    assert archive.find("production", "schedule", version.version_id) == version
    assert archive.read(version) == b"zip"
    digest = version.body_digest
    assert list(store.list("")) == [
        f"archive/blobs/{digest[:2]}/{digest}",
        "latest/production/schedule.json",
        f"versions/production/schedule/{version.version_id}.json",
    ]


def test_an_unknown_version_is_none_and_an_empty_archive_has_no_latest(archive: Archive) -> None:
    assert archive.find("production", "schedule", "0123") is None
    assert archive.latest("production", "schedule") is None
    assert archive.versions("production", "schedule") == []


def test_versions_come_in_the_order_they_were_fetched_and_by_feed(archive: Archive) -> None:
    bodies = [b"three", b"one", b"two"]
    for after_s, body in [(30, bodies[0]), (10, bodies[1]), (20, bodies[2])]:
        archive.save(version_of(body, after_s=after_s), body)
    other = replace(version_of(b"qa", after_s=99), environment="qa")
    archive.save(other, b"qa")
    assert [archive.read(v) for v in archive.versions("production", "schedule")] == [b"one", b"two", b"three"]
    latest = archive.latest("production", "schedule")
    assert latest is not None
    assert archive.read(latest) == b"three"
    assert archive.latest("qa", "schedule") == other


def test_a_version_that_comes_back_takes_the_newer_fetch_and_keeps_its_bytes(archive: Archive) -> None:
    first = version_of(b"zip", version_id="same-content")
    archive.save(first, b"zip")
    archive.save(version_of(b"other", after_s=5), b"other")
    again = archive.save(version_of(b"re-zipped", version_id="same-content", after_s=9), b"re-zipped")
    assert again.fetched_at == NOON + timedelta(seconds=9)
    assert again.body_digest == first.body_digest
    assert archive.find("production", "schedule", "same-content") == again
    assert archive.read(again) == b"zip"
    assert archive.latest("production", "schedule") == again


def test_an_older_fetch_of_a_known_version_changes_nothing(archive: Archive, store: LocalStore) -> None:
    newer = version_of(b"zip", after_s=9)
    archive.save(newer, b"zip")
    before = [store.stat(key) for key in store.list("")]
    assert archive.save(version_of(b"zip", after_s=1), b"zip") == newer
    assert [store.stat(key) for key in store.list("")] == before


def test_bytes_that_are_not_the_version_are_not_stored(archive: Archive, store: LocalStore) -> None:
    with pytest.raises(ArchiveCorruptError, match="nothing was stored"):
        archive.save(version_of(b"zip"), b"zap")
    assert list(store.list("")) == []


def test_rotten_bytes_are_never_handed_out_and_saving_again_mends_them(archive: Archive, store: LocalStore) -> None:
    version = version_of(b"zip")
    archive.save(version, b"zip")
    (key,) = store.list("archive/blobs/")
    blob = store.root / key
    moments = blob.stat().st_atime_ns, blob.stat().st_mtime_ns
    blob.write_bytes(b"zap")
    # As a rotten disk does it: nothing but the bytes tells, so the store still vouches for the old digest.
    os.utime(blob, ns=moments)
    info = store.stat(key)
    assert info is not None
    assert info.sha256 == version.body_digest
    with pytest.raises(ArchiveCorruptError, match="has digest"):
        archive.read(version)
    archive.save(version, b"zip")
    assert archive.read(version) == b"zip"


def test_lost_bytes_are_never_empty_ones(archive: Archive, store: LocalStore) -> None:
    version = version_of(b"zip")
    archive.save(version, b"zip")
    (key,) = store.list("archive/blobs/")
    store.delete(key)
    with pytest.raises(ArchiveCorruptError, match="are gone"):
        archive.read(version)


def test_a_record_that_is_none_is_named(archive: Archive, store: LocalStore) -> None:
    store.put_new("versions/production/schedule/x.json", b'{"a": 1}', content_type="application/json")
    with pytest.raises(ArchiveCorruptError, match=r"versions/production/schedule/x\.json"):
        archive.find("production", "schedule", "x")


def test_an_identifier_cannot_leave_the_archive(archive: Archive) -> None:
    with pytest.raises(ConfigurationError):
        archive.find("..", "schedule", "x")
    with pytest.raises(ConfigurationError):
        archive.save(version_of(b"zip", version_id="../../x"), b"zip")


@pytest.mark.parametrize("is_done", [False, True])
def test_a_crash_at_any_write_leaves_no_record_without_bytes_and_saving_again_repairs(
    memory_path: Path, is_done: bool
) -> None:
    number = 0
    while True:
        number += 1
        store = LocalStore(memory_path / f"{is_done}-{number}")
        Archive(store).save(version_of(b"first"), b"first")
        version = version_of(b"second", after_s=1)
        crash = crash_at(number)
        crashing = WatchedStore(store, after=crash) if is_done else WatchedStore(store, before=crash)
        try:
            Archive(crashing).save(version, b"second")
        except CrashError:
            pass
        else:
            break
        for recorded in Archive(store).versions("production", "schedule"):
            assert Archive(store).read(recorded) in (b"first", b"second")
        Archive(store).save(version, b"second")
        assert Archive(store).latest("production", "schedule") == version
        assert Archive(store).read(version) == b"second"
    assert number > 5


def test_latest_is_found_from_the_records_where_the_pointer_was_never_written(
    archive: Archive, store: LocalStore
) -> None:
    version = version_of(b"zip")
    archive.save(version, b"zip")
    store.delete("latest/production/schedule.json")
    assert archive.latest("production", "schedule") == version


def test_savers_at_once_agree_on_the_newest(archive: Archive) -> None:
    bodies = [b"%d" % (number % 4) for number in range(16)]

    def save(number: int) -> None:
        archive.save(version_of(bodies[number], after_s=number), bodies[number])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(save, [5, 12, 3, 15, 0, 9, 14, 1, 7, 2, 11, 8, 13, 4, 10, 6]))
    latest = archive.latest("production", "schedule")
    assert latest is not None
    assert latest.fetched_at == NOON + timedelta(seconds=15)
    found = [v.fetched_at - NOON for v in archive.versions("production", "schedule")]
    assert found == [timedelta(seconds=s) for s in (12, 13, 14, 15)]
