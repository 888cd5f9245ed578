"""The maintenance on a real instance in PostgreSQL: what goes, what stays, and that all questions are answered then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    DagsterInstance,
    DagsterRunStatus,
    ExecuteInProcessResult,
    RunsFilter,
    TableMetadataValue,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus
from sqlalchemy import inspect, text

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.maintenance import is_neglected, maintain
from continuous_gtfs.defs.maintenance_job import MAINTENANCE
from continuous_gtfs.defs.maintenance_postgres import TUNED_TABLES, alone, postgres_engine
from continuous_gtfs.defs.maintenance_report import MaintenanceReport
from continuous_gtfs.defs.maintenance_settings import DAY_S, Retention
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.run_history import read_history
from continuous_gtfs.defs.run_queries import RunQuery
from continuous_gtfs.defs.run_reports import run_reports
from continuous_gtfs.demo.postgres import EmbeddedPostgres
from continuous_gtfs_tests.defs import pipeline_runs
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.pipeline_runs import VP, run_schedule, schedule_location

SETTINGS = """\
storage:
  custom:
    module: continuous_gtfs.instance.storage
    class: PooledPostgresStorage
    config:
      postgres_url: "{url}"
compute_logs:
  module: continuous_gtfs.instance.compute_logs
  class: FileComputeLogManager
  config:
    base_dir: "{logs}"
telemetry:
  enabled: false
"""
PUBLISHED = keys.published_realtime_key("production", VP)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("maintenance") / "postgres")
    with server:
        yield server


@pytest.fixture
def bench(tmp_path: Path, postgres: EmbeddedPostgres) -> Iterator[Bench]:
    """As the others', with an instance as in production, empty."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(SETTINGS.format(url=postgres.url(), logs=tmp_path / "logs"))
    artifacts = Artifacts(archive_url=str(tmp_path / "archive"), published_url=str(tmp_path / "published"))
    with DagsterInstance.from_config(str(home)) as instance:
        instance.wipe()
        bench = Bench(load_agency(DEFAULT_AGENCY), artifacts, instance, tmp_path / "published")
        execute(bench, "TRUNCATE job_ticks, event_logs, asset_event_tags, asset_check_executions, asset_keys")
        yield bench


def execute(bench: Bench, statement: str, **values: Any) -> list[Any]:
    engine = postgres_engine(bench.instance)
    assert engine is not None
    with engine.begin() as connection:
        result = connection.execute(text(statement), values)
        return list(result) if result.returns_rows else []


def count(bench: Bench, table: str) -> int:
    return int(execute(bench, f"SELECT count(*) FROM {table}")[0][0])


def days_later(bench: Bench, days: float, *, is_dry_run: bool = False) -> MaintenanceReport:
    now = time.time() + days * DAY_S
    report = maintain(bench.instance, bench.artifacts, Retention(), now=now, is_dry_run=is_dry_run)
    assert report.failures == []
    return report


def run_ids(bench: Bench) -> set[str]:
    return set(bench.instance.get_run_ids())


def run_realtime(bench: Bench) -> ExecuteInProcessResult:
    """A run with a header of its own, newer than that of the run before."""
    runs = bench.instance.get_runs_count(RunsFilter(job_name="realtime_production"))
    return pipeline_runs.run_realtime(bench, age_s=60 - 2 * runs)


def refuse(bench: Bench) -> str:
    """A run that fails: its feed is far too old."""
    result = pipeline_runs.run_realtime(bench, age_s=5000)
    assert not result.success
    return result.run_id


def test_old_successes_go_with_all_that_is_theirs_and_the_newest_run_stays_whole(bench: Bench) -> None:
    old = {run_realtime(bench).run_id for _ in range(3)}
    newest = run_realtime(bench)
    rows = len(bench.instance.all_logs(newest.run_id))
    logs = bench.published.parent / "logs"
    assert old < {path.name for path in logs.iterdir()}
    assert days_later(bench, 1.9).removed["runs"].count == 0
    report = days_later(bench, 2.1)
    assert report.removed["runs"].count == 3
    assert report.removed["events of runs"].count == 3 * rows
    assert report.removed["events of runs"].bytes > 3000
    assert report.database_bytes is not None
    assert run_ids(bench) == {newest.run_id}
    for table in ("event_logs", "asset_check_executions", "run_tags"):
        left = execute(bench, f"SELECT DISTINCT run_id FROM {table}")
        assert [run_id for (run_id,) in left] == [newest.run_id], table
    orphans = "SELECT count(*) FROM asset_event_tags WHERE event_id NOT IN (SELECT id FROM event_logs)"
    assert execute(bench, orphans) == [(0,)]
    assert {path.name for path in logs.iterdir()} == {newest.run_id}
    assert days_later(bench, 2.1).removed["runs"].count == 0, "a second pass finds nothing"


def test_failures_stay_for_a_fortnight_and_schedules_for_much_longer(bench: Bench) -> None:
    first, second = refuse(bench), refuse(bench)
    success = run_realtime(bench).run_id
    schedules = [run_schedule(bench).run_id for _ in range(2)]
    assert days_later(bench, 13).removed["runs"].count == 0
    assert days_later(bench, 15).removed["runs"].count == 1
    assert run_ids(bench) == {second, success, *schedules}
    assert first not in run_ids(bench)
    assert days_later(bench, 401).removed["runs"].count == 1
    assert run_ids(bench) == {second, success, schedules[1]}


def test_a_run_in_progress_or_of_a_backfill_under_way_is_never_touched(bench: Bench) -> None:
    runs = [run_realtime(bench).run_id for _ in range(3)]
    execute(bench, "UPDATE runs SET status = 'STARTED' WHERE run_id = :id", id=runs[0])
    execute(bench, "UPDATE runs SET backfill_id = 'b' WHERE run_id = :id", id=runs[1])
    execute(bench, "INSERT INTO bulk_actions (key, status, timestamp) VALUES ('b', 'REQUESTED', now())")
    assert days_later(bench, 100).removed["runs"].count == 0
    execute(bench, "UPDATE bulk_actions SET status = 'COMPLETED_SUCCESS'")
    assert days_later(bench, 100).removed["runs"].count == 1
    assert run_ids(bench) == {runs[0], runs[2]}


def test_pages_reports_sensors_and_partitions_answer_as_before(bench: Bench) -> None:
    run_schedule(bench)
    for _ in range(2):
        refuse(bench)
        run_realtime(bench)

    def answers() -> dict[str, Any]:
        instance = bench.instance
        now = time.time()
        reports = run_reports(instance, RunQuery(limit=2, pipeline="realtime"), now=datetime.fromtimestamp(now, UTC))
        checks = [
            AssetCheckKey(keys.transformed_feed_key("production"), "has_trips"),
            AssetCheckKey(PUBLISHED, "guards_hold"),
        ]
        summaries = instance.event_log_storage.get_asset_check_summary_records(checks)
        transformed = keys.transformed_feed_key("production")
        return {
            "history": read_history(instance, "realtime/production", [PUBLISHED]),
            "published": instance.get_latest_materialization_event(PUBLISHED),
            "assets": {r.asset_entry.asset_key: r.asset_entry.last_run_id for r in instance.get_asset_records()},
            "checks": {key: summary.last_check_execution_record for key, summary in summaries.items()},
            "partitions": instance.get_materialized_partitions(transformed),
            "reports": [report.to_dict() for report in reports],
        }

    before = answers()
    assert before["history"].last_success is not None
    assert before["partitions"]
    assert days_later(bench, 20).removed["runs"].count == 2
    assert answers() == before
    assert bench.artifacts.publisher().current("realtime/production/vehicle_positions") is not None


def test_of_every_partition_the_newest_event_stays_when_its_run_goes(bench: Bench) -> None:
    runs = [run_schedule(bench).run_id for _ in range(3)]
    transformed = keys.transformed_feed_key("production")
    partitions = bench.instance.get_materialized_partitions(transformed)
    # As an hour that was packed: a partition of its own, in a run that is long over.
    execute(bench, "UPDATE event_logs SET partition = 'older' WHERE run_id = ANY(:ids)", ids=runs[:2])
    days_later(bench, 500)
    assert run_ids(bench) == {runs[2]}
    assert bench.instance.get_materialized_partitions(transformed) == partitions | {"older"}
    left = execute(bench, "SELECT DISTINCT run_id FROM event_logs")
    assert {run_id for (run_id,) in left} == {runs[1], runs[2]}


def test_what_sensors_reported_goes_but_for_the_newest_of_each_asset_and_partition(bench: Bench) -> None:
    feed, versions = keys.pims_key("production", VP), keys.pims_key("production", "schedule")
    for number in range(5):
        bench.instance.report_runless_asset_event(
            AssetMaterialization(feed, tags={"dagster/data_version": str(number)})
        )
        bench.instance.report_runless_asset_event(AssetMaterialization(versions, partition=str(number % 2)))
        bench.instance.report_runless_asset_event(
            AssetCheckEvaluation(asset_key=feed, check_name="vendor_answers", passed=True, description=str(number))
        )
    assert days_later(bench, 1).removed["reports of sensors"].count == 0
    assert days_later(bench, 3).removed["reports of sensors"].count == 4 + 3
    assert bench.instance.get_materialized_partitions(versions) == {"0", "1"}
    assert days_later(bench, 15).removed["check results"].count == 4
    event = bench.instance.get_latest_materialization_event(feed)
    assert event is not None
    assert event.asset_materialization is not None
    assert (event.asset_materialization.tags or {})["dagster/data_version"] == "4"
    check = AssetCheckKey(feed, "vendor_answers")
    summary = bench.instance.event_log_storage.get_asset_check_summary_records([check])[check]
    assert summary.last_check_execution_record is not None
    assert summary.last_check_execution_record.event is not None
    assert count(bench, "event_logs") == 1 + 2 + 1
    assert count(bench, "asset_event_tags") == 1


def test_ticks_go_by_their_kind_and_the_newest_of_each_stays(bench: Bench) -> None:
    now = time.time()

    def tick(selector: str, kind: InstigatorType, status: TickStatus, age_days: float) -> None:
        moment = now - age_days * DAY_S
        execute(
            bench,
            "INSERT INTO job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body) "
            "VALUES (:selector, :selector, :status, :kind, :at, '{}')",
            selector=selector,
            status=status.value,
            kind=kind.value,
            at=datetime.fromtimestamp(moment, UTC),
        )

    for age in (40, 20, 3, 1, 0):
        tick("polls", InstigatorType.SENSOR, TickStatus.SUCCESS, age)
        tick("polls", InstigatorType.SENSOR, TickStatus.FAILURE, age)
        tick("packs", InstigatorType.SCHEDULE, TickStatus.SUCCESS, age)
    tick("gone", InstigatorType.SENSOR, TickStatus.SUCCESS, 100)
    assert days_later(bench, 0).removed["ticks"].count == 3 + 1 + 1
    left = execute(bench, "SELECT selector_id, status, count(*) FROM job_ticks GROUP BY 1, 2 ORDER BY 1, 2")
    assert [tuple(row) for row in left] == [
        ("gone", "SUCCESS", 1),
        ("packs", "SUCCESS", 4),
        ("polls", "FAILURE", 4),
        ("polls", "SUCCESS", 2),
    ]


def test_what_ticks_have_logged_goes_with_age_and_no_other_file(bench: Bench) -> None:
    folder = bench.published.parent / "logs" / "__repository__" / "realtime_production_sensor"
    folder.mkdir(parents=True)
    for name in ("7.err", "8.out", "notes.txt"):
        (folder / name).write_text("a line")
    assert days_later(bench, 29).removed["logs of runs and ticks"].count == 0
    removed = days_later(bench, 31).removed["logs of runs and ticks"]
    assert (removed.count, removed.bytes) == (2, 2 * len("a line"))
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_dry_run_counts_what_would_go_and_removes_nothing(bench: Bench) -> None:
    for _ in range(3):
        run_realtime(bench)
    tables = ("runs", "event_logs", "asset_event_tags", "asset_check_executions")
    before = {table: count(bench, table) for table in tables}
    dry = days_later(bench, 3, is_dry_run=True)
    assert {table: count(bench, table) for table in tables} == before
    assert "would remove" in dry.text()
    done = days_later(bench, 3)
    # What runs printed goes when the runs are gone, which a dry run leaves.
    for kind in dry.removed.keys() - {"logs of runs and ticks"}:
        assert done.removed[kind].count == dry.removed[kind].count, kind
    assert done.removed["runs"].count == 2


def test_when_time_is_up_the_rest_is_left_for_the_next_pass(bench: Bench) -> None:
    for _ in range(2):
        run_realtime(bench)
    now = time.time() + 3 * DAY_S
    report = maintain(bench.instance, bench.artifacts, Retention(), now=now, longest_s=0)
    assert report.removed["runs"].count == 0
    assert any("next pass" in note for note in report.notes)
    assert days_later(bench, 3).removed["runs"].count == 1


def test_the_job_shows_what_it_removed_and_has_autovacuum_look_more_often(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_KEEP_REALTIME_RUNS_HOURS", "1")
    runs = [run_realtime(bench).run_id for _ in range(2)]
    execute(bench, "UPDATE runs SET end_time = end_time - 7200 WHERE run_id = ANY(:ids)", ids=runs)
    result = bench.run(schedule_location(bench, []), MAINTENANCE)
    assert result.success
    (materialization,) = result.asset_materializations_for_node("remove_what_is_old")
    table = materialization.metadata["removed"]
    assert isinstance(table, TableMetadataValue)
    rows = {row.data["kind"]: row.data["count"] for row in table.records}
    assert rows["runs"] == 1
    assert materialization.metadata["removed_runs"].value == 1
    tuned = "SELECT relname FROM pg_class WHERE reloptions::text LIKE '%autovacuum_vacuum_scale_factor=0.02%'"
    assert {name for (name,) in execute(bench, tuned)} == set(TUNED_TABLES)
    assert bench.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.SUCCESS]))


def test_the_maintenance_of_an_agency_with_a_key_leaves_the_storage_to_the_one_without(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_KEEP_REALTIME_RUNS_HOURS", "1")
    runs = [run_realtime(bench).run_id for _ in range(3)]
    execute(bench, "UPDATE runs SET end_time = end_time - 7200 WHERE run_id = ANY(:ids)", ids=runs)
    keyed = Bench(load_agency(f"capital={DEFAULT_AGENCY}"), bench.artifacts, bench.instance, bench.published)
    days_later(bench, 0)
    assert keyed.run(schedule_location(keyed, []), "maintenance_capital").success
    assert set(runs) <= run_ids(bench)
    event = bench.instance.get_latest_materialization_event(AssetKey("maintenance_capital"))
    assert event is not None
    assert event.asset_materialization is not None
    assert "database_bytes" not in event.asset_materialization.metadata
    assert bench.run(schedule_location(bench, []), MAINTENANCE).success
    assert set(runs) & run_ids(bench) == {runs[2]}


def test_a_storage_that_nobody_has_cared_for_is_cared_for_by_an_agency_with_a_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_KEEP_REALTIME_RUNS_HOURS", "1")
    runs = [run_realtime(bench).run_id for _ in range(2)]
    execute(bench, "UPDATE runs SET end_time = end_time - 7200 WHERE run_id = ANY(:ids)", ids=runs)
    days_later(bench, -4 / 24)
    keyed = Bench(load_agency(f"capital={DEFAULT_AGENCY}"), bench.artifacts, bench.instance, bench.published)
    assert keyed.run(schedule_location(keyed, []), "maintenance_capital").success
    assert set(runs) & run_ids(bench) == {runs[1]}
    assert not is_neglected(bench.instance, now=time.time())


def test_a_second_pass_at_the_same_time_leaves_the_storage_to_the_first(bench: Bench) -> None:
    for _ in range(2):
        run_realtime(bench)
    engine = postgres_engine(bench.instance)
    assert engine is not None
    with alone(engine) as is_alone:
        assert is_alone
        report = days_later(bench, 3)
        assert "runs" not in report.removed
        assert any("another pass" in note for note in report.notes)
    assert days_later(bench, 3).removed["runs"].count == 1


def test_a_store_that_fails_fails_the_job_and_holds_up_nothing_else(bench: Bench) -> None:
    for _ in range(2):
        run_realtime(bench)
    broken = bench.published / "realtime/production/vehicle_positions.manifest.json"
    broken.write_text("{")
    report = maintain(bench.instance, bench.artifacts, Retention(), now=time.time() + 3 * DAY_S)
    assert report.removed["runs"].count == 1
    assert len(report.failures) == 1
    assert "vehicle_positions.manifest.json is not a manifest" in report.failures[0]
    assert not bench.run(schedule_location(bench, []), MAINTENANCE).success


def test_the_tables_are_those_that_pruning_was_written_for(bench: Bench) -> None:
    """Every column by which a table refers to runs or events. Another one means that a release has added a table
    whose rows would be left behind, or that holds what must stay."""
    engine = postgres_engine(bench.instance)
    assert engine is not None
    found = inspect(engine)
    columns = {table: [column["name"] for column in found.get_columns(table)] for table in found.get_table_names()}
    references = {
        f"{table}.{name}" for table, of_table in columns.items() for name in of_table if name.endswith("run_id")
    }
    assert references == {
        "asset_check_executions.run_id",
        "asset_keys.last_run_id",
        "concurrency_slots.run_id",
        "event_logs.run_id",
        "pending_steps.run_id",
        "run_tags.run_id",
        "runs.run_id",
    }
    events = {f"{table}.{name}" for table, of_table in columns.items() for name in of_table if "event" in name}
    assert events == {
        "asset_check_executions.evaluation_event",
        "asset_check_executions.evaluation_event_storage_id",
        "asset_check_executions.evaluation_event_timestamp",
        "asset_check_executions.materialization_event_storage_id",
        "asset_event_tags.event_id",
        "asset_event_tags.event_timestamp",
        "event_logs.dagster_event_type",
        "event_logs.event",
    }
    assert [key["options"] for key in found.get_foreign_keys("run_tags")] == [{"ondelete": "CASCADE"}]
    assert sorted(columns) == [
        "alembic_version",
        "asset_check_executions",
        "asset_daemon_asset_evaluations",
        "asset_event_tags",
        "asset_keys",
        "backfill_tags",
        "bulk_actions",
        "concurrency_limits",
        "concurrency_slots",
        "daemon_heartbeats",
        "dynamic_partitions",
        "event_logs",
        "instance_info",
        "instigators",
        "job_ticks",
        "jobs",
        "kvs",
        "pending_steps",
        "run_tags",
        "runs",
        "secondary_indexes",
        "snapshots",
    ]
