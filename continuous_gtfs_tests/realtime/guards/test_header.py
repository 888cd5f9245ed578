from __future__ import annotations

from datetime import UTC, datetime

import pytest

from continuous_gtfs.realtime.guards.header import header_age, header_ahead, header_back, is_full_dataset
from continuous_gtfs_tests.realtime.captures import feed_message

HEADER = 1_700_000_000


def at(age_s: float) -> datetime:
    return datetime.fromtimestamp(HEADER + age_s, UTC)


@pytest.mark.parametrize(
    ("age_s", "is_passed", "told"),
    [
        (0, True, "0 s old"),
        (90, True, "90 s old"),
        (90.5, False, "90 s old; at most 90 s"),
        (7_200, False, "7200 s old"),
        (-500, True, "0 s old"),
    ],
)
def test_a_header_may_be_as_old_as_the_limit(age_s: float, is_passed: bool, told: str) -> None:
    result = header_age(feed_message(), now=at(age_s), max_age_s=90)
    assert (result.passed, result.value, result.threshold) == (is_passed, age_s, 90)
    assert told in result.message


@pytest.mark.parametrize(("ahead_s", "is_passed"), [(-5, True), (0, True), (30, True), (30.5, False), (3_600, False)])
def test_a_header_may_be_ahead_by_a_limit_of_its_own(ahead_s: float, is_passed: bool) -> None:
    result = header_ahead(feed_message(), now=at(-ahead_s), max_ahead_s=30)
    assert (result.passed, result.value, result.threshold) == (is_passed, ahead_s, 30)
    assert ("in the future; at most 30 s" in result.message) == (ahead_s > 0)


def test_a_header_without_timestamp_is_no_fresh_one() -> None:
    result = header_age(feed_message(timestamp=0), now=datetime.fromtimestamp(0, UTC), max_age_s=90)
    assert not result.passed
    assert result.value is None
    assert "no timestamp" in result.message


@pytest.mark.parametrize(
    ("timestamp", "unit"),
    [
        (HEADER * 10**3, "milliseconds"),
        (HEADER * 10**6, "microseconds"),
        (HEADER * 10**9, "nanoseconds"),
        (2**64 - 1, "nanoseconds"),
    ],
)
def test_a_timestamp_in_a_finer_unit_is_named_as_such(timestamp: int, unit: str) -> None:
    message = feed_message(timestamp=timestamp)
    result = header_age(message, now=at(0), max_age_s=90)
    assert not result.passed
    assert f"is in {unit}; the spec wants POSIX seconds" in result.message
    ahead = header_ahead(message, now=at(0), max_ahead_s=30)
    assert (ahead.passed, ahead.value) == (True, None), "one fault is told once"


@pytest.mark.parametrize(
    ("live_timestamp", "max_back_s", "is_passed", "value"),
    [
        (HEADER - 20, 0, True, 0),
        (HEADER, 0, True, 0),
        (HEADER + 1, 0, False, 1),
        (HEADER + 10, 10, True, 10),
        (HEADER + 11, 10, False, 11),
        (None, 0, True, None),
    ],
)
def test_the_header_does_not_go_back_from_what_is_live(
    live_timestamp: int | None, max_back_s: float, is_passed: bool, value: float | None
) -> None:
    result = header_back(feed_message(), live_timestamp=live_timestamp, max_back_s=max_back_s)
    assert (result.passed, result.value) == (is_passed, value)
    assert ("the feed has gone back in time" in result.message) == bool(value)


def test_a_differential_feed_is_refused_with_what_to_ask_for() -> None:
    assert is_full_dataset(feed_message()).passed
    assert is_full_dataset(feed_message(incrementality="FULL_DATASET")).passed
    refused = is_full_dataset(feed_message(incrementality="DIFFERENTIAL"))
    assert not refused.passed
    assert "ask the vendor for FULL_DATASET" in refused.message
