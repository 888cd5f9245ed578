"""Whether an answer that is older than the version in hand is left alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from continuous_gtfs.defs.cursor import FeedMemory
from continuous_gtfs.defs.older_answers import (
    BELIEVED_AFTER,
    BELIEVED_AFTER_S,
    is_older,
    is_to_be_left_alone,
    note_older,
)
from continuous_gtfs.versions import FeedVersion

NOW = 1_800_000_000


def version(header_timestamp: int | None) -> FeedVersion:
    return FeedVersion(
        environment="production",
        feed="vehicle_positions",
        version_id=f"{header_timestamp or 0}-000000000000",
        content_digest="",
        body_digest="",
        body_bytes=1,
        fetched_at=datetime.fromtimestamp(NOW, UTC),
        header_timestamp=header_timestamp,
    )


@pytest.mark.parametrize(
    ("answered", "held", "expected"),
    [
        (NOW - 40, NOW - 20, True),
        (NOW - 20, NOW - 20, False),
        (NOW, NOW - 20, False),
        (NOW - 40, NOW + 30, True),
        (NOW, NOW + 3600, False),
        (NOW, NOW * 1000, False),
        (0, NOW, False),
        (None, NOW, False),
        (NOW, None, False),
    ],
    ids=["lags", "same second", "newer", "clock a bit ahead", "future", "milliseconds", "zero", "none", "none held"],
)
def test_what_is_older_goes_by_two_headers_that_can_be_true(
    answered: int | None, held: int | None, expected: bool
) -> None:
    assert is_older(version(answered), version(held)) is expected


def test_without_a_version_in_hand_nothing_is_older() -> None:
    assert not is_to_be_left_alone(FeedMemory(), version(NOW), now=NOW)


def left_alone(every_s: float, count: int) -> list[bool]:
    """What becomes of each of ``count`` older answers in a row."""
    memory, told = FeedMemory(version=version(NOW)), []
    for number in range(count):
        now = NOW + number * every_s
        told.append(is_to_be_left_alone(memory, version(NOW - 20), now=now))
        note_older(memory, now=now)
    return told


def test_a_vendor_is_believed_after_many_answers_and_a_while_not_after_one_of_them() -> None:
    assert all(left_alone(every_s=1, count=int(BELIEVED_AFTER_S)))
    assert left_alone(every_s=1, count=int(BELIEVED_AFTER_S) + 1)[-1] is False
    assert left_alone(every_s=BELIEVED_AFTER_S, count=BELIEVED_AFTER) == [True] * (BELIEVED_AFTER - 1) + [False]


def test_a_clock_that_was_set_back_does_not_put_it_off() -> None:
    memory = FeedMemory(version=version(NOW))
    note_older(memory, now=NOW + 86400)
    for number in range(BELIEVED_AFTER):
        note_older(memory, now=NOW + number)
    assert not is_to_be_left_alone(memory, version(NOW - 20), now=NOW + BELIEVED_AFTER_S)
