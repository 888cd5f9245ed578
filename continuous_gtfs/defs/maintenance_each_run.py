"""Pruning runs one at a time through Dagster's own interface, for storages that are not PostgreSQL.

For `dagster dev` on SQLite: some dozens of runs, each with a file of its own. Dagster deletes a run's events with it,
so the newest runs of each asset and of each job stay whole; of an older hour the mark that it was packed goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

from continuous_gtfs import names
from continuous_gtfs.defs.maintenance_postgres import SHORT_LIVED
from continuous_gtfs.defs.maintenance_report import MaintenanceReport
from continuous_gtfs.defs.maintenance_settings import Retention

_ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
_PAGE = 200


def prune_each_run(
    instance: DagsterInstance,
    retention: Retention,
    report: MaintenanceReport,
    *,
    now: float,
    may_go_on: Callable[[], bool],
) -> None:
    """Deletes old runs as ``PostgresPruning`` does, with less kept of them. ``now`` in POSIX seconds."""
    kept = _newest_runs(instance)
    report.notes.append("the storage is not PostgreSQL: runs are deleted one by one, ticks as dagster.yaml says")
    for record in _old_runs(instance, retention, now):
        run = record.dagster_run
        if run.run_id in kept or _is_newest(instance, record):
            continue
        if not may_go_on():
            report.notes.append("time was up: more old runs are left for the next pass")
            return
        report.add("runs", 1)
        if not report.is_dry_run:
            instance.delete_run(run.run_id)


def _old_runs(instance: DagsterInstance, retention: Retention, now: float) -> Iterator[RunRecord]:
    shortest = min(retention.realtime_success_s, retention.realtime_failure_s, retention.others_s)
    before = datetime.fromtimestamp(now - shortest, UTC)
    cursor = None
    while True:
        page = instance.get_run_records(
            RunsFilter(statuses=_ENDED, created_before=before), limit=_PAGE, cursor=cursor, ascending=True
        )
        for record in page:
            ended = record.end_time or record.create_timestamp.timestamp()
            if ended < now - _kept_for(record, retention):
                yield record
        if len(page) < _PAGE:
            return
        cursor = page[-1].dagster_run.run_id


def _kept_for(record: RunRecord, retention: Retention) -> float:
    run = record.dagster_run
    if run.tags.get(names.PIPELINE_TAG, "").partition("/")[0] not in SHORT_LIVED:
        return retention.others_s
    return retention.realtime_success_s if run.status is DagsterRunStatus.SUCCESS else retention.realtime_failure_s


def _newest_runs(instance: DagsterInstance) -> set[str]:
    """Runs that an asset's page shows as its last."""
    kept = set()
    for key in instance.all_asset_keys():
        materialized = instance.get_latest_materialization_event(key)
        observed = instance.fetch_observations(key, limit=1).records
        kept |= {entry.run_id for entry in (materialized, *(one.event_log_entry for one in observed)) if entry}
    return kept


def _is_newest(instance: DagsterInstance, record: RunRecord) -> bool:
    """Whether it is the last run of its job that ended so; its checks are the last as well."""
    run = record.dagster_run
    newest = instance.get_run_ids(RunsFilter(job_name=run.job_name, statuses=[run.status]), limit=1)
    return list(newest) == [run.run_id]
