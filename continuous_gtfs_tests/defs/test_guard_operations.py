"""The commands of docs/operations.md on guards and validation of realtime feeds, as they stand there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from continuous_gtfs import names
from continuous_gtfs.definitions.realtime import build_definitions
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs_tests.defs.test_operations import Console, console
from continuous_gtfs_tests.defs.test_realtime_assets import JOB, VP, now
from continuous_gtfs_tests.defs.test_realtime_guards import vehicles
from continuous_gtfs_tests.defs.test_realtime_validation import publish_schedule
from continuous_gtfs_tests.documents import operations_line

__all__ = ["console"]


def test_an_operator_accepts_a_fall_and_validates_what_is_live(console: Console) -> None:
    bench = console.bench
    publish_schedule(bench)
    location = build_definitions(agency=bench.agency, steps=(), artifacts=bench.artifacts, vendor_access=VendorAccess())
    bench.archive("production", VP, vehicles(now() - timedelta(seconds=20), 20))
    assert bench.run(location, JOB).success
    fallen = bench.archive("production", VP, vehicles(now(), 3))
    assert not bench.run(location, JOB).success
    accepted = console.run(operations_line("-j realtime_production"))
    assert accepted.exit_code == 0, accepted.output
    manifest = bench.live(names.realtime_publication("production", VP))
    assert manifest is not None
    assert manifest.facts["inputs"][VP]["version_id"] == fallen.version_id
    assert list(manifest.facts["accepted"]) == ["does_not_lose_entities"]

    validated = console.run(operations_line("-j validate_realtime_production"))
    assert validated.exit_code == 0, validated.output
    assert len(list(Path(bench.artifacts.archive_url, "validation/production/reports").glob("*.json"))) == 1
