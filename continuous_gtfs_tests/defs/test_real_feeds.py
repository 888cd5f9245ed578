"""Real feeds through sensor, archive, steps, gates and publication: nothing lost, nothing invented."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from google.transit import gtfs_realtime_pb2 as gtfs_rt

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_steps
from continuous_gtfs.definitions import realtime, schedule
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.pims.catalog import FeedKind
from continuous_gtfs_tests.defs.conftest import Bench, failures_of
from continuous_gtfs_tests.defs.test_sensors import sensor_of, tick
from continuous_gtfs_tests.real_data import real_data_path
from continuous_gtfs_tests.simulator.running import TOKENS, serve_in_thread

SCHEDULES = [
    "sound_transit_2023-08/schedule.zip",
    "sound_transit_2024-11/schedule.zip",
    "raba_2025/schedule.zip",
    "kingston/schedule.zip",
    "bullrunner/schedule.zip",
    "island_transit_2009/island-transit_20090312_0314.zip",
    "versions_renfe_ld/renfeld_2026-08-18_23-10.zip",
]


def entities_of(data: bytes) -> list[bytes]:
    """Each entity's bytes, in order."""
    return [entity.SerializeToString(deterministic=True) for entity in gtfs_rt.FeedMessage.FromString(data).entity]


@pytest.mark.parametrize("capture", ["sound_transit_2023-08", "raba_2025", "kingston"])
def test_every_entity_of_a_capture_is_published_when_no_step_names_its_stops(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capture: str
) -> None:
    folder = real_data_path(capture)
    definitions = realtime.build_definitions(
        agency=bench.agency,
        steps=load_steps(DEFAULT_AGENCY, "realtime"),
        artifacts=bench.artifacts,
        vendor_access=VendorAccess(),
    )
    with serve_in_thread(replay=folder, realtime_every_s=None) as vendor:
        monkeypatch.setenv("PIMS_PRODUCTION_URL", f"{vendor.url}/production")
        monkeypatch.setenv("CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS", "127.0.0.1")
        monkeypatch.setenv("PIMS_PRODUCTION_TOKEN", TOKENS["production"])
        (request,) = tick(bench, sensor_of(FeedKind.REALTIME)).run_requests or []
    result = bench.run(definitions, "realtime_production", tags=dict(request.tags))
    assert result.success, failures_of(result)
    for feed in ("vehicle_positions", "trip_updates"):
        captured = [
            entities_of(path.read_bytes())
            for path in sorted(folder.rglob("*.pb"))
            if feed in str(path.relative_to(folder))
        ]
        published = (bench.published / f"{names.realtime_publication('production', feed)}.pb").read_bytes()
        assert entities_of(published) in captured, f"{feed}: an entity was lost, changed or invented"


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_real_schedule_is_transformed_and_judged_without_a_traceback(bench: Bench, name: str) -> None:
    body = real_data_path(name).read_bytes()
    version = bench.archive("production", "schedule", body)
    definitions = schedule.build_definitions(
        agency=bench.agency,
        steps=load_steps(DEFAULT_AGENCY, "schedule"),
        artifacts=bench.artifacts,
        vendor_access=VendorAccess(),
    )
    result = bench.run(definitions, "schedule_production", partition_key=version.version_id)
    assert result.success, failures_of(result)
    published = zipfile.ZipFile(io.BytesIO((bench.published / "schedule/production/gtfs.zip").read_bytes()))
    original = zipfile.ZipFile(io.BytesIO(body))
    members = {Path(member).name for member in original.namelist() if not member.endswith("/")}
    # The step UpdateFeedInfo makes the file where the vendor has none.
    assert {Path(member).name for member in published.namelist()} == members | {"feed_info.txt"}
    assert bench.artifacts.archive().read(version) == body
