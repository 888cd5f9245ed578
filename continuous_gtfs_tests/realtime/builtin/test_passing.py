from __future__ import annotations

from continuous_gtfs.pipeline.running import run_step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.steps import PassThrough
from continuous_gtfs_tests.realtime.builtin.running import NOW
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update


def test_pass_through_changes_nothing_and_says_so() -> None:
    feeds = RealtimeFeeds({"trip_updates": feed_message(trip_update("t", "a"))})
    made, result = run_step(PassThrough(), feeds, now=NOW)
    assert made.message("trip_updates") is feeds.message("trip_updates")
    assert result.logs == ("trip_updates: passed through as fetched",)
    assert result.rows_before == {}
