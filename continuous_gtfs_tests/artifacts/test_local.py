from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.errors import StoreError
from continuous_gtfs_tests.artifacts.children import (
    children,
    count_in_child,
    put_with_umask,
    replace_and_die,
    replace_as_nobody,
    replace_for_ever,
    replace_with_file_size_limit,
)
from continuous_gtfs_tests.artifacts.store_contract import TEXT, StoreContract


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, memory_path: Path) -> Store:
        return LocalStore(memory_path / "store")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="local-store-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_an_object_is_the_file_of_its_key(root: Path) -> None:
    LocalStore(root).put_new("schedule/production/gtfs.zip", b"zip", content_type="application/zip")
    assert (root / "schedule/production/gtfs.zip").read_bytes() == b"zip"


def test_nothing_is_touched_before_the_first_write(root: Path) -> None:
    store = LocalStore(root)
    assert store.stat("a") is None
    assert list(store.list("")) == []
    assert not root.exists()


def test_another_instance_and_a_relative_path_see_the_same_objects(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = LocalStore(root).put_new("a", b"one", content_type="test/one", cache_control="max-age=5")
    monkeypatch.chdir(root.parent)
    assert LocalStore(Path("store")).stat("a") == info


def test_files_are_readable_by_everybody_whatever_the_umask(root: Path) -> None:
    with children() as child:
        child.submit(put_with_umask, root, "a/b/c.pb", 0o077).result(timeout=60)
    for folder in (root, root / "a", root / "a/b"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "a/b/c.pb").stat().st_mode) == 0o644


def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    LocalStore(tmp_path / "store").put_new("a", b"one", content_type=TEXT)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_no_update_is_lost_between_processes(memory_path: Path) -> None:
    store = LocalStore(memory_path)
    store.replace("counter", b"0", if_generation=None, content_type=TEXT)
    with children(2) as pool:
        runs = [pool.submit(count_in_child, memory_path, "counter", 60) for _ in range(2)]
        for run in runs:
            run.result(timeout=60)
    assert store.read("counter") == b"120"


def test_a_file_copied_in_by_hand_is_an_object(root: Path) -> None:
    store = LocalStore(root)
    store.put_new("feeds/a.json", b"one", content_type="test/one")
    (root / "feeds/a.json").write_bytes(b"by hand")
    info = store.stat("feeds/a.json")
    assert info is not None
    assert (info.size, info.content_type) == (7, "application/json")
    store.replace("feeds/a.json", b"two", if_generation=info.generation, content_type="test/two")
    assert store.read("feeds/a.json") == b"two"


@pytest.mark.parametrize("damage", [b"", b'{"half": ', b"[]", b"\xff\xff"])
def test_a_damaged_sidecar_costs_only_the_content_type(root: Path, damage: bytes) -> None:
    store = LocalStore(root)
    before = store.put_new("a.json", b"one", content_type="test/one")
    sidecar = root / ".metadata/objects/.a.json.json"
    assert sidecar.exists()
    sidecar.write_bytes(damage)
    after = store.stat("a.json")
    assert after is not None
    assert (after.sha256, after.generation) == (before.sha256, before.generation)
    store.replace("a.json", b"two", if_generation=after.generation, content_type="test/two")
    healed = store.stat("a.json")
    assert healed is not None
    assert healed.content_type == "test/two"


@pytest.mark.parametrize(
    ("event", "nth", "survivor"),
    [
        ("os.utime", 1, b"old"),  # the data is written and synced, nothing refers to it
        ("os.rename", 1, b"old"),  # before the sidecar speaks of it
        ("os.rename", 2, b"old"),  # before the one moment
        ("os.remove", 2, b"new"),  # just after it
    ],
)
def test_a_writer_that_dies_leaves_the_old_object_or_the_new_one(
    root: Path, event: str, nth: int, survivor: bytes
) -> None:
    store = LocalStore(root)
    store.replace("a", b"old", if_generation=None, content_type="text/old", cache_control="old")
    with children() as child, pytest.raises(BrokenProcessPool):
        child.submit(replace_and_die, root, "a", b"new", event, nth).result(timeout=60)
    info = store.stat("a")
    assert store.read("a") == survivor
    assert info is not None
    assert (info.content_type, info.cache_control) == (f"text/{survivor.decode()}", survivor.decode())
    store.replace("a", b"next", if_generation=info.generation, content_type=TEXT)
    assert store.read("a") == b"next"


def test_a_writer_killed_at_any_moment_leaves_a_whole_object_and_no_lock(root: Path) -> None:
    started = root.parent / "started"
    for _ in range(3):
        started.unlink(missing_ok=True)
        writer = get_context("spawn").Process(target=replace_for_ever, args=(root, "a", str(started)))
        writer.start()
        while not started.exists():
            assert writer.is_alive(), "the writer ended by itself"
        writer.kill()
        writer.join(timeout=60)
        store = LocalStore(root)
        number = store.read("a").split(b" ", 1)[0]
        assert store.read("a") == number + b" " + (number + b" ") * 19_999
        info = store.stat("a")
        assert info is not None
        store.replace("a", store.read("a"), if_generation=info.generation, content_type=TEXT)


def test_what_a_dead_writer_left_half_written_is_swept_and_a_living_one_is_not(root: Path) -> None:
    LocalStore(root).put_new("a", b"one", content_type=TEXT)
    incoming = root / ".metadata/incoming"
    dead, young = incoming / "dead", incoming / "young"
    dead.write_bytes(b"half")
    os.utime(dead, (1, 1))
    young.write_bytes(b"just begun")
    LocalStore(root).put_new("b", b"two", content_type=TEXT)
    assert [path.name for path in incoming.iterdir()] == ["young"]


def test_a_full_disk_is_explained_and_leaves_the_old_object(root: Path) -> None:
    store = LocalStore(root)
    before = store.put_new("feeds/a.zip", b"old", content_type=TEXT)
    with children() as child:
        message = child.submit(replace_with_file_size_limit, root, "feeds/a.zip", 200_000, 50_000).result(timeout=60)
    assert f"cannot write {root}/feeds/a.zip: File too large" in message
    assert "free space" in message
    assert store.read("feeds/a.zip") == b"old"
    assert store.stat("feeds/a.zip") == before
    assert list((root / ".metadata/incoming").iterdir()) == []


def test_a_folder_without_the_right_to_write_is_explained_and_leaves_the_old_object(open_folder: Path) -> None:
    store = LocalStore(open_folder)
    store.put_new("a", b"old", content_type=TEXT)
    locked = [open_folder, open_folder / ".metadata/incoming", open_folder / ".metadata/objects"]
    for folder in locked:
        folder.chmod(0o555)
    with children() as child:
        message = child.submit(replace_as_nobody, open_folder, "a").result(timeout=60)
    for folder in locked:
        folder.chmod(0o755)
    assert f"cannot write {open_folder}/a: Permission denied" in message
    assert "the right to write there" in message
    assert store.read("a") == b"old"


def test_a_root_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(StoreError, match=r"cannot write .*/file/store/a: Not a directory"):
        LocalStore(tmp_path / "file" / "store").put_new("a", b"one", content_type=TEXT)


def test_an_object_where_a_folder_is_needed_is_explained(root: Path) -> None:
    store = LocalStore(root)
    store.put_new("a", b"one", content_type=TEXT)
    store.put_new("folder/b", b"two", content_type=TEXT)
    with pytest.raises(StoreError, match="cannot write"):
        store.put_new("a/below", b"three", content_type=TEXT)
    with pytest.raises(StoreError, match="cannot write"):
        store.put_new("folder", b"four", content_type=TEXT)
    assert store.read("a") == b"one"
    assert store.read("folder/b") == b"two"
