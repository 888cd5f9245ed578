"""The commands of docs/operations.md on the realtime archive, as they stand there."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from continuous_gtfs.artifacts.packs import hour_name
from continuous_gtfs_tests.defs.snapshot_hours import LAST_HOUR, TU, VP, edited, fill_hour, partition
from continuous_gtfs_tests.defs.test_operations import Console, console
from continuous_gtfs_tests.defs.test_realtime_assets import trip_updates, vehicles
from continuous_gtfs_tests.documents import operations_line

__all__ = ["console"]

FEEDS = {VP: vehicles, TU: trip_updates}
HOUR = timedelta(hours=1)


def test_an_author_replays_an_hour_packs_it_and_replays_a_range(console: Console) -> None:
    hours = [LAST_HOUR - HOUR, LAST_HOUR]
    for hour in hours:
        fill_hour(
            console.bench,
            {VP: lambda at: vehicles(at, stop_id="E01"), TU: trip_updates},
            hour=hour,
            made=lambda body: edited(body, lambda message: None),
        )
    archive = Path(console.bench.artifacts.archive_url)
    done = console.run(operations_line("replay --partition HOUR"), HOUR=partition(LAST_HOUR))
    assert done.exit_code == 0, done.output
    first = json.loads((archive / f"replays/production/{hour_name(LAST_HOUR)}.json").read_bytes())
    assert first["outcomes"][VP] == {"different": 3}
    assert {change["field"] for change in first["changes"]} == {"vehicle.stop_id"}

    done = console.run(operations_line("archive_vehicle_positions"), HOUR=partition(LAST_HOUR))
    assert done.exit_code == 0, done.output
    packs = sorted(path.relative_to(archive).as_posix() for path in (archive / "archive/packs").rglob("*.parquet"))
    assert packs == [f"archive/packs/production/{feed}/{hour_name(LAST_HOUR)}.parquet" for feed in (TU, VP)]

    done = console.run(operations_line("replay --partition-range"), FIRST=partition(hours[0]), LAST=partition(hours[1]))
    assert done.exit_code == 0, done.output
    reports = [json.loads((archive / f"replays/production/{hour_name(hour)}.json").read_bytes()) for hour in hours]
    assert reports[1] == first
    assert reports[0]["outcomes"] == first["outcomes"]
    assert not console.bench.published.exists()
