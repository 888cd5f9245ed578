"""Archived versions run again, alone and as a range, and what a changed step list looks like in Dagster."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import AssetKey, Definitions, ExecuteInProcessResult
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from continuous_gtfs import names
from continuous_gtfs.definitions.schedule import build_definitions
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.defs.schedule_gates import GATES, VALIDATION_CHECK
from continuous_gtfs.gtfs.steps import RemoveRows, UpdateFields
from continuous_gtfs.gtfs.where import where
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs_tests.builders import small_feed
from continuous_gtfs_tests.defs.conftest import Bench, failures_of

JOB = "schedule_production"
NAME = names.schedule_publication("production")
TODAY = datetime.now(UTC).date()
TRANSFORMED = keys.transformed_feed_key("production")
PUBLISHED = keys.published_schedule_key("production")
RENAME = UpdateFields("agency.txt", where("agency_id", is_blank=False), {"agency_name": "Renamed"})


def location(bench: Bench, *steps: object) -> Definitions:
    return build_definitions(
        agency=bench.agency, steps=check_steps(steps), artifacts=bench.artifacts, vendor_access=VendorAccess()
    )


def archive(bench: Bench, *days_ago: int) -> list[str]:
    """A version fetched so many days ago, each with a feed_version of its own."""
    span = {"first_date": TODAY - timedelta(days=30), "last_date": TODAY + timedelta(days=60)}
    return [
        bench.archive(
            "production",
            "schedule",
            small_feed(**span, feed_version=str(days)),
            datetime.now(UTC) - timedelta(days=days),
        ).version_id
        for days in days_ago
    ]


def run_range(bench: Bench, definitions: Definitions, first: str, last: str, **options: Any) -> ExecuteInProcessResult:
    """As ``dagster asset materialize --partition-range`` and a backfill from the UI run it."""
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return bench.run(definitions, JOB, tags=tags, **options)


def is_stale(bench: Bench, definitions: Definitions, asset: AssetKey, version_id: str) -> bool:
    resolver = CachingStaleStatusResolver(
        instance=bench.instance,
        asset_graph=definitions.resolve_asset_graph(),
        loading_context=LoadingContextForTest(bench.instance),
    )
    return resolver.get_status(asset, version_id) is StaleStatus.STALE


def test_a_range_is_transformed_and_judged_version_by_version_in_one_run(bench: Bench) -> None:
    versions = archive(bench, 4, 3, 2, 1)
    result = run_range(bench, location(bench, RENAME), versions[0], versions[2], asset_selection=[TRANSFORMED])
    assert result.success, failures_of(result)
    records = [bench.artifacts.transformed().load("production", version_id) for version_id in versions]
    assert [record is not None for record in records] == [True, True, True, False]
    for record in records[:3]:
        assert record is not None
        assert [one["name"] for one in record.step_results] == ["update_fields_agency"]
        assert record.validation is not None
        assert record.validation["is_passed"]
        assert set(record.gates) == set(GATES) - {VALIDATION_CHECK}
    materialized = {event.partition for event in result.get_asset_materialization_events()}
    assert materialized == set(versions[:3])
    assert bench.live(NAME) is None
    stored = bench.instance.get_run_by_id(result.run_id)
    assert stored is not None
    assert stored.tags[names.STEPS_TAG] == "3 ok, 3 rows changed"


def test_a_version_gives_the_same_bytes_in_a_range_as_alone(bench: Bench) -> None:
    first, last = archive(bench, 2, 1)
    definitions = location(bench, RENAME)
    assert bench.run(definitions, JOB, partition_key=last, asset_selection=[TRANSFORMED]).success
    alone = bench.artifacts.transformed().load("production", last)
    assert run_range(bench, definitions, first, last, asset_selection=[TRANSFORMED]).success
    in_range = bench.artifacts.transformed().load("production", last)
    assert alone is not None
    assert in_range is not None
    assert alone.run_id != in_range.run_id
    assert (alone.feed_digest, alone.index_digest) == (in_range.feed_digest, in_range.index_digest)


def test_one_bad_version_of_a_range_fails_the_run_and_is_named(bench: Bench) -> None:
    first, last = archive(bench, 2, 1)
    assert bench.run(location(bench), JOB, partition_key=last).success
    definitions = location(bench, RemoveRows("stops.txt", where("stop_id", equals="N")))
    result = run_range(bench, definitions, first, last, asset_selection=[TRANSFORMED])
    assert not result.success
    (check,) = [one for one in result.get_asset_check_evaluations() if one.check_name == VALIDATION_CHECK]
    assert f"{first}: new errors" in str(check.description)


def test_a_range_that_is_named_backwards_is_one_sentence(bench: Bench) -> None:
    first, last = archive(bench, 2, 1)
    result = run_range(bench, location(bench), last, first, asset_selection=[TRANSFORMED])
    assert not result.success
    assert "name first the one that comes first" in failures_of(result)
    assert bench.artifacts.transformed().load("production", first) is None


def test_a_whole_pipeline_over_a_range_publishes_the_newest(bench: Bench) -> None:
    versions = archive(bench, 3, 2, 1)
    result = run_range(bench, location(bench), versions[0], versions[-1])
    assert result.success, failures_of(result)
    live = bench.live(NAME)
    assert live is not None
    assert live.facts["inputs"]["schedule"]["version_id"] == versions[-1]
    assert [release.label.partition("-")[0] for release in live.previous] == [versions[1], versions[0]]


def test_the_live_version_run_again_by_other_steps_is_published_only_when_asked(bench: Bench) -> None:
    (version_id,) = archive(bench, 1)
    assert bench.run(location(bench), JOB, partition_key=version_id).success
    before = (bench.published / f"{NAME}.manifest.json").read_bytes()
    assert bench.run(location(bench, RENAME), JOB, partition_key=version_id, asset_selection=[TRANSFORMED]).success
    assert (bench.published / f"{NAME}.manifest.json").read_bytes() == before
    assert bench.run(location(bench, RENAME), JOB, partition_key=version_id).success
    live = bench.live(NAME)
    assert live is not None
    assert list(live.facts["step_hashes"]) == ["update_fields_agency"]


def test_a_changed_step_list_shows_what_the_old_one_made_as_stale(bench: Bench) -> None:
    (version_id,) = archive(bench, 1)
    assert bench.run(location(bench), JOB, partition_key=version_id).success
    assert not is_stale(bench, location(bench), TRANSFORMED, version_id)
    assert is_stale(bench, location(bench, RENAME), TRANSFORMED, version_id)
    assert bench.run(location(bench, RENAME), JOB, partition_key=version_id).success
    assert not is_stale(bench, location(bench, RENAME), TRANSFORMED, version_id)


def test_so_many_earlier_versions_stay_at_their_own_url_as_the_agency_says(bench: Bench) -> None:
    bench.agency = replace(bench.agency, keep_schedule_versions=2)
    versions = archive(bench, 6, 5, 4, 3, 2, 1)
    for version_id in versions:
        assert bench.run(location(bench), JOB, partition_key=version_id).success
    live = bench.live(NAME)
    assert live is not None
    listed = [item.version_path for release in live.previous for item in release.objects if item.extension == "zip"]
    assert [path.rpartition("/")[2].partition("-")[0] for path in listed] == [versions[4], versions[3]]
    assert all((bench.published / path).is_file() for path in listed)
    kept = {path.name.partition("-")[0] for path in (bench.published / "schedule/production/versions/gtfs").iterdir()}
    # What fell off last stays until the next publication, for a reader of the manifest before.
    assert kept == set(versions[2:])
