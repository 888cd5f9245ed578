from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.agencies.sound_transit.realtime import STATIONS_NOT_YET_OPEN, STEPS
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.pipeline.running import check_steps, run_steps
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.messages import header_timestamp, parse_feed
from continuous_gtfs_tests.real_data import real_data_path
from continuous_gtfs_tests.realtime.captures import captures, feed_message, trip_update, vehicle

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def real_index(folder: str) -> ScheduleIndex:
    data = real_data_path(f"{folder}/schedule.zip").read_bytes()
    return ScheduleIndex.from_bytes(build_schedule_index(Feed.from_bytes(data)))


def test_the_steps_run_in_the_order_they_are_written() -> None:
    names = [step.name for step in check_steps(STEPS)]
    assert names == ["FilterStopsByID", "ExpireCancelledTrips", "UpdateFeedHeader"]


@pytest.mark.parametrize("stop_id", STATIONS_NOT_YET_OPEN)
def test_a_station_that_is_not_open_is_nowhere_in_the_output(stop_id: str) -> None:
    feeds = RealtimeFeeds(
        {
            "vehicle_positions": feed_message(vehicle("v", stop_id), gtfs_realtime_version="1.0"),
            "trip_updates": feed_message(
                trip_update("t", "E03-T1", stop_id, "E09-T1"), trip_update("u", stop_id), gtfs_realtime_version="1.0"
            ),
        }
    )
    made, _ = run_steps(STEPS, feeds, now=NOW)
    for name in made.names:
        assert b"\n\x032.0" in made.to_bytes(name)
        assert stop_id.encode() not in made.to_bytes(name)
    (update,) = (entity.trip_update for entity in made.message("trip_updates").entity)
    assert [stop.stop_id for stop in update.stop_time_update] == ["E03-T1", "E09-T1"]


@pytest.mark.parametrize("timestamp", [1690679342, 1690865133])
def test_of_a_real_capture_every_entity_and_byte_is_published(timestamp: int) -> None:
    folder: Path = real_data_path("sound_transit_2023-08")
    bodies = {name: (folder / f"{name}_{timestamp}.pb").read_bytes() for name in ("vehicle_positions", "trip_updates")}
    messages = {name: parse_feed(body, name=name) for name, body in bodies.items()}
    made, results = run_steps(
        STEPS,
        RealtimeFeeds(messages, bodies=bodies),
        now=datetime.fromtimestamp(timestamp + 20, UTC),
        inputs={"schedule_index": real_index("sound_transit_2023-08")},
    )
    # In 2023 the stations were not yet in the feed, no trip was cancelled, and the header says 2.0: nothing to do.
    assert {name: made.to_bytes(name) for name in made.names} == bodies
    assert [finding.code for result in results for finding in result.findings] == ["nothing_matched"] * 2


@pytest.mark.parametrize("path", captures())
def test_whatever_an_agency_sends_it_comes_out_whole(path: Path) -> None:
    body = path.read_bytes()
    message = parse_feed(body, name=path.name)
    name = "vehicle_positions" if "vehicle" in path.name else "trip_updates"
    made, results = run_steps(
        STEPS,
        RealtimeFeeds({name: message}, bodies={name: body}),
        now=datetime.fromtimestamp((header_timestamp(message) or 0) + 20, UTC),
        inputs={"schedule_index": real_index("sound_transit_2024-11")},
    )
    assert [result.status for result in results] == ["success"] * len(STEPS)
    # No stop of another agency has one of these ids, and the one step that changes its feed is the header's.
    expected = FeedMessage()
    expected.CopyFrom(message)
    expected.header.gtfs_realtime_version = "2.0"
    assert made.message(name) == expected
