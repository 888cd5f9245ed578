"""What the page of a published realtime feed shows: pictures, and what each step did, also where nothing went out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import AssetMaterialization, Definitions, ExecuteInProcessResult
from dagster._serdes import serialize_value

from continuous_gtfs.definitions.realtime import build_definitions
from continuous_gtfs.defs.realtime_pictures import AGE_HISTORY_FACT, age_history
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs.pipeline.step import step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.pictures import SHOWN_AT_ONCE
from continuous_gtfs.realtime.steps import FilterStopsByID, UpdateFeedHeader
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle

JOB = "realtime_production"
VP, TU = "vehicle_positions", "trip_updates"
STEPS: list[object] = [FilterStopsByID(["E01-T1"]), UpdateFeedHeader(version="2.0")]


def now() -> datetime:
    return datetime.now(UTC)


def archive_pair(bench: Bench, *, age_s: float = 0, vehicles: int = 3) -> None:
    timestamp = int(now().timestamp() - age_s)
    body = feed_message(*(vehicle(f"v{number}", "S1") for number in range(vehicles)), timestamp=timestamp)
    bench.archive("production", VP, body.SerializeToString())
    body = feed_message(trip_update("T1", "S1", "E01-T1"), trip_update("T2", "S1"), timestamp=timestamp)
    bench.archive("production", TU, body.SerializeToString())


def location(bench: Bench, steps: list[object] | None = None) -> Definitions:
    return build_definitions(
        agency=bench.agency,
        steps=check_steps(STEPS if steps is None else steps),
        artifacts=bench.artifacts,
        vendor_access=VendorAccess(),
    )


def materialized(result: ExecuteInProcessResult) -> dict[str, AssetMaterialization]:
    """By the last part of the asset's key."""
    found = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return {one.asset_key.path[-1]: one for one in found}


def table(metadata: Any, name: str) -> list[dict[str, Any]]:
    return [dict(record.data) for record in metadata[name].records]


def test_a_feed_of_vehicles_shows_a_map_and_each_feed_its_ages(bench: Bench) -> None:
    archive_pair(bench)
    found = materialized(bench.run(location(bench), JOB))
    vehicles, trips = found["published_vehicle_positions"].metadata, found["published_trip_updates"].metadata
    assert str(vehicles["vehicle_map"].value).startswith("![Map of the vehicles](data:image/svg+xml,")
    assert "- 3 vehicles, 3 on a trip" in str(vehicles["vehicle_map"].value)
    assert "vehicle_map" not in trips
    for metadata in (vehicles, trips):
        assert str(metadata["age_chart"].value).startswith("![Age at publication](data:image/svg+xml,")


def test_the_ages_at_publication_grow_from_one_manifest_to_the_next(bench: Bench) -> None:
    for age_s in (40, 20):
        archive_pair(bench, age_s=age_s)
        assert bench.run(location(bench), JOB).success
    minutes = age_history(bench.live("realtime/production/vehicle_positions")).minutes
    assert 20 <= min(one.lowest_s for one in minutes) < 40 <= max(one.highest_s for one in minutes)


def test_a_rerun_of_what_is_live_is_no_publication_to_remember(bench: Bench) -> None:
    archive_pair(bench)
    assert bench.run(location(bench), JOB).success
    before = bench.live("realtime/production/vehicle_positions")
    assert bench.run(location(bench), JOB).success
    after = bench.live("realtime/production/vehicle_positions")
    assert before is not None
    assert after is not None
    assert before.facts[AGE_HISTORY_FACT] == after.facts[AGE_HISTORY_FACT] != ""


def test_a_vendor_that_went_back_to_what_is_live_has_published_it_once(bench: Bench) -> None:
    body = feed_message(vehicle("v1", "S1"), timestamp=int(now().timestamp())).SerializeToString()
    manifests = []
    for after_s in (0, 5):
        bench.archive("production", VP, body, fetched_at=now() + timedelta(seconds=after_s))
        assert bench.run(location(bench), JOB).success
        manifests.append(bench.live("realtime/production/vehicle_positions"))
    before, after = manifests
    assert before is not None
    assert after is not None
    assert before.order < after.order
    assert before.facts[AGE_HISTORY_FACT] == after.facts[AGE_HISTORY_FACT]


def test_each_feed_shows_what_the_steps_did_to_it(bench: Bench) -> None:
    archive_pair(bench)
    found = materialized(bench.run(location(bench), JOB))
    for feed, entities in ((VP, 3), (TU, 2)):
        metadata = found[f"published_{feed}"].metadata
        assert [row["step"] for row in table(metadata, "steps")] == ["FilterStopsByID", "UpdateFeedHeader"]
        assert {row["file"]: row["after"] for row in table(metadata, "step_rows")} == {feed: entities}
    said = table(found["published_trip_updates"].metadata, "step_findings")
    assert [row["finding"] for row in said] == ["1 updates for stop E01-T1"]
    assert "step_findings" not in found["published_vehicle_positions"].metadata


def test_a_materialization_stays_small(bench: Bench) -> None:
    history = age_history(None)
    for minute in range(360):
        at = now() - timedelta(minutes=minute)
        history = history.with_publication(at=at, age_s=0.5 + minute % 9).with_publication(at=at, age_s=0.2)
    archive_pair(bench, age_s=20, vehicles=150)
    assert bench.run(location(bench), JOB).success
    for feed in (VP, TU):
        path = bench.published / f"realtime/production/{feed}.manifest.json"
        live = age_history(bench.live(f"realtime/production/{feed}")).to_text()
        path.write_text(path.read_text().replace(live, history.to_text()))
    archive_pair(bench, vehicles=150)
    found = materialized(bench.run(location(bench), JOB))
    pictures = [
        len(str(one.metadata[name].value))
        for one in found.values()
        for name in ("age_chart", "vehicle_map")
        if name in one.metadata
    ]
    assert len(pictures) == 3
    assert max(pictures) < SHOWN_AT_ONCE
    assert sum(len(serialize_value(one)) for one in found.values()) < 18_000


def test_a_refused_feed_has_its_step_results_on_the_failure(bench: Bench) -> None:
    archive_pair(bench, age_s=500)
    result = bench.run(location(bench), JOB)
    assert not result.success
    assert [row["step"] for row in table(failure_metadata(result), "steps")] == ["FilterStopsByID", "UpdateFeedHeader"]


def test_a_failed_step_is_told_with_those_before_it(bench: Bench) -> None:
    @step(files=[VP])
    def stumble(feeds: RealtimeFeeds) -> None:
        raise ValueError("no such vehicle")

    archive_pair(bench)
    result = bench.run(location(bench, [*STEPS, stumble]), JOB)
    assert [(row["step"], row["status"]) for row in table(failure_metadata(result), "steps")] == [
        ("FilterStopsByID", "success"),
        ("UpdateFeedHeader", "success"),
        ("stumble", "failed"),
    ]


def failure_metadata(result: ExecuteInProcessResult) -> Any:
    (event,) = result.get_step_failure_events()
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.metadata
