"""The hourly maintenance as Dagster has it: an asset whose page shows what was removed, its job and its schedule.

Each agency has its own, named by its key; which of them cares for Dagster's storage is in ``maintenance``.
"""

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
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.defs.maintenance import is_neglected, maintain
from continuous_gtfs.defs.maintenance_report import MaintenanceReport
from continuous_gtfs.defs.maintenance_settings import Retention
from continuous_gtfs.defs.resources import Artifacts

MAINTENANCE = "maintenance"
"""Of the agency without a key: name of the asset, its job and its schedule. Of all: the group and the pipeline tag."""
# Between the packing of the past hour and the next one's; not with the quarter hours of the validation.
MAINTENANCE_CRON = "23 * * * *"
_FINISHED = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
_SCHEMA = TableSchema(columns=[TableColumn("kind", "string"), TableColumn("count", "int"), TableColumn("bytes", "int")])


def maintenance_asset(agency: Agency) -> AssetsDefinition:
    """What each pass removed, and how large the database is."""
    name = names.maintenance_name(agency.key)

    @multi_asset(
        # An op cannot be named as a job is.
        name=f"remove_what_is_old{'' if agency.key is None else f'_{agency.key}'}",
        specs=[
            AssetSpec(
                AssetKey(name),
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
        now = time.time()
        report = maintain(
            context.instance,
            artifacts,
            retention,
            now=now,
            is_for_stores_only=agency.key is not None and not is_neglected(context.instance, now=now),
        )
        context.log.info("%s", report.text().rstrip())
        if report.failures:
            raise Failure(description="; ".join(report.failures), metadata=_metadata(report), allow_retries=False)
        return MaterializeResult(metadata=_metadata(report))

    return maintenance


def maintenance_job(agency: Agency) -> UnresolvedAssetJobDefinition:
    """The job of the asset."""
    name = names.maintenance_name(agency.key)
    return define_asset_job(
        name,
        selection=[AssetKey(name)],
        executor_def=in_process_executor,
        description="Removes what has been kept for long enough.",
        tags={
            names.PIPELINE_TAG: MAINTENANCE if agency.key is None else names.pipeline_name(MAINTENANCE, agency.key),
            "dagster/max_runtime": "1800",
        },
    )


def maintenance_schedule(agency: Agency) -> ScheduleDefinition:
    """Runs the job every hour, one at a time."""
    name = names.maintenance_name(agency.key)

    @schedule(
        name=name,
        job_name=name,
        cron_schedule=MAINTENANCE_CRON,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Removes what has been kept for long enough, unless the last pass is still at it.",
    )
    def every_hour(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        not_finished = [status for status in DagsterRunStatus if status not in _FINISHED]
        if context.instance.get_run_ids(RunsFilter(job_name=name, statuses=not_finished), limit=1):
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
