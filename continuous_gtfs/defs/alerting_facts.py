"""What is wrong now, asked of Dagster's storage and of the stores: a few queries, however many feeds there are.

Not here: when it is told of (``alerts.ledger``), and what runs did before the last look (``alerting``).
"""

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dagster import AssetCheckKey, AssetCheckSeverity, DagsterInstance, DagsterRunStatus, RunRecord
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import Agency, Freshness
from continuous_gtfs.alerts.problems import Problem, Severity
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.defs.newest_rows import newest_results_of, newest_ticks_of
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.run_queries import events_of, pipeline_of
from continuous_gtfs.errors import ContinuousGtfsError
from continuous_gtfs.pims.catalog import FeedKind

SILENT_AFTER_S = 300.0
_DISK_FULL_PERCENT = {Severity.WARNING: 85, Severity.ERROR: 95}
_SEVERITIES = {AssetCheckSeverity.WARN: Severity.WARNING, AssetCheckSeverity.ERROR: Severity.ERROR}
_MANUAL = "docs/operations.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A publication of the agency; ``manifest`` is None where nothing was ever published, or it was not yet read."""

    name: str
    pipeline: str
    page: str
    freshness: Freshness
    manifest: Manifest | None


def declared_publications(agency: Agency, pipeline: str) -> Iterator[Live]:
    """What a pipeline publishes in every environment, not yet read."""
    for environment in agency.environments:
        of = names.pipeline_name(pipeline, environment)
        if pipeline == "schedule":
            found = [(names.schedule_publication(environment), "published_feed")]
            found = found if agency.sources(environment, FeedKind.SCHEDULE) else []
        else:
            published = [s.feed for s in agency.sources(environment, FeedKind.REALTIME) if s.is_published]
            found = [(names.realtime_publication(environment, feed), f"published_{feed}") for feed in published]
        freshness = agency.schedule_freshness if pipeline == "schedule" else agency.realtime_freshness
        for name, asset in found:
            yield Live(name=name, pipeline=of, page=f"/assets/{of}/{asset}", freshness=freshness, manifest=None)


def read_publication(one: Live, publisher: Publisher) -> Live:
    """It, with what is live now.

    Raises:
        ContinuousGtfsError: The store cannot be read.
    """
    return replace(one, manifest=publisher.current(one.name))


def live_publications(agency: Agency, pipeline: str, artifacts: Artifacts) -> Iterator[Live]:
    """What is live of a pipeline, in every environment.

    Raises:
        ContinuousGtfsError: The store cannot be read.
    """
    publisher = artifacts.publisher()
    for one in declared_publications(agency, pipeline):
        yield read_publication(one, publisher)


def old_publications(live: Sequence[Live], *, now: float) -> Iterator[Problem]:
    """What is live and older than the agency allows."""
    for one in live:
        if one.manifest is None:
            continue
        published_at = one.manifest.published_at.timestamp()
        age_s = now - published_at
        if age_s < one.freshness.warn_after.total_seconds():
            continue
        is_stale = age_s >= one.freshness.fail_after.total_seconds()
        yield Problem(
            kind="age",
            subject=one.name,
            severity=Severity.ERROR if is_stale else Severity.WARNING,
            summary=f"nothing newer was published for {age_s:.0f} s; {one.manifest.label} stays live",
            since=published_at,
            page=one.page,
            do=f"{_MANUAL}, Alerts",
        )


def what_stays(live: Sequence[Live], pipeline: str, *, now: float) -> str:
    """What the public still reads of a pipeline, in a sentence."""
    ages = [now - one.manifest.published_at.timestamp() for one in live if one.pipeline == pipeline and one.manifest]
    return f"the last good feed stays live, {max(ages):.0f} s old" if ages else "nothing was published before"


def failed_run(record: RunRecord, reason: str, stays: str) -> Problem:
    """The newest run of a job has failed."""
    run = record.dagster_run
    return Problem(
        kind="run",
        subject=run.job_name,
        severity=Severity.ERROR,
        # What is cut off of a long text is its end.
        summary=f"the run failed, {stays}: {reason}",
        since=record.end_time or record.create_timestamp.timestamp(),
        page=f"/runs/{run.run_id}",
        do=f"{_MANUAL}, What runs did",
    )


def is_final_failure(record: RunRecord) -> bool:
    """Whether it has failed and Dagster will not run it again: else the retry decides."""
    run = record.dagster_run
    return run.status is DagsterRunStatus.FAILURE and run.tags.get("dagster/will_retry") != "true"


def reasons_of(instance: DagsterInstance, run_ids: Sequence[str]) -> dict[str, str]:
    """By run, why its first failed step failed."""
    reasons: dict[str, str] = {}
    for run_id, entries in (events_of(instance, run_ids) if run_ids else {}).items():
        for entry in entries:
            event = entry.dagster_event
            if event is not None and event.is_step_failure and run_id not in reasons:
                data = event.step_failure_data
                told = data.user_failure_data.description if data.user_failure_data else None
                error = data.error
                while error is not None and error.cause is not None:
                    error = error.cause
                reasons[run_id] = f"{event.step_key}: {told or (error.message if error else 'no reason')}"
    return reasons


def pipeline_or_job(record: RunRecord) -> str:
    return pipeline_of(record.dagster_run) or record.dagster_run.job_name


def failed_checks(instance: DagsterInstance, keys: Collection[AssetCheckKey]) -> Iterator[Problem]:
    """The checks whose newest result is a failure."""
    storage = instance.event_log_storage
    latest: Mapping[AssetCheckKey, AssetCheckExecutionRecord]
    if isinstance(storage, SqlEventLogStorage):
        latest = newest_results_of(storage, keys)
    else:
        latest = storage.get_latest_asset_check_execution_by_key(list(keys))
    for key, record in latest.items():
        if record.status is not AssetCheckExecutionRecordStatus.FAILED or record.event is None:
            continue
        event = record.event.dagster_event
        evaluation = event.asset_check_evaluation_data if event is not None else None
        if evaluation is None:
            continue
        asset = key.asset_key.to_user_string()
        yield Problem(
            kind="check",
            subject=f"{asset} {key.name}",
            severity=_SEVERITIES[evaluation.severity],
            summary=evaluation.description or "the check failed",
            since=record.create_timestamp,
            page=f"/assets/{asset}?view=checks",
            do=f"{_MANUAL}, A gate has stopped a version",
        )


def newest_ticks(instance: DagsterInstance) -> Mapping[str, InstigatorTick]:
    """The newest finished tick of each sensor and schedule, by its name."""
    storage = instance.schedule_storage
    if storage is None:
        return {}
    states = {state.selector_id: state for state in instance.all_instigator_state()}
    # Not by status: one tick may be under way, and one have died so.
    ticks = newest_ticks_of(storage, states, limit=3)
    newest = {}
    for selector, found in ticks.items():
        finished = [tick for tick in found if tick.status is not TickStatus.STARTED]
        if finished:
            newest[states[selector].instigator_name] = max(finished, key=lambda tick: tick.timestamp)
    return newest


def failed_ticks(ticks: Mapping[str, InstigatorTick], own: Collection[str]) -> Iterator[Problem]:
    """The sensors and schedules of ``own`` whose newest tick has failed."""
    for name in sorted(own & ticks.keys()):
        tick = ticks[name]
        if tick.status is TickStatus.FAILURE:
            yield Problem(
                kind="tick",
                subject=name,
                severity=Severity.ERROR,
                summary=f"the tick failed: {tick.error.message if tick.error else 'no reason is kept'}",
                since=tick.timestamp,
                page="/automation",
                do=f"{_MANUAL}, Alerts",
            )


def silent_sensors(
    ticks: Mapping[str, InstigatorTick], watched: Collection[str], *, watched_since: float, now: float
) -> Iterator[Problem]:
    """The sensors that have ended no tick for long: their code location does not load, or hangs.

    Args:
        watched_since: Since when there was somebody to look; after a pause of everything all sensors are silent.
    """
    for name in sorted(watched):
        last = (
            max(ticks[name].end_timestamp or ticks[name].timestamp, watched_since) if name in ticks else watched_since
        )
        if now - last > SILENT_AFTER_S:
            yield Problem(
                kind="silent",
                subject=name,
                severity=Severity.ERROR,
                summary=f"the sensor has ended no tick for {now - last:.0f} s: is its code server up?",
                since=last,
                page="/deployment/locations",
                do=f"{_MANUAL}, Alerts",
            )


def full_disks(artifacts: Artifacts, *, now: float) -> Iterator[Problem]:
    """The local stores whose disk is nearly full."""
    for what, url in (("archive", artifacts.archive_url), ("published", artifacts.published_url)):
        folder = Path(url.removeprefix("file://"))
        if "://" in str(url).removeprefix("file://") or not folder.is_dir():
            continue
        usage = shutil.disk_usage(folder)
        percent = 100 * usage.used / max(usage.used + usage.free, 1)
        reached = [severity for severity in Severity if percent >= _DISK_FULL_PERCENT[severity]]
        if reached:
            yield Problem(
                kind="disk",
                subject=what,
                severity=reached[-1],
                summary=f"the disk of the {what} store is {percent:.0f} % full, {usage.free / 1e9:.1f} GB are free",
                since=now,
                do=f"{_MANUAL}, Alerts",
            )


def could_not_look(what: str, error: ContinuousGtfsError, *, now: float) -> Problem:
    return Problem(
        kind="could_not_look",
        subject=what,
        severity=Severity.ERROR,
        summary=f"{what} cannot be looked at: {error}",
        since=now,
        do=f"{_MANUAL}, Alerts",
    )


def alert_cursors(instance: DagsterInstance) -> Iterator[tuple[str, str]]:
    """Name and cursor of every sensor that keeps alerts."""
    states: Sequence[InstigatorState] = instance.all_instigator_state()
    for state in states:
        if state.instigator_type is InstigatorType.SENSOR and names.is_alerts_sensor(state.instigator_name):
            yield state.instigator_name, getattr(state.instigator_data, "cursor", None) or ""
