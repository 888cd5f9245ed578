from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage, VehiclePosition

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.hashing import steps_hash
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.pipeline.running import check_steps, run_step
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.steps import FilterStopsByID, PassThrough, UpdateFeedHeader
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(step: Step[RealtimeFeeds], **messages: FeedMessage) -> tuple[RealtimeFeeds, StepResult]:
    return run_step(step, RealtimeFeeds(messages), now=NOW)


def found(result: StepResult) -> list[tuple[str, str, str | None, int, tuple[str, ...]]]:
    return [(f.severity, f.code, f.file, f.count, f.sample) for f in result.findings]


def test_pass_through_changes_nothing_and_says_so() -> None:
    feeds = RealtimeFeeds({"trip_updates": feed_message(trip_update("t", "a"))})
    made, result = run_step(PassThrough(), feeds, now=NOW)
    assert made.message("trip_updates") is feeds.message("trip_updates")
    assert result.logs == ("trip_updates: passed through as fetched",)
    assert result.rows_before == {}


def test_updates_at_filtered_stops_go_and_all_others_stay() -> None:
    made, result = run(
        FilterStopsByID(["E01", "E07"]),
        trip_updates=feed_message(
            trip_update("t1", "A", "E01", "B", "E07", "C"),
            trip_update("t2", "A", "E01"),
            trip_update("t3", "A"),
        ),
    )
    expected = feed_message(
        trip_update("t1", "A", "x", "B", "x", "C"), trip_update("t2", "A", "x"), trip_update("t3", "A")
    )
    for entity in expected.entity:
        updates = entity.trip_update.stop_time_update
        kept = [update for update in updates if update.stop_id != "x"]
        entity.trip_update.ClearField("stop_time_update")
        entity.trip_update.stop_time_update.extend(kept)
    assert made.message("trip_updates") == expected
    assert found(result) == [
        ("info", "stop_time_updates_removed", "trip_updates", 2, ("E01",)),
        ("info", "stop_time_updates_removed", "trip_updates", 1, ("E07",)),
    ]


def test_an_update_assigned_to_a_filtered_stop_goes_too() -> None:
    message = feed_message(trip_update("t", "A", "B"))
    properties = message.entity[0].trip_update.stop_time_update[1].stop_time_properties
    properties.assigned_stop_id = "E01"
    made, result = run(FilterStopsByID({"E01"}), trip_updates=message)
    assert [u.stop_id for u in made.message("trip_updates").entity[0].trip_update.stop_time_update] == ["A"]
    assert found(result) == [("info", "stop_time_updates_removed", "trip_updates", 1, ("E01",))]


def test_a_trip_that_loses_every_update_stays_and_is_counted() -> None:
    made, result = run(
        FilterStopsByID(["E01"]),
        trip_updates=feed_message(trip_update("t1", "E01", "E01"), trip_update("no updates from the start")),
    )
    assert [e.trip_update.trip.trip_id for e in made.message("trip_updates").entity] == [
        "t1",
        "no updates from the start",
    ]
    assert found(result)[-1] == ("warning", "trip_updates_left_without_stops", "trip_updates", 1, ("t1",))


def test_a_vehicle_at_a_filtered_stop_keeps_all_but_where_it_stops() -> None:
    made, result = run(
        FilterStopsByID(["E01"]), vehicle_positions=feed_message(vehicle("v1", "E01"), vehicle("v2", "A"))
    )
    first, second = (entity.vehicle for entity in made.message("vehicle_positions").entity)
    for field in ("stop_id", "current_stop_sequence", "current_status"):
        assert not first.HasField(field)
        assert second.HasField(field)
    assert first.position.latitude == 47.5
    assert first.trip.trip_id == "trip of v1"
    assert first.occupancy_status == VehiclePosition.MANY_SEATS_AVAILABLE
    assert found(result) == [("info", "vehicle_stops_cleared", "vehicle_positions", 1, ("E01",))]


def test_a_feed_without_the_filtered_stops_is_not_even_copied() -> None:
    feeds = RealtimeFeeds(
        {
            "trip_updates": feed_message(trip_update("t", "A", "")),
            "vehicle_positions": feed_message(vehicle("v", "")),
        }
    )
    made, result = run_step(FilterStopsByID(["E01"]), feeds, now=NOW)
    assert made.changed_since(feeds) == frozenset()
    assert result.findings == ()


def test_one_feed_alone_is_filtered_too() -> None:
    made, _ = run(FilterStopsByID(["E01"]), vehicle_positions=feed_message(vehicle("v", "E01")))
    assert not made.message("vehicle_positions").entity[0].vehicle.HasField("stop_id")


@pytest.mark.parametrize("ids", ["E01", [], [""], [1]])
def test_ids_that_filter_nothing_are_refused_where_they_are_written(ids: Any) -> None:
    with pytest.raises(StepDefinitionError, match="FilterStopsByID"):
        FilterStopsByID(cast(Collection[str], ids))


def test_the_header_of_every_feed_is_updated() -> None:
    made, result = run(
        UpdateFeedHeader(version="2.0", timestamp="now"),
        vehicle_positions=feed_message(gtfs_realtime_version="1.0"),
        alerts=feed_message(timestamp=int(NOW.timestamp())),
    )
    for name in ("vehicle_positions", "alerts"):
        header = made.message(name).header
        assert (header.gtfs_realtime_version, header.timestamp) == ("2.0", int(NOW.timestamp()))
    assert result.logs == (
        "vehicle_positions: version 1.0 to 2.0",
        f"vehicle_positions: timestamp 1700000000 to {int(NOW.timestamp())}",
    )


def test_a_header_that_says_so_already_is_left_alone() -> None:
    feeds = RealtimeFeeds({"alerts": feed_message()})
    made, _ = run_step(UpdateFeedHeader(version="2.0", timestamp=1_700_000_000), feeds, now=NOW)
    assert made.changed_since(feeds) == frozenset()


@pytest.mark.parametrize("arguments", [{}, {"version": " "}, {"timestamp": 0}, {"version": "2.0", "timestamp": -1}])
def test_a_header_update_that_makes_no_sense_is_refused_where_it_is_written(arguments: dict[str, Any]) -> None:
    with pytest.raises(StepDefinitionError, match="UpdateFeedHeader"):
        UpdateFeedHeader(**arguments)


def test_the_hash_is_the_parameters_and_not_their_order() -> None:
    assert FilterStopsByID(["a", "b"]).source_hash() == FilterStopsByID({"b", "a"}).source_hash()
    assert FilterStopsByID(["a", "b"]).source_hash() != FilterStopsByID(["a"]).source_hash()
    assert UpdateFeedHeader(version="1.0").source_hash() != UpdateFeedHeader(version="2.0").source_hash()
    steps = check_steps([PassThrough(), PassThrough(), FilterStopsByID(["a"])])
    assert [step.name for step in steps] == ["PassThrough", "PassThrough_2", "FilterStopsByID"]
    assert steps_hash(steps) != steps_hash(steps[::-1])


def test_realtime_does_not_bring_in_pandas() -> None:
    code = (
        "import json, sys;"
        "import continuous_gtfs.agencies.sound_transit.realtime, continuous_gtfs.realtime.encoding,"
        " continuous_gtfs.realtime.guards, continuous_gtfs.artifacts.publication;"
        "print(json.dumps([m for m in ('pandas', 'numpy', 'pyarrow', 'dagster', 'httpx') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []
