from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from continuous_gtfs.agencies.sound_transit.realtime import STEPS
from continuous_gtfs.pipeline.running import check_steps, run_steps
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.messages import parse_feed
from continuous_gtfs_tests.real_data import real_data_path
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_steps_run_in_the_order_they_are_written() -> None:
    assert [step.name for step in check_steps(STEPS)] == ["FilterStopsByID", "UpdateFeedHeader"]


@pytest.mark.parametrize("stop_id", ["E01", "E01-T1", "E01-T2", "E07", "E07-T1", "E07-T2"])
def test_a_station_that_is_not_open_is_nowhere_in_the_output(stop_id: str) -> None:
    feeds = RealtimeFeeds(
        {
            "vehicle_positions": feed_message(vehicle("v", stop_id), gtfs_realtime_version="1.0"),
            "trip_updates": feed_message(trip_update("t", "E03-T1", stop_id, "E09-T1"), gtfs_realtime_version="1.0"),
        }
    )
    made, _ = run_steps(STEPS, feeds, now=NOW)
    for name in made.names:
        assert b"\n\x032.0" in made.to_bytes(name)
        assert stop_id.encode() not in made.to_bytes(name)
    stops = [u.stop_id for u in made.message("trip_updates").entity[0].trip_update.stop_time_update]
    assert stops == ["E03-T1", "E09-T1"]


@pytest.mark.parametrize("timestamp", [1690679342, 1690865133])
def test_of_a_real_capture_every_entity_and_byte_is_published(timestamp: int) -> None:
    folder: Path = real_data_path("sound_transit_2023-08")
    bodies = {name: (folder / f"{name}_{timestamp}.pb").read_bytes() for name in ("vehicle_positions", "trip_updates")}
    messages = {name: parse_feed(body, name=name) for name, body in bodies.items()}
    made, results = run_steps(STEPS, RealtimeFeeds(messages, bodies=bodies), now=NOW)
    # In 2023 the stations were not yet in the feed, and its header says 2.0 already: nothing to do.
    assert {name: made.to_bytes(name) for name in made.names} == bodies
    assert all(result.findings == () for result in results)
