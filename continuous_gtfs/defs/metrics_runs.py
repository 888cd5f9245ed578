"""What is counted of one run that has ended, from its record and its events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from dagster import AssetCheckEvaluation, AssetCheckSeverity, AssetMaterialization, DagsterEventType, RunRecord
from dagster._core.events.log import EventLogEntry

from continuous_gtfs.defs.metrics_storage import Places
from continuous_gtfs.defs.run_report import OutputReport, RunReport
from continuous_gtfs.defs.run_reports import report_of
from continuous_gtfs.metrics import catalogue as metrics
from continuous_gtfs.metrics.samples import Totals

ENDED = tuple(
    kind.value for kind in (DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED)
)
_STATUSES = ("success", "failure", "canceled")
_PUBLISHED = "published_"
_DETECTED = "detected_to_published_s"


def count_run(totals: Totals, record: RunRecord, entries: Sequence[EventLogEntry], places: Places) -> None:
    """Add all that a run has done to the totals."""
    at = record.end_time or record.create_timestamp.timestamp()
    report = report_of(record, entries, now=datetime.fromtimestamp(at, UTC))
    pipeline = places.labels(report.pipeline or report.job)
    # A series that begins with its first failure shows Prometheus no increase: each begins with the first run.
    for status in _STATUSES:
        totals.count(metrics.RUNS, *pipeline, status, at=at, by=report.status == status)
    if report.duration_s is not None:
        totals.observe(metrics.RUN_SECONDS, *pipeline, at=at, value=report.duration_s)
    _count_steps(totals, report, pipeline, at)
    for output in report.outputs:
        _count_output(totals, output, places, at)
    for entry in entries:
        event = entry.dagster_event
        if event is not None and event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            _count_check(totals, event.asset_check_evaluation_data, places, at)
        elif event is not None and event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
            _time_publication(totals, event.step_materialization_data.materialization, places, at)


def _count_steps(totals: Totals, report: RunReport, pipeline: tuple[str, str, str], at: float) -> None:
    for op in report.ops:
        totals.count(metrics.OPS_FAILED, *pipeline, op.name, at=at, by=op.status == "failed")
        if op.duration_ms is not None and op.status != "failed":
            totals.observe(metrics.OP_SECONDS, *pipeline, op.name, at=at, value=op.duration_ms / 1000)
    for step in report.steps:
        totals.observe(metrics.STEP_SECONDS, *pipeline, step.name, at=at, value=step.duration_ms / 1000)


def _count_output(totals: Totals, output: OutputReport, places: Places, at: float) -> None:
    feed = _feed(output.asset)
    if feed is None or output.outcome is None:
        return
    labels = _labels(output.asset, feed, places)
    totals.count(metrics.PUBLICATIONS, *labels, output.outcome, at=at)
    if output.outcome == "published" and output.age_at_publication_s is not None:
        totals.observe(metrics.AGE_AT_PUBLICATION, *labels, at=at, value=output.age_at_publication_s)


def _count_check(totals: Totals, check: AssetCheckEvaluation, places: Places, at: float) -> None:
    asset = check.asset_key.to_user_string()
    environment = _environment(asset)
    for severity in AssetCheckSeverity:
        labels = (places.agency_of(environment), environment, asset, check.check_name, severity.value.lower())
        has_failed = not check.passed and check.severity is severity
        totals.count(metrics.CHECKS_FAILED, *labels, at=at, by=has_failed)


def _time_publication(totals: Totals, made: AssetMaterialization, places: Places, at: float) -> None:
    asset = made.asset_key.to_user_string()
    feed, seconds, outcome = _feed(asset), made.metadata.get(_DETECTED), made.metadata.get("outcome")
    if feed is not None and seconds is not None and outcome is not None and outcome.value == "published":
        labels = _labels(asset, feed, places)
        totals.observe(metrics.DETECTED_TO_PUBLISHED, *labels, at=at, value=float(str(seconds.value)))


def _feed(asset: str) -> str | None:
    """The feed that an asset publishes: ``published_feed`` of the schedule, ``published_<feed>`` of realtime."""
    pipeline, _, name = asset.rpartition("/")
    if not name.startswith(_PUBLISHED):
        return None
    return "schedule" if pipeline.startswith("schedule/") else name.removeprefix(_PUBLISHED)


def _environment(asset: str) -> str:
    parts = asset.split("/")
    return parts[1] if len(parts) > 1 else ""


def _labels(asset: str, feed: str, places: Places) -> tuple[str, str, str]:
    environment = _environment(asset)
    return places.agency_of(environment), environment, feed
