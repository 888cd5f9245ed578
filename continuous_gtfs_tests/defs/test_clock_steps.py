"""In which order versions are dated when the clock is set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from continuous_gtfs.defs.clock_steps import dated_after
from continuous_gtfs.versions import FeedVersion

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def version(version_id: str, fetched_at: datetime) -> FeedVersion:
    return FeedVersion(
        environment="production",
        feed="schedule",
        version_id=version_id,
        content_digest="",
        body_digest="",
        body_bytes=1,
        fetched_at=fetched_at,
    )


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=1), timedelta(days=1)])
def test_a_version_fetched_after_the_clock_was_set_back_comes_after_the_one_before_it(ahead: timedelta) -> None:
    held = version("a", NOW + ahead)
    dated = dated_after(version("b", NOW), held)
    assert held.fetched_at < dated.fetched_at < held.fetched_at + timedelta(seconds=1)


def test_versions_in_the_order_of_the_clock_keep_their_times() -> None:
    assert dated_after(version("b", NOW), version("a", NOW - timedelta(seconds=1))).fetched_at == NOW
    assert dated_after(version("b", NOW), None).fetched_at == NOW


def test_a_time_that_is_wrong_by_more_than_a_day_is_not_handed_on() -> None:
    assert dated_after(version("b", NOW), version("a", NOW + timedelta(days=2))).fetched_at == NOW


def test_the_version_in_hand_is_not_dated_anew() -> None:
    assert dated_after(version("a", NOW), version("a", NOW + timedelta(hours=1))).fetched_at == NOW
