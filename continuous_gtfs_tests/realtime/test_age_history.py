from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.realtime.age_history import KEPT_MINUTES, AgeHistory, MinuteOfAges

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = int(NOON.timestamp()) // 60


def history(*publications: tuple[float, float]) -> AgeHistory:
    """Of publications at so many seconds after noon, each with its age."""
    made = AgeHistory()
    for after_s, age_s in publications:
        made = made.with_publication(at=NOON + timedelta(seconds=after_s), age_s=age_s)
    return made


def test_a_minute_keeps_its_youngest_and_its_oldest_publication() -> None:
    assert history((1, 0.52), (21, 3.0), (41, 0.9), (61, 7)).minutes == (
        MinuteOfAges(MINUTE, 0.5, 3.0),
        MinuteOfAges(MINUTE + 1, 7.0, 7.0),
    )


def test_what_is_older_than_the_hours_kept_is_dropped() -> None:
    kept = history((0, 1), (60, 2), (KEPT_MINUTES * 60, 3))
    assert [one.highest_s for one in kept.minutes] == [2, 3]


def test_a_clock_that_was_set_back_puts_a_publication_in_its_own_minute() -> None:
    assert [one.minute - MINUTE for one in history((120, 1), (0, 2)).minutes] == [0, 2]


@given(st.lists(st.tuples(st.floats(0, 40_000), st.floats(-500, 5_000)), max_size=60))
def test_the_written_form_reads_back_as_the_same_history(publications: list[tuple[float, float]]) -> None:
    made = history(*publications)
    assert AgeHistory.from_text(made.to_text()) == made


def test_six_hours_of_the_longest_ages_stay_within_their_bytes() -> None:
    full = history(*((minute * 60 + second, age) for minute in range(400) for second, age in ((1, 900.1), (21, 9e9))))
    assert len(full.minutes) == KEPT_MINUTES
    assert len(full.to_text()) < 4400


@pytest.mark.parametrize("text", [None, "", "1,2", "a,b,c", "1,2,3  4,5,6", {"a": 1}, "1,2,3,4"])
def test_what_is_no_history_is_an_empty_one(text: object) -> None:
    assert AgeHistory.from_text(text) == AgeHistory()
