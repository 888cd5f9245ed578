from __future__ import annotations

import json
import subprocess
import sys

from google.transit.gtfs_realtime_pb2 import FeedMessage

import continuous_gtfs.realtime.steps
from continuous_gtfs.pipeline.hashing import steps_hash
from continuous_gtfs.pipeline.running import check_steps, run_steps
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.steps import (
    TRIP_UPDATES,
    FilterStopsByID,
    Finding,
    PassThrough,
    StepContext,
    UpdateFeedHeader,
    step,
)
from continuous_gtfs_tests.realtime.builtin.running import NOW, index_with
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle


@step(files=[TRIP_UPDATES])
def drop_tests(feeds: RealtimeFeeds, context: StepContext) -> None:
    """What an author writes: trips of the yard are not for riders."""
    if TRIP_UPDATES not in feeds:
        return
    message = feeds.edit(TRIP_UPDATES)
    tests = [entity.id for entity in message.entity if entity.trip_update.trip.trip_id.startswith("TEST")]
    for position in reversed(range(len(message.entity))):
        if message.entity[position].id in tests:
            del message.entity[position]
    context.find(Finding("info", "tests_dropped", "trips of the yard", TRIP_UPDATES, len(tests), tuple(tests)))
    index = context.inputs["schedule_index"]
    context.log(f"{index.feed_version} at {context.now:%H:%M}")  # type: ignore[attr-defined]


def test_an_authors_own_step_runs_among_the_built_in_ones() -> None:
    feeds = RealtimeFeeds(
        {
            "vehicle_positions": feed_message(vehicle("v", "E01")),
            "trip_updates": feed_message(trip_update("TEST-1", "A"), trip_update("t", "A", "E01")),
        }
    )
    made, results = run_steps(
        [FilterStopsByID(["E01"]), drop_tests, UpdateFeedHeader(version="3.0")],
        feeds,
        now=NOW,
        inputs={"schedule_index": index_with()},
    )
    published = FeedMessage.FromString(made.to_bytes("trip_updates"))
    assert published.header.gtfs_realtime_version == "3.0"
    assert [entity.trip_update.trip.trip_id for entity in published.entity] == ["t"]
    assert [update.stop_id for update in published.entity[0].trip_update.stop_time_update] == ["A"]
    assert not made.message("vehicle_positions").entity[0].vehicle.stop_id
    assert [result.name for result in results] == ["FilterStopsByID", "drop_tests", "UpdateFeedHeader"]
    assert results[1].changes["trip_updates"].removed == 1
    assert [finding.code for finding in results[1].findings] == ["tests_dropped"]
    assert results[1].logs == ("small-1 at 15:15",)
    # What went in is as it was.
    assert len(feeds.message("trip_updates").entity) == 2


def test_everything_an_author_needs_has_one_place() -> None:
    names = continuous_gtfs.realtime.steps.__all__
    assert all(hasattr(continuous_gtfs.realtime.steps, name) for name in names)
    assert {"step", "StepContext", "Finding", "RealtimeFeeds"} <= set(names)
    assert names == sorted(names, key=lambda name: (not name.isupper(), name.islower(), name))


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
        " continuous_gtfs.realtime.guards.judging, continuous_gtfs.artifacts.publication;"
        "print(json.dumps([m for m in ('pandas', 'numpy', 'pyarrow', 'dagster', 'httpx') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []
