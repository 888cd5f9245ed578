"""The sampled validation: every quarter of an hour the full rule set judges what is live, in a job of its own.

It stands beside publication and never before it: what must hold before a feed goes out is a guard.
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    DagsterRunStatus,
    DefaultScheduleStatus,
    MaterializeResult,
    MetadataValue,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    TableMetadataValue,
    asset,
    define_asset_job,
    in_process_executor,
    schedule,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.validations import Validations
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.failures import REALTIME_RETRIES, failures_explained
from continuous_gtfs.defs.realtime_samples import Sample, messages_of, prepared_schedule, take_sample
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.tables import table
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.realtime.validation import RealtimeReport, RuleFinding, validate_messages

NO_ERRORS_CHECK = "no_validator_errors"
VALIDATION_POOL = "realtime_validation"

_MAX_RUNTIME_S = 1_200
_COLUMNS = {"rule": "string", "severity": "string", "count": "int", "title": "string", "sample": "string"}
_FINISHED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


def validation_asset(agency: Agency, environment: str, feeds: Sequence[str]) -> AssetsDefinition:
    """``realtime/<environment>/validation``: a materialization is one sample."""
    sampling = agency.realtime_validation

    @asset(
        key=keys.realtime_validation_key(environment),
        group_name=f"realtime_{environment}",
        description=(
            "What gtfs-rt-validator finds in the realtime feeds that are live, against the published schedule. The "
            "whole report lies in the archive."
        ),
        kinds={"json"},
        deps=[
            *(keys.published_realtime_key(environment, feed) for feed in feeds),
            keys.published_schedule_key(environment),
        ],
        check_specs=[
            AssetCheckSpec(
                NO_ERRORS_CHECK,
                asset=keys.realtime_validation_key(environment),
                description=(
                    "No rule of severity ERROR is broken"
                    + (f", apart from {', '.join(sorted(sampling.ignored_rules))}." if sampling.ignored_rules else ".")
                ),
            )
        ],
        pool=VALIDATION_POOL,
    )
    def validation(context: AssetExecutionContext, artifacts: Artifacts) -> Iterator[MaterializeResult[None]]:
        with failures_explained(REALTIME_RETRIES, context.op_execution_context.retry_number):
            sample = take_sample(artifacts, environment, feeds)
            if isinstance(sample, str):
                raise ConfigurationError(sample)
            store = Validations(open_store(artifacts.archive_url), environment)
            # Read before the schedule is prepared, which may take minutes: only the last versions are kept.
            messages = {feed: messages_of(artifacts, manifest) for feed, manifest in sample.live.items()}
            started = time.perf_counter()
            schedule, prepared = prepared_schedule(artifacts, store, sample.schedule)
            prepared_s = time.perf_counter() - started
            report = validate_messages(schedule, messages, at=sample.at)
            key = store.save_report(
                sample.at, _report_bytes(report, sample), keep=agency.realtime_validation.keep_reports
            )
        context.log.info("%s; schedule %s in %.1f s", _told(report), prepared, prepared_s)
        counted = report.errors(ignored=sampling.ignored_rules)
        errors, all_errors = _count(counted), _count(report.errors())
        yield MaterializeResult(
            metadata={
                "findings": _table(report),
                "errors": all_errors,
                "warnings": _count(report.findings) - all_errors,
                "rules_asked": len(report.rules),
                "messages": report.messages,
                "validated": MetadataValue.json(sample.labels),
                "validator": report.validator,
                "report_json": artifacts.link(key),
                "prepared_schedule": prepared,
                "preparation_s": round(prepared_s, 3),
                "duration_s": round(time.perf_counter() - started, 3),
            },
            check_results=[
                AssetCheckResult(
                    check_name=NO_ERRORS_CHECK,
                    passed=not errors,
                    severity=AssetCheckSeverity.WARN,
                    description=_told(report),
                    metadata={
                        "errors": errors,
                        "threshold": 0,
                        "rules": ", ".join(finding.rule for finding in counted) or "none",
                    },
                )
            ],
        )

    return validation


def validation_job(environment: str) -> UnresolvedAssetJobDefinition:
    """A job of its own: a slow validation holds no publication up."""
    return define_asset_job(
        names.validation_job_name(environment),
        selection=[keys.realtime_validation_key(environment)],
        executor_def=in_process_executor,
        description=f"Validates the realtime feeds of {environment} that are live by the full rule set.",
        tags={
            names.PIPELINE_TAG: names.pipeline_name("realtime_validation", environment),
            "dagster/max_runtime": str(_MAX_RUNTIME_S),
        },
    )


def validation_schedule(agency: Agency, environment: str, feeds: Sequence[str]) -> ScheduleDefinition | None:
    """Asks for a sample when something else is live than at the last; None where the agency wants none."""
    cron = agency.realtime_validation.cron
    if cron is None:
        return None
    job = names.validation_job_name(environment)

    @schedule(
        name=job,
        job_name=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description=f"Validates what is live of {environment}'s realtime feeds, unless that was validated already.",
    )
    def sample_what_is_live(context: ScheduleEvaluationContext, artifacts: Artifacts) -> RunRequest | SkipReason:
        sample = take_sample(artifacts, environment, feeds)
        if isinstance(sample, str):
            return SkipReason(sample)
        not_finished = [status for status in DagsterRunStatus if status not in _FINISHED]
        if context.instance.get_run_ids(RunsFilter(job_name=job, statuses=not_finished), limit=1):
            return SkipReason("the last sample is still being validated")
        event = context.instance.get_latest_materialization_event(keys.realtime_validation_key(environment))
        last = event.asset_materialization if event else None
        validated = last.metadata.get("validated") if last else None
        if validated is not None and validated.value == sample.labels:
            return SkipReason("what is live was validated already")
        return RunRequest()

    return sample_what_is_live


def _report_bytes(report: RealtimeReport, sample: Sample) -> bytes:
    document: dict[str, Any] = {"validated": sample.labels} | report.to_dict()
    return json.dumps(document, indent=1).encode()


def _count(findings: Iterable[RuleFinding]) -> int:
    return sum(finding.count for finding in findings)


def _told(report: RealtimeReport) -> str:
    found = ", ".join(f"{finding.rule} {finding.count}x" for finding in report.errors())
    return f"{len(report.rules)} rules asked of {report.messages} feeds; errors: {found or 'none'}"


def _table(report: RealtimeReport) -> TableMetadataValue:
    return table(
        _COLUMNS,
        [
            {
                "rule": finding.rule,
                "severity": finding.severity,
                "count": finding.count,
                "title": finding.title,
                "sample": next(iter(finding.samples), ""),
            }
            for finding in report.findings
        ],
    )
