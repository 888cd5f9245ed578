"""The hourly maintenance as Dagster has it: an asset whose page shows what was removed, its job and its schedule."""

import os
import time
from collections.abc import Mapping
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    DagsterRunStatus,
    DefaultScheduleStatus,
    Failure,
    MaterializeResult,
    MetadataValue,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    TableColumn,
    TableRecord,
    TableSchema,
    define_asset_job,
    in_process_executor,
    multi_asset,
    schedule,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from continuous_gtfs import names
from continuous_gtfs.defs.maintenance import maintain
from continuous_gtfs.defs.maintenance_report import MaintenanceReport
from continuous_gtfs.defs.maintenance_settings import Retention
from continuous_gtfs.defs.resources import Artifacts

MAINTENANCE = "maintenance"
"""Name of the asset, its job and its schedule, and its value of the pipeline tag."""
# Between the packing of the past hour and the next one's; not with the quarter hours of the validation.
MAINTENANCE_CRON = "23 * * * *"
_FINISHED = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
_SCHEMA = TableSchema(columns=[TableColumn("kind", "string"), TableColumn("count", "int"), TableColumn("bytes", "int")])


def maintenance_asset() -> AssetsDefinition:
    """What each pass removed, and how large the database is."""

    @multi_asset(
        # An op cannot be named as a job is.
        name="remove_what_is_old",
        specs=[
            AssetSpec(
                AssetKey(MAINTENANCE),
                group_name=MAINTENANCE,
                description=(
                    "Old runs with their events, ticks and logs, and what publications have left behind, are removed "
                    "here every hour. The newest of everything stays."
                ),
            )
        ],
    )
    def maintenance(context: AssetExecutionContext, artifacts: Artifacts) -> MaterializeResult[None]:
        retention = Retention.from_environment(os.environ)
        report = maintain(context.instance, artifacts, retention, now=time.time())
        context.log.info("%s", report.text().rstrip())
        if report.failures:
            raise Failure(description="; ".join(report.failures), metadata=_metadata(report), allow_retries=False)
        return MaterializeResult(metadata=_metadata(report))

    return maintenance


def maintenance_job() -> UnresolvedAssetJobDefinition:
    """The job of the asset."""
    return define_asset_job(
        MAINTENANCE,
        selection=[AssetKey(MAINTENANCE)],
        executor_def=in_process_executor,
        description="Removes what has been kept for long enough.",
        tags={names.PIPELINE_TAG: MAINTENANCE, "dagster/max_runtime": "1800"},
    )


def maintenance_schedule() -> ScheduleDefinition:
    """Runs the job every hour, one at a time."""

    @schedule(
        name=MAINTENANCE,
        job_name=MAINTENANCE,
        cron_schedule=MAINTENANCE_CRON,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Removes what has been kept for long enough, unless the last pass is still at it.",
    )
    def every_hour(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        not_finished = [status for status in DagsterRunStatus if status not in _FINISHED]
        if context.instance.get_run_ids(RunsFilter(job_name=MAINTENANCE, statuses=not_finished), limit=1):
            return SkipReason("the last pass is still at it")
        return RunRequest()

    return every_hour


def _metadata(report: MaintenanceReport) -> Mapping[str, Any]:
    values: dict[str, Any] = {
        "removed": MetadataValue.table(
            schema=_SCHEMA,
            records=[
                TableRecord({"kind": kind, "count": one.count, "bytes": one.bytes})
                for kind, one in report.removed.items()
            ],
        ),
        "removed_runs": report.removed["runs"].count if "runs" in report.removed else 0,
        "removed_bytes": sum(one.bytes for one in report.removed.values()),
    }
    if report.database_bytes is not None:
        values["database_bytes"] = report.database_bytes
    if report.notes:
        values["notes"] = "; ".join(report.notes)
    return values
