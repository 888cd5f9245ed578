"""Publishing while writers die and race. Every point between two store calls is tried, not a sample of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs_tests.artifacts.children import children, publish_in_child
from continuous_gtfs_tests.artifacts.publishing import (
    EXTENSIONS,
    CrashError,
    WatchedStore,
    assert_live,
    assert_whole,
    crash_at,
    number_of,
    publish_numbered,
)

NAME = "realtime/production/trip_updates"


def store_with(root: Path, numbers: range) -> LocalStore:
    store = LocalStore(root)
    for number in numbers:
        publish_numbered(Publisher(store), NAME, number, keep_versions=1)
    return store


@pytest.mark.parametrize("is_done", [False, True], ids=["before_the_call", "answer_lost"])
@pytest.mark.parametrize("published", [0, 3], ids=["first", "with_history"])
def test_a_crash_at_any_call_leaves_whole_objects_and_publishing_again_repairs(
    memory_path: Path, published: int, is_done: bool
) -> None:
    crashes = 0
    while True:
        store = store_with(memory_path / str(crashes), range(1, published + 1))
        crash = crash_at(crashes + 1)
        crashing = WatchedStore(store, after=crash) if is_done else WatchedStore(store, before=crash)
        try:
            publish_numbered(Publisher(crashing), NAME, 9, keep_versions=1)
        except CrashError:
            crashes += 1
        else:
            break
        assert_whole(store, NAME)
        assert publish_numbered(Publisher(store), NAME, 9, keep_versions=1).outcome in ("published", "unchanged")
        assert_live(store, NAME, 9)
        publish_numbered(Publisher(store), NAME, 10, keep_versions=1)
        publish_numbered(Publisher(store), NAME, 11, keep_versions=1)
        left = {key.rpartition("/")[2] for key in store.list("realtime/production/versions/")}
        assert left == {f"v{number}.{extension}" for number in (9, 10, 11) for extension in EXTENSIONS}
    assert crashes >= 10


@pytest.mark.parametrize(("outer", "inner"), [(8, 9), (9, 8)], ids=["newer_inside_older", "older_inside_newer"])
@pytest.mark.parametrize("inner_calls", [None, 8, 9, 10])
def test_the_newer_wins_wherever_two_publishers_meet(
    memory_path: Path, outer: int, inner: int, inner_calls: int | None
) -> None:
    """The inner publisher runs between two calls of the outer one; whole, or dying after some calls."""
    meetings = 0
    while True:
        store = store_with(memory_path / str(meetings), range(1, 2))
        inner_store = store if inner_calls is None else WatchedStore(store, before=crash_at(inner_calls))

        def interrupt(number: int, method: str, key: str, at: int = meetings + 1) -> None:
            if number == at:
                with suppress(CrashError):
                    publish_numbered(Publisher(inner_store), NAME, inner)  # noqa: B023 - called in this turn

        meeting = WatchedStore(store, before=interrupt)
        publish_numbered(Publisher(meeting), NAME, outer)
        if meeting.calls <= meetings:
            break
        meetings += 1
        assert_whole(store, NAME)
        if outer == 9 or inner_calls is None:
            assert_live(store, NAME, 9)
        else:
            # The newer one died: what it decided holds, and its rerun finishes it.
            publish_numbered(Publisher(store), NAME, 9)
            assert_live(store, NAME, 9)
    assert meetings >= 10


def test_a_loser_cannot_slip_in_where_its_rival_came_back_to_the_same_bytes(memory_path: Path) -> None:
    """A, then B, then A again: B's writer read the stable object when it already held A's bytes."""
    store = store_with(memory_path, range(1, 2))

    def come_back(number: int, method: str, key: str) -> None:
        if (method, key) == ("replace", f"{NAME}.pb"):
            assert publish_numbered(Publisher(store), NAME, 1, order=3).outcome == "published"

    late = publish_numbered(Publisher(WatchedStore(store, before=come_back)), NAME, 2)
    assert late.outcome == "superseded"
    assert late.manifest.label == "v1"
    assert_live(store, NAME, 1)


def test_an_expired_version_going_live_again_is_never_deleted_on_the_way(memory_path: Path) -> None:
    crashes = 0
    while True:
        store = LocalStore(memory_path / str(crashes))
        for number in (1, 2, 3):
            publish_numbered(Publisher(store), NAME, number, keep_versions=0)
        crashing = WatchedStore(store, before=crash_at(crashes + 1))
        try:
            publish_numbered(Publisher(crashing), NAME, 2, order=4, keep_versions=0)
        except CrashError:
            crashes += 1
        else:
            break
        assert_whole(store, NAME)
    assert crashes >= 10


def test_a_version_that_a_rival_retired_meanwhile_is_put_back(memory_path: Path) -> None:
    store = LocalStore(memory_path)
    for number in (1, 2, 3):
        publish_numbered(Publisher(store), NAME, number, keep_versions=0)

    def retire(number: int, method: str, key: str) -> None:
        if number == 8:
            publish_numbered(Publisher(store), NAME, 4, keep_versions=0)
            assert store.stat("realtime/production/versions/trip_updates/v2.pb") is None

    publication = publish_numbered(Publisher(WatchedStore(store, before=retire)), NAME, 2, order=5, keep_versions=0)
    assert publication.outcome == "published"
    assert_live(store, NAME, 2)


def test_what_was_live_and_is_retired_meanwhile_is_there_before_the_manifest_names_it_again(memory_path: Path) -> None:
    """The rival runs between two calls of the publisher, which is about to repeat what is live."""
    meetings, were_retired = 0, 0
    while True:
        store = store_with(memory_path / str(meetings), range(1, 2))

        def retire(number: int, method: str, key: str, at: int = meetings + 1) -> None:
            nonlocal were_retired
            if number == at:
                for rival in (2, 3, 4):
                    publish_numbered(Publisher(store), NAME, rival, keep_versions=0)  # noqa: B023 - called in this turn
                were_retired += store.stat("realtime/production/versions/trip_updates/v1.pb") is None  # noqa: B023

        def look(number: int, method: str, key: str) -> None:
            assert_whole(store, NAME)  # noqa: B023 - called in this turn

        meeting = WatchedStore(store, before=retire, after=look)
        publication = publish_numbered(Publisher(meeting), NAME, 1, order=9, keep_versions=0)
        if meeting.calls <= meetings:
            break
        meetings += 1
        assert publication.outcome in ("published", "unchanged")
    assert meetings >= 5
    assert were_retired >= 3


def test_a_rollback_wins_against_a_publisher_on_its_way(memory_path: Path) -> None:
    store = store_with(memory_path, range(1, 3))

    def roll_back(number: int, method: str, key: str) -> None:
        if (method, key) == ("replace", f"{NAME}.json"):
            publish_numbered(Publisher(store), NAME, 1, force_older=True)

    late = publish_numbered(Publisher(WatchedStore(store, before=roll_back)), NAME, 3)
    assert late.outcome == "superseded"
    assert_live(store, NAME, 1)


class Watcher(threading.Thread):
    """Reads files as a static server's clients do, all the time, and keeps what went wrong."""

    def __init__(self, paths: list[Path], judge: Callable[[bytes], int]) -> None:
        super().__init__(daemon=True)
        self.paths = paths
        self.judge = judge
        self.has_begun = threading.Event()
        self.is_over = threading.Event()
        self.seen: dict[Path, list[int]] = {path: [] for path in paths}
        self.failure: AssertionError | None = None

    def run(self) -> None:
        try:
            is_last_look = False
            while not is_last_look:
                is_last_look = self.is_over.is_set()
                for path in self.paths:
                    number = self.judge(path.read_bytes())
                    if self.seen[path][-1:] != [number]:
                        self.seen[path].append(number)
                self.has_begun.set()
        except AssertionError as error:
            self.failure = error


def test_racing_processes_leave_the_newest_and_readers_see_only_whole_objects_in_order(memory_path: Path) -> None:
    store = store_with(memory_path / "store", range(1, 2))
    watcher = Watcher([store.root / f"{NAME}.{extension}" for extension in EXTENSIONS], number_of)
    with children(2) as pool:
        # Both interpreters are up before the race begins.
        for ready in [pool.submit(publish_in_child, store.root, "warm/up", [1]) for _ in range(2)]:
            ready.result(timeout=60)
        watcher.start()
        assert watcher.has_begun.wait(timeout=60)
        races = [
            pool.submit(publish_in_child, store.root, NAME, list(range(2, 82, 2))),
            pool.submit(publish_in_child, store.root, NAME, list(range(3, 83, 2))),
        ]
        outcomes = [race.result(timeout=60) for race in races]
    watcher.is_over.set()
    watcher.join(timeout=60)
    assert watcher.failure is None
    assert_live(store, NAME, 81)
    assert_whole(store, NAME)
    assert "published" in outcomes[0]
    assert outcomes[1][-1] == "published"
    for numbers in watcher.seen.values():
        assert numbers == sorted(numbers)
        assert (numbers[0], numbers[-1]) == (1, 81)


def test_racing_threads_of_one_process_leave_the_newest(memory_path: Path) -> None:
    store = store_with(memory_path / "store", range(1, 2))
    publisher = Publisher(store)

    def publish_all(numbers: list[int]) -> None:
        for number in numbers:
            publish_numbered(publisher, NAME, number)

    writers = [threading.Thread(target=publish_all, args=(list(range(2 + k, 32 + k, 3)),)) for k in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
    assert_live(store, NAME, 31)
    assert_whole(store, NAME)
