"""Empty folders of a local store: which go, and that no writer is disturbed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.local_folders import remove_empty_folders


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def put(store: LocalStore, key: str) -> None:
    store.put_new(key, key.encode(), content_type="text/plain")


def test_a_branch_that_is_empty_goes_with_its_sidecars_and_everything_else_stays(store: LocalStore) -> None:
    put(store, "publications/production/alerts/2026-03-01T08/one")
    put(store, "versions/production/alerts/two")
    store.delete("publications/production/alerts/2026-03-01T08/one")
    assert remove_empty_folders(store, now=time.time()) == 0, "what has just changed is left alone"
    assert remove_empty_folders(store, now=time.time() + 7200, is_dry_run=True) == 8
    assert (store.root / "publications").is_dir()
    assert remove_empty_folders(store, now=time.time() + 7200) == 8
    assert not (store.root / "publications").exists()
    assert not (store.root / ".metadata/objects/publications").exists()
    assert store.read("versions/production/alerts/two") == b"versions/production/alerts/two"
    put(store, "publications/production/alerts/2026-03-01T09/three")


def test_a_store_that_is_no_folder_has_none() -> None:
    class Elsewhere:
        """Has no folder."""

    assert remove_empty_folders(Elsewhere(), now=0.0) == 0  # type: ignore[arg-type]


def test_no_write_fails_while_folders_are_removed_under_it(store: LocalStore) -> None:
    is_over = threading.Event()

    def remove() -> None:
        while not is_over.is_set():
            remove_empty_folders(store, now=time.time(), older_than_s=-3600.0)

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for number in range(150):
            key = f"a/{number % 3}/b/object"
            put(store, key)
            assert store.read(key) == key.encode()
            store.delete(key)
    finally:
        is_over.set()
        remover.join()
    remove_empty_folders(store, now=time.time(), older_than_s=-3600.0)
    assert [path.name for path in store.root.iterdir()] == [".metadata"]
