"""Past hours are packed by themselves, an hour a partition, and what is packed is still found."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dagster import DefaultScheduleStatus, RunRequest, build_schedule_context

from continuous_gtfs import names
from continuous_gtfs.artifacts.archive import blob_key
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.packing import Packer
from continuous_gtfs.artifacts.packs import pack_key
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.realtime_archive import ENTITIES
from continuous_gtfs_tests.defs.conftest import Bench, failures_of
from continuous_gtfs_tests.defs.snapshot_hours import LAST_HOUR, TU, VP, fill_hour, partition
from continuous_gtfs_tests.defs.test_realtime_assets import location, now, trip_updates, vehicles
from continuous_gtfs_tests.realtime.captures import captures

JOB = names.archive_job_name("production")
FEEDS = {VP: vehicles, TU: trip_updates}
HOUR = timedelta(hours=1)


def store_of(bench: Bench) -> Store:
    return open_store(bench.artifacts.archive_url)


def requests(bench: Bench) -> list[RunRequest]:
    """What the schedule asks for six minutes after the last complete hour."""
    definitions = location(bench)
    context = build_schedule_context(
        instance=bench.instance,
        scheduled_execution_time=LAST_HOUR + HOUR + timedelta(minutes=6),
        repository_def=definitions.get_repository_def(),
        resources={"artifacts": bench.artifacts},
    )
    evaluated = definitions.resolve_schedule_def(JOB).evaluate_tick(context)
    return list(evaluated.run_requests or [])


def test_an_hour_of_60_pairs_becomes_one_object_a_feed(bench: Bench) -> None:
    versions = fill_hour(bench, FEEDS, count=60)
    for feed, snapshot in FEEDS.items():
        bench.archive("production", feed, snapshot(now()))
    result = bench.run(location(bench), JOB, partition_key=partition(LAST_HOUR))
    assert result.success
    keys_left = list(store_of(bench).list(""))
    assert len(keys_left) == 2 + 2 * 3
    for feed in FEEDS:
        assert pack_key("production", feed, LAST_HOUR) in keys_left
        archive = bench.artifacts.archive()
        for version in versions[feed]:
            assert archive.find("production", feed, version.version_id) == version
        assert archive.read(versions[feed][50]) == FEEDS[feed](LAST_HOUR + timedelta(seconds=1000))
        event = bench.instance.get_latest_materialization_event(keys.archive_key("production", feed))
        assert event is not None
        assert event.asset_materialization is not None
        metadata = event.asset_materialization.metadata
        assert {name: metadata[name].value for name in ("fetched", "published", "added")} == {
            "fetched": 60,
            "published": 60,
            "added": 120,
        }


def test_entities_are_in_columns(bench: Bench) -> None:
    fill_hour(bench, FEEDS, count=1)
    assert bench.run(location(bench), JOB, partition_key=partition(LAST_HOUR)).success
    table = pq.read_table(io.BytesIO(store_of(bench).read(pack_key("production", TU, LAST_HOUR)))).to_pydict()
    rows = table["entities"][0]
    assert [row["trip_id"] for row in rows] == ["trip 0", "trip 1", "trip 2"]
    assert {row["first_arrival_delay"] for row in rows} == {60}


@pytest.mark.parametrize("environment", ["production", "qa"])
def test_packing_starts_by_itself_ends_in_bounded_time_and_holds_no_pipeline(bench: Bench, environment: str) -> None:
    definitions = location(bench)
    name = names.archive_job_name(environment)
    schedule = definitions.resolve_schedule_def(name)
    assert schedule.default_status is DefaultScheduleStatus.RUNNING
    job = definitions.resolve_job_def(schedule.job_name)
    assert job.executor_def.name == "in_process"
    assert int(job.tags["dagster/max_runtime"]) <= 1800
    assert job.tags[names.PIPELINE_TAG] != names.pipeline_name("realtime", environment)


def test_the_schedule_asks_for_the_past_hour_and_the_run_packs_it(bench: Bench) -> None:
    fill_hour(bench, FEEDS)
    (request,) = requests(bench)
    assert request.partition_key == partition(LAST_HOUR)
    result = bench.run(location(bench), JOB, partition_key=request.partition_key, tags=dict(request.tags))
    assert result.success
    assert len(result.get_asset_materialization_events()) == 2
    assert len(result.get_step_success_events()) == 1


def test_hours_that_are_named_backwards_are_one_sentence(bench: Bench) -> None:
    tags = {
        "dagster/asset_partition_range_start": partition(LAST_HOUR),
        "dagster/asset_partition_range_end": partition(LAST_HOUR - HOUR),
    }
    result = bench.run(location(bench), JOB, tags=tags)
    assert not result.success
    assert "name first the one that comes first" in failures_of(result)


def test_missed_hours_are_packed_by_one_run_over_the_range(bench: Bench) -> None:
    for hours_ago in (4, 2):
        fill_hour(bench, FEEDS, hour=LAST_HOUR - hours_ago * HOUR)
    for feed, snapshot in FEEDS.items():
        bench.archive("production", feed, snapshot(now()))
    (request,) = requests(bench)
    assert request.partition_key is None
    result = bench.run(location(bench), JOB, tags=dict(request.tags))
    assert result.success
    materialized = bench.instance.get_materialized_partitions(keys.archive_key("production", VP))
    assert materialized == {partition(LAST_HOUR - number * HOUR) for number in range(5)}
    packs = list(store_of(bench).list("archive/packs/"))
    assert len(packs) == 4
    (again,) = requests(bench)
    assert again.partition_key == partition(LAST_HOUR)


def test_hours_before_the_archive_begins_are_not_asked_for(bench: Bench) -> None:
    begins = keys.archive_hours().start
    fill_hour(bench, {VP: vehicles}, hour=begins - 3 * HOUR, count=1)
    bench.archive("production", VP, vehicles(now()))
    assert [request.partition_key for request in requests(bench)] == [partition(LAST_HOUR)]


def test_what_is_live_was_made_from_stays_at_hand(bench: Bench) -> None:
    live = bench.archive("production", VP, vehicles(now()), fetched_at=LAST_HOUR)
    assert bench.run(location(bench), "realtime_production").success
    bench.archive("production", VP, vehicles(now(), count=9))
    assert bench.run(location(bench), JOB, partition_key=partition(LAST_HOUR)).success
    assert store_of(bench).stat(pack_key("production", VP, LAST_HOUR))
    assert store_of(bench).stat(blob_key(live.body_digest))
    assert [request.partition_key for request in requests(bench)] == [partition(LAST_HOUR)]


def test_a_run_of_a_packed_version_finds_it(bench: Bench) -> None:
    body = vehicles(now())
    version = bench.archive("production", VP, body, fetched_at=LAST_HOUR)
    bench.archive("production", VP, vehicles(now(), count=9))
    assert bench.run(location(bench), JOB, partition_key=partition(LAST_HOUR)).success
    assert store_of(bench).stat(blob_key(version.body_digest)) is None
    result = bench.run(location(bench), "realtime_production", tags={names.version_tag(VP): version.version_id})
    assert result.success
    manifest = bench.live("realtime/production/vehicle_positions")
    assert manifest is not None
    assert manifest.facts["inputs"][VP]["version_id"] == version.version_id


def test_a_snapshot_that_is_lost_fails_the_run_by_name_after_all_else_is_packed(bench: Bench) -> None:
    versions = fill_hour(bench, FEEDS)
    store_of(bench).delete(blob_key(versions[VP][0].body_digest))
    result = bench.run(location(bench), JOB, partition_key=partition(LAST_HOUR))
    assert not result.success
    assert versions[VP][0].version_id in failures_of(result)
    assert len(result.get_asset_materialization_events()) == 2
    assert len(list(store_of(bench).list("archive/packs/"))) == 2


def test_one_feed_alone_can_be_packed(bench: Bench) -> None:
    fill_hour(bench, FEEDS)
    result = bench.run(
        location(bench),
        JOB,
        partition_key=partition(LAST_HOUR),
        asset_selection=[keys.archive_key("production", TU)],
    )
    assert result.success
    assert list(store_of(bench).list("archive/packs/")) == [pack_key("production", TU, LAST_HOUR)]


@pytest.mark.parametrize("path", captures())
def test_every_capture_is_packed_with_its_entities_and_read_back(bench: Bench, path: Path) -> None:
    body = path.read_bytes()
    version = bench.archive("production", VP, body, fetched_at=LAST_HOUR)
    bench.archive("production", VP, vehicles(now()))
    results = Packer(store_of(bench), ENTITIES).pack("production", VP, [LAST_HOUR])
    assert results[LAST_HOUR].fetched == 1
    assert store_of(bench).stat(blob_key(version.body_digest)) is None
    assert bench.artifacts.archive().read(version) == body
    table = pq.read_table(io.BytesIO(store_of(bench).read(pack_key("production", VP, LAST_HOUR)))).to_pydict()
    assert table["entities"][0]
