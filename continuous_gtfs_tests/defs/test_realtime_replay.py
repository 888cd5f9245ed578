"""An author sees what a new rule would have done to a past hour; nothing is published by looking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from dagster import ExecuteInProcessResult
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs import names
from continuous_gtfs.agencies.sound_transit.realtime import STEPS
from continuous_gtfs.artifacts.archive import blob_key
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.packing import Packer
from continuous_gtfs.artifacts.packs import hour_name
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.realtime_archive import ENTITIES
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.pipeline.step import Step, StepContext, step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.steps import FilterStopsByID
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.snapshot_hours import LAST_HOUR, TU, VP, edited, fill_hour, keep_published, partition
from continuous_gtfs_tests.defs.test_realtime_assets import location, now, publish_schedule, trip_updates, vehicles

JOB = names.replay_job_name("production")
FEEDS = {VP: vehicles, TU: trip_updates}
HOUR = timedelta(hours=1)
FILTER_S1 = FilterStopsByID(["S1"])


def replay(bench: Bench, steps: Sequence[Any], **options: Any) -> ExecuteInProcessResult:
    options = options or {"partition_key": partition(LAST_HOUR)}
    result = bench.run(location(bench, list(steps)), JOB, **options)
    assert result.success
    return result


def report(bench: Bench, hour: Any = LAST_HOUR) -> dict[str, Any]:
    path = Path(bench.artifacts.archive_url) / f"replays/production/{hour_name(hour)}.json"
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def metadata(result: ExecuteInProcessResult) -> dict[str, Any]:
    event = result.get_asset_materialization_events()[0]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def pack(bench: Bench) -> None:
    for feed, snapshot in FEEDS.items():
        bench.archive("production", feed, snapshot(now()))
    assert bench.run(location(bench), names.archive_job_name("production"), partition_key=partition(LAST_HOUR)).success
    assert list(open_store(bench.artifacts.archive_url).list("publications/")) == []


def test_a_rule_shows_what_it_would_have_changed_and_publishes_nothing(bench: Bench) -> None:
    fill_hour(bench, FEEDS, count=4)
    result = replay(bench, [FILTER_S1])
    document = report(bench)
    assert document["outcomes"] == {TU: {"different": 4}, VP: {"different": 4}}
    assert {(change["feed"], change["kind"]) for change in document["changes"]} == {(TU, "changed"), (VP, "changed")}
    vehicle_stop = next(change for change in document["changes"] if change["field"] == "vehicle.stop_id")
    assert (vehicle_stop["entities"], vehicle_stop["snapshots"]) == (3, 4)
    assert len(document["entities"]) == 6
    told = metadata(result)
    assert (told["snapshots"], told["differing"]) == (8, 8)
    assert told["replay"].startswith("8 of 8 snapshots would have gone out differently")
    assert json.loads(Path(told["report"]).read_bytes()) == document
    assert not bench.published.exists()


def test_the_same_hour_packed_gives_the_same_report(bench: Bench) -> None:
    fill_hour(bench, FEEDS, count=4)
    replay(bench, [FILTER_S1])
    before = report(bench)
    pack(bench)
    replay(bench, [FILTER_S1])
    assert report(bench) == before


def test_what_real_runs_published_is_the_same_today_with_the_same_steps(bench: Bench) -> None:
    at = LAST_HOUR + HOUR
    for number in range(3):
        for feed, snapshot in FEEDS.items():
            bench.archive("production", feed, snapshot(now(), count=3 + number), at - timedelta(seconds=9 - number))
        assert bench.run(location(bench), names.job_name("realtime", "production")).success
    replay(bench, STEPS)
    assert report(bench)["outcomes"] == {VP: {"same": 3}, TU: {"same": 3}}


def test_steps_get_the_time_of_then_and_each_run_both_feeds(bench: Bench) -> None:
    seen: list[tuple[tuple[str, ...], Any]] = []

    @step(files=[])
    def look(feed: RealtimeFeeds, context: StepContext) -> None:
        seen.append((feed.names, context.now))

    # The order in which the runs of then had them, whatever it is by now.
    versions = fill_hour(bench, {TU: trip_updates, VP: vehicles}, count=3)
    pack(bench)
    replay(bench, [look])
    assert [feeds for feeds, _ in seen] == [(TU, VP)] * 3
    assert [at for _, at in seen] == [version.fetched_at + timedelta(milliseconds=150) for version in versions[VP]]


def test_the_schedule_of_then_is_used_while_it_exists_and_the_report_says_when_it_is_gone(bench: Bench) -> None:
    seen: list[bool] = []

    @step(files=[])
    def look(feed: RealtimeFeeds, context: StepContext) -> None:
        seen.append(isinstance(context.inputs.get("schedule_index"), ScheduleIndex))

    publish_schedule(bench)
    for number, label in enumerate(["s", "gone", "none published"]):
        fill_hour(bench, {VP: vehicles}, hour=LAST_HOUR + number * timedelta(minutes=5), count=1, schedule=label)
    result = replay(bench, [look])
    assert seen == [True, True, False]
    assert report(bench)["schedules"] == {"gone": "s", "none published": "none published", "s": "s"}
    assert "The schedule gone is gone; s stood for it." in metadata(result)["replay"]


def test_several_hours_are_one_run_and_a_report_each(bench: Bench) -> None:
    hours = [LAST_HOUR - 2 * HOUR, LAST_HOUR - HOUR]
    for count, hour in enumerate(hours, start=1):
        fill_hour(bench, {VP: vehicles}, hour=hour, count=count)
    tags = {
        ASSET_PARTITION_RANGE_START_TAG: partition(hours[0]),
        ASSET_PARTITION_RANGE_END_TAG: partition(hours[1]),
    }
    result = replay(bench, [FILTER_S1], tags=tags)
    assert [report(bench, hour)["snapshots"] for hour in hours] == [1, 2]
    assert metadata(result)["snapshots"] == 3
    replayed = bench.instance.get_materialized_partitions(keys.replay_key("production"))
    assert replayed == {partition(hour) for hour in hours}


class WantsPublished(Step[RealtimeFeeds]):
    """Notes how many vehicles were live before each run."""

    name = "wants_published"
    files = frozenset[str]()
    seen: ClassVar[list[int | None]] = []

    @property
    def wanted_inputs(self) -> frozenset[str]:
        return frozenset({"published_vehicle_positions"})

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        live = context.inputs.get("published_vehicle_positions")
        self.seen.append(len(live.entity) if isinstance(live, FeedMessage) else None)


def test_a_step_that_wants_what_was_live_gets_it_from_the_hour_before_too(bench: Bench) -> None:
    fill_hour(bench, {VP: lambda at: vehicles(at, count=7)}, hour=LAST_HOUR - HOUR, count=2)
    fill_hour(bench, FEEDS, count=2)
    replay(bench, [WantsPublished()])
    assert WantsPublished.seen == [7, 3]


def test_versions_of_which_nothing_was_published_are_told_apart(bench: Bench) -> None:
    fill_hour(bench, FEEDS, count=1)
    at = LAST_HOUR + timedelta(minutes=7)
    bench.archive("production", VP, vehicles(at), at)
    bench.archive("production", VP, vehicles(at - HOUR), at + timedelta(seconds=1))
    replay(bench, [])
    outcomes = report(bench)["outcomes"][VP]
    assert outcomes == {"same": 1, "passes_today": 1, "still_not_published": 1}


def test_a_run_may_have_had_its_other_feed_from_the_hour_before(bench: Bench) -> None:
    seen: list[int] = []

    @step(files=[])
    def look(feed: RealtimeFeeds) -> None:
        seen.append(len(feed.message(VP).entity))

    at = LAST_HOUR - timedelta(seconds=30)
    standing = bench.archive("production", VP, vehicles(at, count=7), at)
    body = trip_updates(LAST_HOUR + timedelta(seconds=5))
    version = bench.archive("production", TU, body, LAST_HOUR + timedelta(seconds=6))
    keep_published(bench, TU, {VP: standing, TU: version}, body)
    replay(bench, [look])
    assert seen == [7]
    assert report(bench)["outcomes"] == {TU: {"same": 1}}


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_version_that_was_not_published_is_replayed_with_the_inputs_of_then(bench: Bench, is_packed: bool) -> None:
    """Among them one that stood still for hours, and one that only steps read."""
    seen: list[dict[str, int]] = []

    @step(files=[])
    def look(feed: RealtimeFeeds) -> None:
        seen.append({name: len(feed.message(name).entity) for name in feed.names})

    ferries = next(source for source in bench.agency.feeds if source.feed_id == f"production/{VP}")
    ferries = replace(ferries, feed="positions_of_ferries", is_published=False)
    bench.agency = replace(bench.agency, feeds=(*bench.agency.feeds, ferries))
    hours_ago = LAST_HOUR - timedelta(hours=3)
    bench.archive("production", TU, trip_updates(hours_ago, count=5), hours_ago)
    at = LAST_HOUR + timedelta(seconds=30)
    source = bench.archive("production", ferries.feed, vehicles(at, count=2), at)
    published = bench.archive("production", VP, vehicles(at, count=4), at)
    keep_published(bench, VP, {VP: published, source.feed: source}, vehicles(at, count=4))
    later = at + timedelta(seconds=30)
    bench.archive("production", VP, vehicles(later, count=3), later)
    if is_packed:
        for feed, snapshot in ((VP, vehicles), (TU, trip_updates), (source.feed, vehicles)):
            bench.archive("production", feed, snapshot(LAST_HOUR + HOUR), LAST_HOUR + HOUR)
            packer = Packer(open_store(bench.artifacts.archive_url), ENTITIES)
            packer.pack("production", feed, [hours_ago, LAST_HOUR])
    assert replay(bench, [look]).success
    assert seen == [{VP: 4, source.feed: 2}, {VP: 3, source.feed: 2, TU: 5}]


def test_a_snapshot_that_is_lost_is_left_out_and_told(bench: Bench) -> None:
    versions = fill_hour(bench, {VP: vehicles}, count=3)
    open_store(bench.artifacts.archive_url).delete(blob_key(versions[VP][1].body_digest))
    told = metadata(replay(bench, []))
    assert (told["snapshots"], told["left_out"]) == (2, 1)


def test_an_hour_without_snapshots_says_so(bench: Bench) -> None:
    assert metadata(replay(bench, [FILTER_S1]))["replay"].startswith("0 of 0 snapshots")


def test_what_changed_by_another_hand_is_named_by_entity(bench: Bench) -> None:
    def rename(message: FeedMessage) -> None:
        message.entity[1].vehicle.vehicle.label = "Train of then"

    fill_hour(bench, {VP: vehicles}, count=2, made=lambda body: edited(body, rename))
    replay(bench, [])
    (entity,) = report(bench)["entities"]
    assert "train 1" in entity["identity"]
    assert entity["example"] == {"path": "vehicle.vehicle.label", "before": "Train of then", "after": None}
