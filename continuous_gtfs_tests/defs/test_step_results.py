"""What a run says of its steps: a table on each op, a line in its tags."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import Definitions, ExecuteInProcessResult

from continuous_gtfs import names
from continuous_gtfs.definitions.schedule import build_definitions
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.defs.step_results import step_summary, step_tables
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.steps import RemoveRows, UpdateFields
from continuous_gtfs.gtfs.where import where
from continuous_gtfs.pipeline.results import Finding, RowChanges, StepResult
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs.pipeline.step import step
from continuous_gtfs_tests.builders import small_feed
from continuous_gtfs_tests.defs.conftest import Bench

TODAY = datetime.now(UTC).date()
NO_NIGHT = [
    RemoveRows("trips.txt", where("trip_id", equals="NIGHT")),
    RemoveRows("stop_times.txt", where("trip_id", equals="NIGHT")),
    UpdateFields("agency.txt", where("agency_id", equals="A"), {"agency_name": "Renamed"}),
]


def run(bench: Bench, steps: list[object]) -> ExecuteInProcessResult:
    definitions: Definitions = build_definitions(
        agency=bench.agency, steps=check_steps(steps), artifacts=bench.artifacts, vendor_access=VendorAccess()
    )
    body = small_feed(first_date=TODAY - timedelta(days=7), last_date=TODAY + timedelta(days=60))
    version = bench.archive("production", "schedule", body)
    return bench.run(definitions, "schedule_production", partition_key=version.version_id)


def tag_of(bench: Bench, result: ExecuteInProcessResult) -> str:
    stored = bench.instance.get_run_by_id(result.run_id)
    assert stored is not None
    return stored.tags[names.STEPS_TAG]


def rows_of(result: ExecuteInProcessResult, op: str, name: str = "steps") -> list[dict[str, Any]]:
    """A table on an op's output."""
    (event,) = [e for e in result.all_events if e.is_successful_output and e.step_key.endswith(f".{op}")]
    table: Any = event.step_output_data.metadata[name]
    return [dict(record.data) for record in table.records]


def test_the_table_of_an_op_counts_rows_and_names_some_that_were_removed(bench: Bench) -> None:
    result = run(bench, NO_NIGHT)
    (row,) = rows_of(result, "remove_rows_trips")
    assert (row["removed"], row["added"], row["changed"], row["findings"]) == (1, 0, 0, "1 info")
    assert rows_of(result, "remove_rows_trips", "step_rows") == [
        {
            "step": "remove_rows_trips",
            "file": "trips.txt",
            "before": 3,
            "after": 2,
            "removed": 1,
            "added": 0,
            "changed": 0,
            "removed_ids": "NIGHT",
        }
    ]
    assert rows_of(result, "remove_rows_trips", "step_findings") == [
        {"step": "remove_rows_trips", "severity": "info", "finding": "1 row removed from trips.txt"}
    ]
    assert [one["step"] for one in rows_of(result, "store_transformed_feed")] == [
        "remove_rows_trips",
        "remove_rows_stop_times",
        "update_fields_agency",
    ]


def test_the_runs_tag_sums_the_steps_up(bench: Bench) -> None:
    result = run(bench, NO_NIGHT)
    assert tag_of(bench, result) == "3 ok, 4 rows removed, 1 row changed"


def test_the_runs_tag_says_which_step_failed_after_how_many(bench: Bench) -> None:
    @step(files=["stops.txt"])
    def stumble(feed: Feed) -> None:
        raise ValueError("no such stop")

    result = run(bench, [*NO_NIGHT, stumble])
    assert not result.success
    assert tag_of(bench, result) == "3 ok, 4 rows removed, 1 row changed, stumble failed"


def test_a_large_number_is_told_with_commas_and_none_is_left_out() -> None:
    result = StepResult(
        name="remove",
        status="success",
        duration_s=0.1,
        changes={"a.txt": RowChanges(removed=8123, added=2), "b.txt": RowChanges(added=1)},
        source_hash="0",
    )
    assert step_summary([result]) == "1 ok, 8,123 rows removed, 3 rows added"
    tables = step_tables([result])
    assert set(tables) == {"steps", "step_rows"}
    (record,) = tables["steps"].records
    assert (record.data["removed"], record.data["added"]) == (8123, 3)
    assert [(one.data["file"], one.data["added"]) for one in tables["step_rows"].records] == [
        ("a.txt", 2),
        ("b.txt", 1),
    ]
    assert step_summary([]) == "0 ok"


def test_on_the_page_of_a_feed_stands_what_is_about_it_also_where_nothing_of_it_was_changed() -> None:
    feeds = ("trip_updates", "vehicle_positions")
    result = StepResult(
        name="filter_stops",
        status="success",
        duration_s=0.0012,
        rows_before=dict.fromkeys(feeds, 9),
        rows_after={"trip_updates": 9, "vehicle_positions": 8},
        changes={"vehicle_positions": RowChanges(removed=1)},
        findings=(
            Finding("info", "one", "of the vehicles", file="vehicle_positions"),
            Finding("info", "two", "of the trips", file="trip_updates"),
            Finding("warning", "three", "of both"),
        ),
        source_hash="0",
    )
    for feed, after, said in (("trip_updates", 9, "of the trips"), ("vehicle_positions", 8, "of the vehicles")):
        tables = step_tables([result], feed=feed)
        assert [record.data["duration_ms"] for record in tables["steps"].records] == [1.2]
        (row,) = tables["step_rows"].records
        assert (row.data["file"], row.data["before"], row.data["after"]) == (feed, 9, after)
        assert [record.data["finding"] for record in tables["step_findings"].records] == [said, "of both"]
    assert "step_rows" not in step_tables([result], feed="alerts")
