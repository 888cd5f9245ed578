from __future__ import annotations

from datetime import UTC, datetime

import pytest

from continuous_gtfs.realtime.guards import has_entities, header_age
from continuous_gtfs_tests.realtime.captures import feed_message, vehicle

HEADER = 1_700_000_000


@pytest.mark.parametrize(
    ("age_s", "is_passed", "told"),
    [
        (0, True, "0 s old"),
        (90, True, "90 s old"),
        (90.5, False, "90 s old; at most 90 s"),
        (7_200, False, "7200 s old"),
        (-90, True, "90 s in the future"),
        (-91, False, "91 s in the future"),
    ],
)
def test_a_header_may_be_as_far_from_now_as_the_limit(age_s: float, is_passed: bool, told: str) -> None:
    result = header_age(feed_message(), now=datetime.fromtimestamp(HEADER + age_s, UTC), max_age_s=90)
    assert (result.passed, result.value, result.threshold) == (is_passed, age_s, 90)
    assert told in result.message


def test_a_header_without_timestamp_is_no_fresh_one() -> None:
    result = header_age(feed_message(timestamp=0), now=datetime.fromtimestamp(0, UTC), max_age_s=90)
    assert not result.passed
    assert result.value is None
    assert "no timestamp" in result.message


@pytest.mark.parametrize("timestamp", [HEADER * 1000, 2**64 - 1])
def test_a_timestamp_in_milliseconds_is_recognised(timestamp: int) -> None:
    now = datetime.fromtimestamp(HEADER, UTC)
    result = header_age(feed_message(timestamp=timestamp), now=now, max_age_s=90)
    assert not result.passed
    assert "milliseconds?" in result.message


@pytest.mark.parametrize(
    ("published_entities", "trips_running", "is_passed"),
    [
        (None, 0, True),
        (25, 0, True),
        (0, 0, True),
        (None, 12, False),
        (25, 12, False),
        (0, 12, False),
        (None, None, True),
        (0, None, True),
        (25, None, False),
    ],
)
def test_an_empty_feed_passes_only_where_nothing_should_be_in_it(
    published_entities: int | None, trips_running: int | None, is_passed: bool
) -> None:
    result = has_entities(feed_message(), published_entities=published_entities, trips_running=trips_running)
    assert (result.passed, result.value) == (is_passed, 0)
    assert result.threshold == (0 if is_passed else 1)


def test_a_feed_with_an_entity_passes_whatever_runs() -> None:
    for trips_running in (None, 0, 12):
        result = has_entities(feed_message(vehicle("v", "a")), published_entities=9, trips_running=trips_running)
        assert result.passed
        assert result.value == 1


def test_deleted_entities_do_not_keep_a_feed_alive() -> None:
    result = has_entities(feed_message({"is_deleted": True}), published_entities=None, trips_running=3)
    assert not result.passed


def test_the_reason_is_told_in_numbers() -> None:
    lost = has_entities(feed_message(), published_entities=25, trips_running=12)
    assert lost.message == "the feed has no entities; by the published schedule 12 trips run now"
    unknown = has_entities(feed_message(), published_entities=25, trips_running=None)
    assert "the feed that is live has 25 entities" in unknown.message
