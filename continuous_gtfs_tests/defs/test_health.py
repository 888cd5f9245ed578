"""What the two checks of a feed are told: that the vendor answers, and that the feed moves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from continuous_gtfs import names
from continuous_gtfs.defs.cursor import FeedMemory
from continuous_gtfs.defs.health import FeedHealth, note_answer, note_failure
from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.versions import FeedVersion

SOURCE = FeedSource(
    environment="production",
    feed="trip_updates",
    kind=FeedKind.REALTIME,
    url="http://vendor.invalid",
    poll_every_s=5.0,
    timeout_s=1.0,
    max_bytes=1000,
    frozen_after_polls=10,
)


def version(version_id: str, header_timestamp: int | None) -> FeedVersion:
    return FeedVersion(
        environment="production",
        feed="trip_updates",
        version_id=version_id,
        content_digest="",
        body_digest="",
        body_bytes=1,
        fetched_at=datetime(2026, 11, 24, tzinfo=UTC),
        header_timestamp=header_timestamp,
    )


def answering(header_timestamp: int | None = 1_700_000_000) -> FeedMemory:
    """A feed that has been reported as answering, seen once, at POSIX second 0."""
    memory = FeedMemory(version=version("1", header_timestamp), reported_failing=False)
    assert note_answer(SOURCE, memory, now=0.0) == []
    return memory


def answers(memory: FeedMemory, count: int, every_s: float, source: FeedSource = SOURCE) -> list[FeedHealth]:
    """What is told over so many more answers."""
    told = []
    for number in range(1, count + 1):
        told += note_answer(source, memory, now=number * every_s)
    return told


def test_a_feed_that_stands_still_is_reported_once_and_so_is_its_recovery() -> None:
    memory = answering()
    (told,) = answers(memory, count=30, every_s=6.0)
    assert (told.check, told.is_failing) == (names.VENDOR_FEED_MOVES_CHECK, True)
    assert "1700000000 (2023-11-14T22:13:20+00:00) for 60 s in 10 answers" in told.message
    memory.version = version("2", 1_700_000_180)
    (told,) = note_answer(SOURCE, memory, now=200.0)
    assert (told.check, told.is_failing) == (names.VENDOR_FEED_MOVES_CHECK, False)
    assert memory.unmoved == 0


def test_a_first_movement_is_reported_and_later_ones_are_not() -> None:
    memory = answering()
    memory.version = version("2", 1_700_000_020)
    (told,) = note_answer(SOURCE, memory, now=20.0)
    assert not told.is_failing
    memory.version = version("3", 1_700_000_040)
    assert note_answer(SOURCE, memory, now=40.0) == []


def test_many_answers_in_a_short_time_are_no_standstill_and_neither_are_few_in_a_long_one() -> None:
    assert answers(answering(), count=100, every_s=0.4) == []
    assert answers(answering(), count=9, every_s=60.0) == []


def test_other_bytes_under_the_same_timestamp_are_no_movement() -> None:
    memory, told = answering(), []
    for number in range(1, 12):
        memory.version = version(str(number), 1_700_000_000)
        told += note_answer(SOURCE, memory, now=number * 6.0)
    assert [each.is_failing for each in told] == [True]


@pytest.mark.parametrize("absent", [None, 0])
def test_a_feed_without_timestamps_moves_by_its_bytes(absent: int | None) -> None:
    memory = answering(header_timestamp=absent)
    memory.version = version("2", absent)
    assert [each.is_failing for each in note_answer(SOURCE, memory, now=20.0)] == [False]
    (told,) = answers(memory, count=20, every_s=10.0)
    assert "without a header timestamp" in told.message


def test_answers_that_could_not_tell_say_nothing_of_movement() -> None:
    memory = answering()
    for _ in range(30):
        note_failure(SOURCE, memory, kind="timeout", reason="none", is_permanent=False, failing_after=2)
    assert memory.unmoved == 0
    assert [each.check for each in note_answer(SOURCE, memory, now=1000.0)] == [names.VENDOR_ANSWERS_CHECK]


def test_a_schedule_may_stand_still_for_weeks() -> None:
    schedule = replace(SOURCE, feed="schedule", kind=FeedKind.SCHEDULE)
    memory = FeedMemory(version=version("1", None), reported_failing=False)
    assert answers(memory, count=100, every_s=3600.0, source=schedule) == []


def test_a_clock_that_was_set_back_does_not_hide_a_standstill() -> None:
    memory = answering()
    memory.moved_at = 1_000_000.0
    assert [each.is_failing for each in answers(memory, count=12, every_s=6.0)] == [True]


def test_a_header_timestamp_that_is_no_date_is_told_as_it_is() -> None:
    memory = answering(header_timestamp=2**60)
    (told,) = answers(memory, count=12, every_s=6.0)
    assert f"{2**60} for" in told.message
