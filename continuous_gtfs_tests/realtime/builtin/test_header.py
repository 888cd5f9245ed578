from __future__ import annotations

from typing import Any

import pytest

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.running import run_step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.steps import UpdateFeedHeader
from continuous_gtfs_tests.realtime.builtin.running import NOW, found, run
from continuous_gtfs_tests.realtime.captures import feed_message


def test_the_header_of_every_feed_is_updated() -> None:
    made, result = run(
        UpdateFeedHeader(version="2.0", timestamp="now"),
        vehicle_positions=feed_message(gtfs_realtime_version="1.0"),
        alerts=feed_message(timestamp=int(NOW.timestamp())),
    )
    for name in ("vehicle_positions", "alerts"):
        header = made.message(name).header
        assert (header.gtfs_realtime_version, header.timestamp) == ("2.0", int(NOW.timestamp()))
    assert found(result) == [
        (
            "info",
            "header_updated",
            "vehicle_positions",
            2,
            ("gtfs_realtime_version 1.0 to 2.0", f"timestamp 1700000000 to {int(NOW.timestamp())}"),
        )
    ]


def test_a_header_that_says_so_already_is_left_alone() -> None:
    feeds = RealtimeFeeds({"alerts": feed_message()})
    made, _ = run_step(UpdateFeedHeader(version="2.0", timestamp=1_700_000_000), feeds, now=NOW)
    assert made.changed_since(feeds) == frozenset()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"version": " "},
        {"timestamp": 0},
        {"version": "2.0", "timestamp": -1},
        {"timestamp": "soon"},
        {"timestamp": True},
        {"version": 2},
    ],
)
def test_a_header_update_that_makes_no_sense_is_refused_where_it_is_written(arguments: dict[str, Any]) -> None:
    with pytest.raises(StepDefinitionError, match="UpdateFeedHeader"):
        UpdateFeedHeader(**arguments)
