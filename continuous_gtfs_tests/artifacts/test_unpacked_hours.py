"""Which hours are to be packed: the last one in any case, and whatever was left behind."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.packing import Packer
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
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
