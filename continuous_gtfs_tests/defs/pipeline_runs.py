"""Runs of both pipelines as an agency has them, for tests of what is said of runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dagster import Definitions, ExecuteInProcessResult

from continuous_gtfs import names
from continuous_gtfs.definitions import realtime, schedule
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.gtfs.steps import RemoveRows, UpdateFields
from continuous_gtfs.gtfs.where import where
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs.realtime.steps import FilterStopsByID, UpdateFeedHeader
from continuous_gtfs_tests.builders import small_feed
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle

VP, TU = "vehicle_positions", "trip_updates"
REALTIME_STEPS: list[object] = [FilterStopsByID(["E01-T1"]), UpdateFeedHeader(version="2.0")]
NO_NIGHT: list[object] = [
    RemoveRows("trips.txt", where("trip_id", equals="NIGHT")),
    RemoveRows("stop_times.txt", where("trip_id", equals="NIGHT")),
    UpdateFields("agency.txt", where("agency_id", equals="A"), {"agency_name": "Renamed"}),
]


def schedule_location(bench: Bench, steps: list[object]) -> Definitions:
    return schedule.build_definitions(
        agency=bench.agency, steps=check_steps(steps), artifacts=bench.artifacts, vendor_access=VendorAccess()
    )


def realtime_location(bench: Bench, steps: list[object]) -> Definitions:
    return realtime.build_definitions(
        agency=bench.agency, steps=check_steps(steps), artifacts=bench.artifacts, vendor_access=VendorAccess()
    )


def run_schedule(bench: Bench, steps: list[object] | None = None) -> ExecuteInProcessResult:
    """One version of the small feed through the schedule pipeline."""
    today = datetime.now(UTC).date()
    body = small_feed(first_date=today - timedelta(days=7), last_date=today + timedelta(days=60))
    version = bench.archive("production", "schedule", body)
    location = schedule_location(bench, NO_NIGHT if steps is None else steps)
    return bench.run(location, "schedule_production", partition_key=version.version_id)


def run_realtime(
    bench: Bench, steps: list[object] | None = None, *, environment: str = "production", age_s: float = 0
) -> ExecuteInProcessResult:
    """A pair of feeds through the realtime pipeline, as the sensor asks for it."""
    timestamp = int(datetime.now(UTC).timestamp() - age_s)
    bodies = {
        VP: feed_message(vehicle("v1", "S1"), vehicle("v2", "E01-T1"), timestamp=timestamp),
        TU: feed_message(trip_update("T1", "S1", "E01-T1"), timestamp=timestamp),
    }
    versions = {feed: bench.archive(environment, feed, body.SerializeToString()) for feed, body in bodies.items()}
    tags = {
        names.TRIGGER_TAG: "new_version",
        names.CHANGED_TAG: f"{TU},{VP}",
        names.CODE_VERSION_TAG: "c0de",
        **{names.version_tag(feed): version.version_id for feed, version in versions.items()},
    }
    location = realtime_location(bench, REALTIME_STEPS if steps is None else steps)
    return bench.run(location, names.job_name("realtime", environment), tags=tags)
