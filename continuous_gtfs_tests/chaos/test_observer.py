"""The reader of a chaos run sees what it is there to see: torn, older, unnamed and repeated objects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import PublicationObject, Publisher
from continuous_gtfs_tests.chaos.observer import Observer
from continuous_gtfs_tests.chaos.timeline import Timeline
from continuous_gtfs_tests.end_to_end.deployment import wait_for

NAME = "realtime/qa/trip_updates"


def message(timestamp: int) -> bytes:
    feed = FeedMessage()
    feed.header.gtfs_realtime_version = "2.0"
    feed.header.timestamp = timestamp
    return bytes(feed.SerializeToString())


def publish(store: LocalStore, timestamp: int, *, label: str | None = None, is_older_meant: bool = False) -> None:
    Publisher(store).publish(
        NAME,
        [PublicationObject(extension="pb", data=message(timestamp), content_type="application/x-protobuf")],
        label=label or str(timestamp),
        order=timestamp,
        manifest={},
        now=datetime.now(UTC),
        force_older=is_older_meant,
    )


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
def observer(store: LocalStore, timeline: Timeline) -> Iterator[Observer]:
    publish(store, 1000)
    observer = Observer(store.root, "127.0.0.1:9", timeline)
    with observer.watching():
        wait_for(lambda: observer.header(NAME) == 1000 and observer.live(NAME), what="the first look")
        yield observer


def test_what_is_published_in_order_is_nothing_to_tell(
    observer: Observer, store: LocalStore, timeline: Timeline
) -> None:
    publish(store, 1001)
    wait_for(lambda: observer.header(NAME) == 1001, what="the second look")
    assert [*timeline.faults, *observer.unnamed(), *observer.came_back()] == []


def test_a_torn_object_is_told(observer: Observer, store: LocalStore, timeline: Timeline) -> None:
    (store.root / f"{NAME}.pb").write_bytes(message(1001)[:-1])
    wait_for(lambda: any("is torn" in fault for fault in timeline.faults), what="the torn object")


def test_an_older_object_after_a_newer_one_is_told(observer: Observer, store: LocalStore, timeline: Timeline) -> None:
    (store.root / f"{NAME}.pb").write_bytes(message(999))
    wait_for(lambda: any("went back from 1000 to 999" in fault for fault in timeline.faults), what="the older one")
    assert any(NAME in line for line in observer.unnamed()), "no manifest names it either"


def test_a_manifest_that_goes_back_is_told(observer: Observer, store: LocalStore, timeline: Timeline) -> None:
    publish(store, 900, is_older_meant=True)
    wait_for(lambda: any("went back: 1000 -> 900" in fault for fault in timeline.faults), what="the older manifest")


def test_a_manifest_that_names_what_is_not_there_is_told(
    observer: Observer, store: LocalStore, timeline: Timeline
) -> None:
    publish(store, 1001)
    manifest = store.root / f"{NAME}.manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"trip_updates/1001.pb", b"trip_updates/1002.pb"))
    wait_for(lambda: any("do not exist" in fault for fault in timeline.faults), what="the missing object")


def test_a_label_that_comes_back_is_told(observer: Observer, store: LocalStore) -> None:
    publish(store, 1001)
    wait_for(lambda: observer.header(NAME) == 1001, what="its successor")
    assert observer.came_back() == []
    publish(store, 1000, is_older_meant=True)
    wait_for(lambda: [line for line in observer.came_back() if "1000 was published twice" in line], what="its return")
