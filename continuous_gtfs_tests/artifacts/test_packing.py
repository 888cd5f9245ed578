"""Moving an hour of small files into one pack: nothing is lost, whatever happens, and nothing that is needed goes."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from continuous_gtfs.artifacts.archive import Archive, blob_key, record_key
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.packing import Packer, PackResult
from continuous_gtfs.artifacts.packs import Packs, pack_key
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots, snapshot_key
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.errors import StoreError
from continuous_gtfs.versions import FeedVersion
from continuous_gtfs_tests.artifacts.publishing import CrashError, WatchedStore, crash_at
from continuous_gtfs_tests.artifacts.snapshots import (
    COLUMNS,
    FEED,
    HOUR,
    NEXT_HOUR,
    bodies,
    fill,
    published_of,
    version_of,
)
from continuous_gtfs_tests.real_data import ROOT

KEY = pack_key("production", FEED, HOUR)


@pytest.fixture
def store(memory_path: Path) -> LocalStore:
    return LocalStore(memory_path / "archive")


def pack(store: Store, *, kept: tuple[str, ...] = ()) -> PackResult:
    return Packer(store, COLUMNS).pack("production", FEED, [HOUR], kept=kept)[HOUR]


def with_newer(store: Store) -> FeedVersion:
    """A version of the next hour, so that no pointer names one of the hour that is packed."""
    return Archive(store).save(version_of(b"newer", NEXT_HOUR), b"newer")


def assert_all_is_found(store: Store, versions: list[FeedVersion]) -> None:
    archive = Archive(store)
    for version, body in zip(versions, bodies(len(versions)), strict=True):
        assert archive.find("production", FEED, version.version_id) == version
        assert archive.read(version) == body
    made = {snapshot.label: body for snapshot, body in Packs(store).published("production", FEED, HOUR)}
    for key in PublishedSnapshots(store).keys("production", FEED, HOUR):
        found = PublishedSnapshots(store).read(key)
        assert found is not None
        made[found[0].label] = found[1]
    assert sorted(made.values()) == sorted(b"made of " + body for body in bodies(len(versions)))


def test_an_hour_of_180_snapshots_becomes_one_object_and_every_version_is_found_in_it(store: LocalStore) -> None:
    versions = fill(store, 180)
    newer = with_newer(store)
    small_bytes = sum(info.size for key in store.list("") if (info := store.stat(key)))
    result = pack(store)
    assert (result.fetched, result.published, result.added) == (180, 180, 360)
    assert list(store.list("")) == [
        blob_key(newer.body_digest),
        KEY,
        f"latest/production/{FEED}.json",
        record_key("production", FEED, newer.version_id),
    ]
    assert result.pack_bytes < small_bytes / 5
    assert_all_is_found(store, versions)
    assert Archive(store).versions("production", FEED) == [*versions, newer]


def test_analysts_read_the_pack_as_a_table(store: LocalStore) -> None:
    (version,) = fill(store, 1)
    odd = Archive(store).save(version_of(b"?", HOUR + timedelta(seconds=9)), b"?")
    with_newer(store)
    pack(store)
    table = pq.read_table(io.BytesIO(store.read(KEY)))
    columns = table.to_pydict()
    assert columns["kind"] == ["fetched", "published", "fetched"]
    assert columns["version_id"] == [version.version_id, version.version_id, odd.version_id]
    assert columns["snapshot_at"][:2] == [HOUR, HOUR + timedelta(milliseconds=400)]
    assert columns["body"][2] == b"?"
    assert [None if rows is None else len(rows) for rows in columns["entities"]] == [40, 42, None]
    assert columns["entities"][0][1] == {"id": "vehicle-1-at-1000"}
    metadata = table.schema.metadata
    assert (metadata[b"feed"], metadata[b"hour"]) == (FEED.encode(), b"2026-03-01T08")


@pytest.mark.parametrize("stamp", ["0", "1772352000000", "1772352000000000000", "18446744073709551615"])
def test_a_version_whose_header_tells_no_seconds_is_found_in_its_pack(store: LocalStore, stamp: str) -> None:
    usual = version_of(b"odd clock", HOUR)
    odd = replace(
        usual,
        version_id=f"{stamp}-{usual.body_digest[:12]}",
        header_timestamp=int(stamp),
    )
    Archive(store).save(odd, b"odd clock")
    with_newer(store)
    pack(store)
    assert Archive(store).find("production", FEED, odd.version_id) == odd
    assert Archive(store).read(odd) == b"odd clock"


def test_packing_again_writes_nothing(store: LocalStore) -> None:
    fill(store, 5)
    with_newer(store)
    pack(store)
    before = store.stat(KEY)
    result = pack(store)
    assert (result.fetched, result.published, result.added, result.removed) == (5, 5, 0, 0)
    assert store.stat(KEY) == before


def test_what_came_late_is_added_and_gives_the_bytes_of_packing_all_at_once(memory_path: Path) -> None:
    at_once, in_turns = LocalStore(memory_path / "a"), LocalStore(memory_path / "b")
    for store in (at_once, in_turns):
        with_newer(store)
    versions = fill(at_once, 6)
    pack(at_once)
    contents = list(bodies(6))
    for numbers in ((5, 0), (3, 1), (4, 2)):
        for number in numbers:
            Archive(in_turns).save(versions[number], contents[number])
            made = b"made of " + contents[number]
            PublishedSnapshots(in_turns).save(published_of(versions[number], made), made)
        assert pack(in_turns).added == 4
    assert in_turns.read(KEY) == at_once.read(KEY)
    assert_all_is_found(in_turns, versions)


def test_the_newest_version_and_what_the_caller_names_stay_small_and_are_packed_too(store: LocalStore) -> None:
    versions = fill(store, 4)
    result = pack(store, kept=(versions[1].version_id,))
    assert result.fetched == 4
    for version in (versions[1], versions[3]):
        assert store.stat(blob_key(version.body_digest))
        assert store.stat(record_key("production", FEED, version.version_id))
    assert len(list(store.list("versions/"))) == len(list(store.list("archive/blobs/"))) == 2
    with_newer(store)
    pack(store)
    assert len(list(store.list("versions/"))) == len(list(store.list("archive/blobs/"))) == 1
    assert_all_is_found(store, versions)


def test_bytes_that_another_environment_refers_to_stay(store: LocalStore) -> None:
    (version,) = fill(store, 1)
    with_newer(store)
    (body,) = bodies(1)
    in_qa = Archive(store).save(version_of(body, HOUR, environment="qa"), body)
    Archive(store).save(version_of(b"qa moves on", NEXT_HOUR, environment="qa"), b"qa moves on")
    deleted: list[str] = []

    def note(number: int, method: str, key: str) -> None:
        if method == "delete":
            deleted.append(key)

    pack(WatchedStore(store, before=note))
    assert record_key("production", FEED, version.version_id) in deleted
    assert blob_key(in_qa.body_digest) not in deleted
    assert Archive(store).read(in_qa) == body


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("object_of", ["blob", "record"])
def test_bytes_that_another_environment_begins_to_refer_to_during_the_removal_are_put_back(
    store: LocalStore, moment: str, object_of: str
) -> None:
    (version,) = fill(store, 1)
    with_newer(store)
    (body,) = bodies(1)
    in_qa = version_of(body, NEXT_HOUR, environment="qa", made_at=HOUR - timedelta(seconds=3))
    keys = {"blob": blob_key(version.body_digest), "record": record_key("production", FEED, version.version_id)}

    def save_meanwhile(number: int, method: str, key: str) -> None:
        if (method, key) == ("delete", keys[object_of]):
            Archive(store).save(in_qa, body)

    hooks = {moment: save_meanwhile}
    pack(WatchedStore(store, **hooks))
    assert Archive(store).read(in_qa) == body
    assert store.stat(blob_key(in_qa.body_digest))


def test_bytes_that_a_whole_removal_takes_while_they_are_saved_elsewhere_are_stored_again(store: LocalStore) -> None:
    (version,) = fill(store, 1)
    with_newer(store)
    (body,) = bodies(1)
    in_qa = version_of(body, NEXT_HOUR, environment="qa", made_at=HOUR - timedelta(seconds=3))
    packed: list[PackResult] = []

    def pack_meanwhile(number: int, method: str, key: str) -> None:
        if key == record_key("qa", FEED, in_qa.version_id) and not packed:
            packed.append(pack(store))

    Archive(WatchedStore(store, before=pack_meanwhile)).save(in_qa, body)
    assert packed[0].removed
    assert in_qa.version_id == version.version_id
    assert Archive(store).read(in_qa) == body


def test_a_version_that_comes_back_during_the_removal_is_whole_afterwards(store: LocalStore) -> None:
    (version,) = fill(store, 1)
    with_newer(store)
    (body,) = bodies(1)
    again = version_of(body, NEXT_HOUR + timedelta(minutes=5), made_at=HOUR - timedelta(seconds=3))
    assert again.version_id == version.version_id

    def save_meanwhile(number: int, method: str, key: str) -> None:
        if (method, key) == ("delete", record_key("production", FEED, version.version_id)):
            Archive(store).save(again, body)

    pack(WatchedStore(store, before=save_meanwhile))
    assert Archive(store).latest("production", FEED) == again
    assert Archive(store).find("production", FEED, version.version_id) == again
    assert store.read(blob_key(version.body_digest)) == body


@pytest.mark.parametrize("is_done", [False, True])
def test_a_crash_at_any_call_loses_nothing_and_packing_again_finishes(memory_path: Path, is_done: bool) -> None:
    number = 0
    while True:
        number += 1
        store = LocalStore(memory_path / f"{is_done}-{number}")
        versions = fill(store, 2)
        with_newer(store)
        crash = crash_at(number)
        crashing = WatchedStore(store, after=crash) if is_done else WatchedStore(store, before=crash)
        try:
            pack(crashing)
        except CrashError:
            pass
        else:
            break
        assert_all_is_found(store, versions)
        pack(store)
        assert_all_is_found(store, versions)
        assert len(list(store.list("versions/"))) == len(list(store.list("archive/blobs/"))) == 1
        assert list(store.list("publications/")) == []
    assert number > 30


def test_a_crash_while_late_snapshots_are_added_loses_nothing(memory_path: Path) -> None:
    number = 0
    while True:
        number += 1
        store = LocalStore(memory_path / str(number))
        with_newer(store)
        versions = fill(store, 1)
        pack(store)
        versions = fill(store, 2)
        try:
            pack(WatchedStore(store, after=crash_at(number)))
        except CrashError:
            pass
        else:
            break
        assert_all_is_found(store, versions)
        pack(store)
        assert_all_is_found(store, versions)
    assert number > 20


def test_nothing_is_removed_where_the_pack_does_not_read_back_as_it_was_written(store: LocalStore) -> None:
    versions = fill(store, 3)
    with_newer(store)
    other = LocalStore(store.root.parent / "other")
    fill(other, 2)
    pack(other)

    def swap(number: int, method: str, key: str) -> None:
        if method == "replace" and key == KEY:
            info = store.stat(KEY)
            assert info is not None
            store.replace(KEY, other.read(KEY), if_generation=info.generation, content_type=info.content_type)

    before = list(store.list("versions/")), list(store.list("archive/blobs/")), list(store.list("publications/"))
    with pytest.raises(StoreError, match="read back without 2"):
        pack(WatchedStore(store, after=swap))
    after = list(store.list("versions/")), list(store.list("archive/blobs/")), list(store.list("publications/"))
    assert after == before
    assert_all_is_found(store, versions)


def test_a_damaged_pack_is_named_and_nothing_is_removed_or_overwritten(store: LocalStore) -> None:
    versions = fill(store, 3)
    store.put_new(KEY, b"PAR1 no more", content_type="test")
    fill(store, 2, start=NEXT_HOUR)
    results = Packer(store, COLUMNS).pack("production", FEED, [HOUR, NEXT_HOUR])
    assert KEY in results[HOUR].unreadable[0]
    assert results[NEXT_HOUR].fetched == 2
    assert store.read(KEY) == b"PAR1 no more"
    assert all(store.stat(record_key("production", FEED, version.version_id)) for version in versions)


def test_a_record_that_cannot_be_read_is_told_and_the_others_are_packed(store: LocalStore) -> None:
    versions = fill(store, 3)
    with_newer(store)
    rotten = record_key("production", FEED, versions[1].version_id)
    (store.root / rotten).write_bytes(b"{rot")
    result = pack(store)
    assert result.fetched == 2
    assert [rotten in sentence for sentence in result.unreadable] == [True]
    assert (store.root / rotten).read_bytes() == b"{rot"


def test_a_snapshot_that_is_lost_is_told_and_the_others_are_packed(store: LocalStore) -> None:
    versions = fill(store, 3)
    with_newer(store)
    store.delete(blob_key(versions[1].body_digest))
    rotten = snapshot_key(published_of(versions[2], b"made of " + list(bodies(3))[2]))
    (store.root / rotten).write_bytes(b"rot")
    result = pack(store)
    assert (result.fetched, result.published) == (2, 2)
    assert len(result.unreadable) == 2
    assert versions[1].version_id in result.unreadable[0]
    assert rotten in result.unreadable[1]
    assert store.stat(record_key("production", FEED, versions[1].version_id))
    assert store.stat(rotten)


def test_an_hour_in_which_nothing_was_fetched_has_no_pack(store: LocalStore) -> None:
    with_newer(store)
    assert pack(store) == PackResult(key=None)
    assert store.stat(KEY) is None


def test_a_version_whose_clock_is_wrong_is_packed_in_the_hour_it_was_fetched_and_found(store: LocalStore) -> None:
    made_at = HOUR - timedelta(hours=8)
    version = Archive(store).save(version_of(b"wrong clock", HOUR, made_at=made_at), b"wrong clock")
    with_newer(store)
    assert pack(store).fetched == 1
    assert Archive(store).find("production", FEED, version.version_id) == version
    assert Archive(store).read(version) == b"wrong clock"


def test_a_version_that_came_back_after_it_was_packed_counts_once_with_the_newer_fetch(store: LocalStore) -> None:
    (version,) = fill(store, 1)
    newer = with_newer(store)
    pack(store)
    (body,) = bodies(1)
    again = version_of(body, NEXT_HOUR + timedelta(minutes=1), made_at=HOUR - timedelta(seconds=3))
    assert Archive(store).save(again, body) == again
    assert Archive(store).versions("production", FEED) == [newer, again]
    assert again.version_id == version.version_id


def test_the_newest_packed_version_is_the_latest_where_pointer_and_small_files_are_gone(store: LocalStore) -> None:
    versions = fill(store, 3)
    pack(store)
    store.delete(f"latest/production/{FEED}.json")
    store.delete(record_key("production", FEED, versions[2].version_id))
    assert Archive(store).latest("production", FEED) == versions[2]


def test_packing_imports_no_pandas_and_asking_what_waits_no_pyarrow(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.packing import Packer
from continuous_gtfs.artifacts.packs import Packs
from continuous_gtfs.artifacts.unpacked_hours import spans_to_pack
from continuous_gtfs_tests.artifacts.snapshots import COLUMNS, FEED, HOUR, fill
store = LocalStore(Path({str(tmp_path)!r}))
versions = fill(store, 3)
spans_to_pack(store, "production", [FEED], last=HOUR)
assert "pyarrow" not in sys.modules
assert Packer(store, COLUMNS).pack("production", FEED, [HOUR])[HOUR].fetched == 3
assert Packs(store).read(versions[0]) and len(Packs(store).published("production", FEED, HOUR)) == 3
print(sorted({{"pandas", "pyarrow"}} & set(sys.modules)))
"""
    seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert seen.returncode == 0, seen.stderr
    assert seen.stdout.strip() == "['pyarrow']"
