"""Runs as reports, read from Dagster's own events, the same form for schedule and realtime.

A schedule run has an op for each step, with a table on its output; a realtime run is one op, whose tables ride on what
it published. Not here: the form (``run_report``), which runs and which events (``run_queries``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetCheckSeverity,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    MetadataValue,
    RunRecord,
    TableMetadataValue,
)
from dagster._core.events.log import EventLogEntry

from continuous_gtfs import names
from continuous_gtfs.defs.run_queries import RunQuery, events_of, find_runs, pipeline_of, pipeline_of_asset
from continuous_gtfs.defs.run_report import (
    CheckReport,
    FindingReport,
    OpReport,
    OutputReport,
    RunReport,
    StepReport,
)

_PARTITION_TAG = "dagster/partition"
_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_TRIGGERS = {"dagster/backfill": "backfill", "dagster/schedule_name": "by_timer"}
_PARENT_TAG = "dagster/parent_run_id"
_COUNTS = ("before", "after", "removed", "added", "changed", "removed_ids")

_Record = dict[str, Any]


def run_reports(instance: DagsterInstance, query: RunQuery, *, now: datetime) -> list[RunReport]:
    """The runs that are asked for, newest first.

    Raises:
        ConfigurationError: See ``find_runs``.
    """
    records = find_runs(instance, query)
    events = events_of(instance, [record.dagster_run.run_id for record in records]) if records else {}
    return [report_of(record, events[record.dagster_run.run_id], now=now) for record in records]


def report_of(record: RunRecord, entries: Sequence[EventLogEntry], *, now: datetime) -> RunReport:
    """A run by its record and its events."""
    run = record.dagster_run
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    made = [
        event.step_materialization_data.materialization
        for event in events
        if event.event_type is DagsterEventType.ASSET_MATERIALIZATION
    ]
    checks = [
        event.asset_check_evaluation_data
        for event in events
        if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    tables = [_tables(metadata) for metadata in _metadata(events)]
    steps = _merged(table["steps"] for table in tables)
    ended = record.end_time if record.end_time is not None else now.timestamp()
    return RunReport(
        run_id=run.run_id,
        pipeline=pipeline_of(run) or next(filter(None, (pipeline_of_asset(one.asset_key) for one in made)), None),
        job=run.job_name,
        status=run.status.value.lower(),
        trigger=_trigger(run.tags),
        retry_of=run.tags.get(_PARENT_TAG),
        created_at=record.create_timestamp.astimezone(UTC),
        duration_s=None if record.start_time is None else round(ended - record.start_time, 3),
        inputs=_inputs(run.tags),
        changed=[
            feed for feed in run.tags.get(names.CHANGED_TAG, "").split(",") if feed not in ("", names.NONE_CHANGED)
        ],
        code_version=run.tags.get(names.CODE_VERSION_TAG),
        ops=_ops(events),
        steps=_steps(steps, _merged(table["step_rows"] for table in tables)),
        findings=_findings(_merged(table["step_findings"] for table in tables), steps),
        checks_passed=sum(check.passed for check in checks),
        failed_checks=[
            CheckReport(
                asset=check.asset_key.to_user_string(),
                name=check.check_name,
                severity="warn" if check.severity is AssetCheckSeverity.WARN else "error",
                message=check.description or "",
            )
            for check in checks
            if not check.passed
        ],
        outputs=[_output(materialization) for materialization in made],
        error=next((_run_error(event) for event in events if event.event_type is DagsterEventType.RUN_FAILURE), None),
    )


def _trigger(tags: Mapping[str, str]) -> str:
    asked_for = tags.get(names.TRIGGER_TAG)
    if asked_for is not None:
        return asked_for
    return next((told for tag, told in _TRIGGERS.items() if tag in tags), "by_hand")


def _inputs(tags: Mapping[str, str]) -> dict[str, str]:
    prefix = names.version_tag("")
    inputs = {key.removeprefix(prefix): value for key, value in tags.items() if key.startswith(prefix)}
    if not inputs and _PARTITION_TAG in tags:
        inputs["schedule"] = tags[_PARTITION_TAG]
    if not inputs and _RANGE_TAGS[0] in tags:
        inputs["schedule"] = "...".join(tags.get(tag, "") for tag in _RANGE_TAGS)
    return inputs


def _ops(events: Iterable[DagsterEvent]) -> list[OpReport]:
    ops: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.step_key is None:
            continue
        name = event.step_key.rpartition(".")[2]
        op = ops.setdefault(name, {"status": "in_progress", "duration_ms": None, "retries": 0, "error": None})
        if event.event_type is DagsterEventType.STEP_SUCCESS:
            op |= {"status": "success", "duration_ms": round(event.step_success_data.duration_ms, 3), "error": None}
        elif event.event_type is DagsterEventType.STEP_FAILURE:
            op |= {"status": "failed", "error": _failure(event)}
        elif event.event_type is DagsterEventType.STEP_SKIPPED:
            op |= {"status": "skipped"}
        elif event.event_type is DagsterEventType.STEP_UP_FOR_RETRY:
            op |= {"retries": op["retries"] + 1}
    return [OpReport(name=name, **op) for name, op in ops.items()]


def _failure(event: DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return _one_line(data.user_failure_data.description)
    return _one_line(data.error.message if data.error is not None else event.message or "")


def _run_error(event: DagsterEvent) -> str | None:
    """Why a run ended that no op tells of: it was killed, or its code could not be loaded."""
    error = event.job_failure_data.error
    told = error.message if error is not None else event.message
    return _one_line(told) if told else None


def _metadata(events: Iterable[DagsterEvent]) -> Iterable[Mapping[str, MetadataValue[Any]]]:
    """Of every output, materialization and failure."""
    for event in events:
        if event.event_type is DagsterEventType.STEP_OUTPUT:
            yield event.step_output_data.metadata or {}
        elif event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
            yield event.step_materialization_data.materialization.metadata
        elif (
            event.event_type is DagsterEventType.STEP_FAILURE and event.step_failure_data.user_failure_data is not None
        ):
            yield event.step_failure_data.user_failure_data.metadata


def _tables(metadata: Mapping[str, MetadataValue[Any]]) -> dict[str, list[_Record]]:
    found = {}
    for name in ("steps", "step_rows", "step_findings"):
        value = metadata.get(name)
        found[name] = [dict(row.data) for row in value.records] if isinstance(value, TableMetadataValue) else []
    return found


def _merged(tables: Iterable[list[_Record]]) -> list[_Record]:
    """Rows of several tables that repeat each other: each as often as in the table that has it most often."""
    merged: list[_Record] = []
    for table in tables:
        known = Counter(map(_key, merged))
        for row in table:
            if known[_key(row)]:
                known[_key(row)] -= 1
            else:
                merged.append(row)
    return merged


def _key(row: _Record) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(row.items()))


def _steps(steps: Iterable[_Record], rows: Sequence[_Record]) -> list[StepReport]:
    unread = list(rows)
    reports = []
    for step in steps:
        files: dict[str, Mapping[str, Any]] = {}
        # A run over several versions has each step several times, and its rows in the same order.
        for row in list(unread):
            if row["step"] == step["step"] and row["file"] not in files:
                files[row["file"]] = {name: row[name] for name in _COUNTS}
                unread.remove(row)
        reports.append(
            StepReport(
                name=step["step"],
                status=step["status"],
                duration_ms=step["duration_ms"],
                removed=step["removed"],
                added=step["added"],
                changed=step["changed"],
                source_hash=step["source_hash"],
                files=files,
            )
        )
    return reports


def _findings(rows: Iterable[_Record], steps: Sequence[_Record]) -> list[FindingReport]:
    """In the order of the steps, though the realtime feeds have each those about it."""
    position = {step["step"]: number for number, step in reversed(list(enumerate(steps)))}
    found = [FindingReport(step=row["step"], severity=row["severity"], finding=row["finding"]) for row in rows]
    return sorted(found, key=lambda finding: position.get(finding.step, len(steps)))


def _output(materialization: AssetMaterialization) -> OutputReport:
    values: dict[str, Any] = {name: value.value for name, value in materialization.metadata.items()}
    return OutputReport(
        asset=materialization.asset_key.to_user_string(),
        outcome=values.get("outcome"),
        version_id=values.get("version_id") or materialization.partition,
        label=values.get("live_label"),
        url_path=values.get("url_path"),
        digest=values.get("feed_digest"),
        bytes=values.get("feed_bytes"),
        entities=values.get("entities"),
        age_at_publication_s=values.get("age_at_publication_s"),
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
