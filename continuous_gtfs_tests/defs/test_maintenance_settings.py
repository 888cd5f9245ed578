"""How long things are kept, and the maintenance of a storage that is not PostgreSQL."""

from __future__ import annotations

import time

import pytest
from dagster import RunsFilter

from continuous_gtfs.defs import keys
from continuous_gtfs.defs.maintenance import maintain
from continuous_gtfs.defs.maintenance_settings import DAY_S, HOUR_S, Retention
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.pipeline_runs import VP, run_realtime


def test_what_is_not_set_has_its_default() -> None:
    given = {"CONTINUOUS_GTFS_KEEP_REALTIME_RUNS_HOURS": "6", "CONTINUOUS_GTFS_KEEP_FAILED_RUNS_DAYS": ""}
    retention = Retention.from_environment(given)
    assert retention == Retention(realtime_success_s=6 * HOUR_S, realtime_failure_s=14 * DAY_S)


@pytest.mark.parametrize(("value", "told"), [("two", "must be a number"), ("0.5", "at least an hour"), ("nan", "hour")])
def test_a_setting_that_cannot_be_used_is_refused_by_its_name(value: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"CONTINUOUS_GTFS_KEEP_REALTIME_RUNS_HOURS.*{told}"):
        Retention.from_environment({"CONTINUOUS_GTFS_KEEP_REALTIME_RUNS_HOURS": value})


def test_without_postgresql_old_runs_are_deleted_one_by_one_and_the_newest_stays(bench: Bench) -> None:
    runs = [run_realtime(bench, age_s=60 - 2 * number).run_id for number in range(3)]
    published = keys.published_realtime_key("production", VP)
    before = bench.instance.get_latest_materialization_event(published)
    now = time.time()
    assert "runs" not in maintain(bench.instance, bench.artifacts, Retention(), now=now + DAY_S).removed
    report = maintain(bench.instance, bench.artifacts, Retention(), now=now + 3 * DAY_S)
    assert report.removed["runs"].count == 2
    assert "not PostgreSQL" in report.text()
    assert [run.run_id for run in bench.instance.get_runs(RunsFilter())] == [runs[2]]
    assert bench.instance.get_latest_materialization_event(published) == before
