"""Which hours are to be packed: the last one in any case, and whatever was left behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.archive import Archive, blob_key, record_key
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.packing import Packer
from continuous_gtfs.artifacts.packs import hour_of, pack_key
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots, snapshot_key
from continuous_gtfs.artifacts.unpacked_hours import Span, spans_to_pack
from continuous_gtfs_tests.artifacts.publishing import WatchedStore
from continuous_gtfs_tests.artifacts.snapshots import COLUMNS, FEED, HOUR, fill, published_of, version_of


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


@pytest.fixture
def store(memory_path: Path) -> LocalStore:
    store = LocalStore(memory_path / "archive")
    save(store, 0.05)
    return store


def save(store: LocalStore, hours_after: float, *, clock_is_ahead: float = 0) -> str:
    """A version fetched so many hours after the last complete hour ended."""
    at = HOUR + hours(1 + hours_after)
    body = b"%f" % hours_after
    version = version_of(body, at, made_at=at + hours(clock_is_ahead) - timedelta(seconds=3))
    return Archive(store).save(version, body).version_id


def spans(store: LocalStore, **options: set[tuple[str, str]]) -> list[Span]:
    return spans_to_pack(store, "production", [FEED, "trip_updates"], last=HOUR, **options)


def test_the_last_complete_hour_is_packed_whether_something_waits_or_not(store: LocalStore) -> None:
    assert spans(store) == [(HOUR, HOUR)]
    save(store, -0.5)
    assert spans(store) == [(HOUR, HOUR)]


def test_hours_that_were_missed_are_caught_up_with(store: LocalStore) -> None:
    for number in (-3.5, -5.5):
        save(store, number)
    assert spans(store) == [(HOUR - hours(5), HOUR)]


def test_what_is_older_than_a_day_is_caught_up_with_from_its_newest_on(store: LocalStore) -> None:
    for number in (-2.5, -30.5, -50.5, -60.5):
        save(store, number)
    newest = HOUR - hours(30)
    assert spans(store) == [(HOUR - hours(2), HOUR), (newest - hours(23), newest)]


def test_after_some_rounds_nothing_waits(store: LocalStore) -> None:
    for number in range(80):
        save(store, -number - 0.5)
    rounds = 0
    while spans(store) != [(HOUR, HOUR)]:
        rounds += 1
        for first, last in spans(store):
            within = [first + hours(number) for number in range((last - first) // hours(1) + 1)]
            Packer(store, COLUMNS).pack("production", FEED, within)
    assert rounds <= 4
    assert len(list(store.list("versions/"))) <= 2


@pytest.mark.parametrize("lost", ["bytes", "record", "publication", "pack"])
def test_what_can_never_be_packed_holds_up_nothing_but_itself(store: LocalStore, lost: str) -> None:
    bad = save(store, -30.5)
    others = {save(store, number) for number in (-60.5, -100.5, -100.6, -150.5)}
    version = Archive(store).find("production", FEED, bad)
    assert version is not None
    snapshot = published_of(version, b"made")
    keys = {
        "bytes": blob_key(version.body_digest),
        "record": record_key("production", FEED, bad),
        "publication": snapshot_key(snapshot),
        "pack": pack_key("production", FEED, hour_of(version.fetched_at)),
    }
    if lost == "publication":
        PublishedSnapshots(store).save(snapshot, b"made")
    elif lost == "pack":
        store.put_new(keys[lost], b"", content_type="test")
    (store.root / keys[lost]).write_bytes(b"{rot")
    for number in range(24):
        for first, last in spans_to_pack(store, "production", [FEED], last=HOUR + hours(number)):
            within = [first + hours(number) for number in range((last - first) // hours(1) + 1)]
            Packer(store, COLUMNS).pack("production", FEED, within)
    left = {key.rpartition("/")[2].removesuffix(".json") for key in store.list("versions/")}
    assert not left & others
    assert (store.root / keys[lost]).read_bytes() == b"{rot"


def test_a_version_in_milliseconds_is_waited_for_like_another(store: LocalStore) -> None:
    at = HOUR - hours(2.5)
    version = version_of(b"fine", at)
    version = replace(version, version_id=f"{int(at.timestamp() * 1000)}-{version.body_digest[:12]}")
    Archive(store).save(version, b"fine")
    save(store, -50.5)
    assert spans(store)[0] == (HOUR - hours(3), HOUR)


def test_a_version_made_before_the_hour_and_fetched_in_it_is_of_that_hour(store: LocalStore) -> None:
    save(store, -1)
    assert spans(store) == [(HOUR, HOUR)]
    save(store, -2)
    assert spans(store) == [(HOUR - hours(1), HOUR)]


@pytest.mark.parametrize("clock_is_ahead", [-40, -8, 3])
def test_a_wrong_clock_moves_no_version_out_of_the_hour_it_was_fetched_in(
    store: LocalStore, clock_is_ahead: float
) -> None:
    save(store, -4.5, clock_is_ahead=clock_is_ahead)
    assert spans(store) == [(HOUR - hours(4), HOUR)]


def test_the_newest_version_and_those_that_are_kept_are_not_waited_for(memory_path: Path) -> None:
    store = LocalStore(memory_path / "frozen")
    kept = save(store, -9.5)
    save(store, -8.5)
    assert spans(store, kept={(FEED, kept)}) == [(HOUR, HOUR)]
    assert spans(store) == [(HOUR - hours(9), HOUR)]


def test_publications_that_came_late_are_waited_for(store: LocalStore) -> None:
    for number in (-6.5, -49.5):
        at = HOUR + hours(1 + number)
        PublishedSnapshots(store).save(published_of(version_of(b"made", at), b"made"), b"made")
    assert spans(store) == [(HOUR - hours(6), HOUR), (HOUR - hours(72), HOUR - hours(49))]


def test_few_records_are_read(store: LocalStore) -> None:
    fill(store, 180)
    fill(store, 170, start=HOUR + hours(1))
    watched = WatchedStore(store)
    spans_to_pack(watched, "production", [FEED], last=HOUR)
    assert watched.calls < 10
