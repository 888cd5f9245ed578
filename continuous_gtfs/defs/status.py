"""What ``continuous-gtfs status`` tells: what is live, how old, from which versions, and what is wrong beside it.

Stores and Dagster's storage are looked at apart: where one cannot be read, what the other says is told all the same.
Not here: its form as text (``status_text``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC
from typing import Any

from dagster import AssetCheckKey, AssetKey, DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import select

from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.alerts.problems import Problem, Severity
from continuous_gtfs.defs import alerting_facts as facts
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.run_queries import dagster_storage

HEARTBEAT_FRESH_S = 120.0
"""A daemon writes a heartbeat every 30 s."""
_TICK_LOOKED_AT_S = 24 * 3600.0
_FAILED_RUNS = 5
_IN_FLIGHT = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One published feed of one environment.

    Attributes:
        state: ``fresh``, ``old`` (the agency warns), ``stale``, or ``never published``.
        age_s: Seconds since it was published.
        header_timestamp: Of the published realtime feed, POSIX seconds.
        inputs: By feed, the id of the version it was made from.
    """

    name: str
    pipeline: str
    state: str
    label: str | None = None
    published_at: str | None = None
    age_s: float | None = None
    header_timestamp: int | None = None
    header_age_s: float | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    code_version: str | None = None
    pipeline_version: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is in flight or has failed; ``is_newest``: no run of its job has ended since."""

    run_id: str
    pipeline: str
    created_at: str
    status: str
    reason: str | None = None
    is_newest: bool = False


@dataclass(slots=True, kw_only=True)
class Status:
    """All that is told.

    Attributes:
        daemons: By daemon that has to run, seconds since its heartbeat; None where it never had one.
        failed_checks: Those whose newest result is a failure.
        failed_ticks: Sensors and schedules whose newest tick, of the last day, has failed.
        unreadable: What could not be looked at, and why.
    """

    published: list[Publication] = field(default_factory=list)
    in_flight: list[Run] = field(default_factory=list)
    failed_runs: list[Run] = field(default_factory=list)
    failed_checks: list[Problem] = field(default_factory=list)
    failed_ticks: list[Problem] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    daemons: dict[str, float | None] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all is well; 1 something is stale or has failed; 2 it cannot be told."""
        if self.unreadable:
            return 2
        is_wrong = (
            any(one.state in ("stale", "never published") for one in self.published)
            or any(run.is_newest for run in self.failed_runs)
            or any(check.severity is Severity.ERROR for check in self.failed_checks)
            or bool(self.failed_ticks)
            or not all(map(is_fresh, self.daemons.values()))
        )
        return int(is_wrong)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return {
            "exit_code": self.exit_code,
            "published": [asdict(one) for one in self.published],
            "in_flight": [asdict(run) for run in self.in_flight],
            "failed_runs": [asdict(run) for run in self.failed_runs],
            "failed_checks": [check.to_dict() for check in self.failed_checks],
            "failed_ticks": [tick.to_dict() for tick in self.failed_ticks],
            "stopped": self.stopped,
            "daemons": self.daemons,
            "unreadable": self.unreadable,
        }


def is_fresh(heartbeat_age_s: float | None) -> bool:
    """Whether a daemon with a heartbeat of this age is taken to be alive."""
    return heartbeat_age_s is not None and heartbeat_age_s <= HEARTBEAT_FRESH_S


def read_published(status: Status, agency: Agency, artifacts: Artifacts, *, now: float) -> None:
    """Add what the published store says.

    Raises:
        ContinuousGtfsError: The store cannot be read.
    """
    for pipeline in ("schedule", "realtime"):
        for live in facts.live_publications(agency, pipeline, artifacts):
            status.published.append(_publication(live, now=now))


def read_storage(status: Status, *, now: float) -> None:
    """Add what Dagster's storage, of ``DAGSTER_HOME``, says.

    Raises:
        ConfigurationError: It cannot be read.
    """
    with dagster_storage() as instance:
        heartbeats = instance.get_daemon_heartbeats()
        for kind in sorted(instance.get_required_daemon_types()):
            beat = heartbeats.get(kind)
            status.daemons[kind] = None if beat is None else round(now - beat.timestamp, 1)
        in_flight = instance.get_run_records(RunsFilter(statuses=_IN_FLIGHT), limit=100)
        status.in_flight = [_run(record) for record in in_flight]
        failed = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.FAILURE]), limit=_FAILED_RUNS)
        reasons = facts.reasons_of(instance, [record.dagster_run.run_id for record in failed])
        status.failed_runs = [
            _run(record, reasons.get(record.dagster_run.run_id), is_newest=_is_newest(instance, record))
            for record in failed
        ]
        status.failed_checks = list(facts.failed_checks(instance, _check_keys(instance)))
        states = instance.all_instigator_state()
        status.stopped = sorted(
            state.instigator_name
            for state in states
            if state.instigator_type is InstigatorType.SENSOR and state.status is InstigatorStatus.STOPPED
        )
        ticks = facts.newest_ticks(instance)
        looked_at = {name for name, tick in ticks.items() if now - tick.timestamp < _TICK_LOOKED_AT_S}
        status.failed_ticks = list(facts.failed_ticks(ticks, looked_at - set(status.stopped)))


def _publication(live: facts.Live, *, now: float) -> Publication:
    manifest = live.manifest
    if manifest is None:
        return Publication(name=live.name, pipeline=live.pipeline, state="never published")
    age_s = now - manifest.published_at.timestamp()
    state = "fresh"
    if age_s >= live.freshness.fail_after.total_seconds():
        state = "stale"
    elif age_s >= live.freshness.warn_after.total_seconds():
        state = "old"
    told = manifest.facts
    header = (told.get("header_timestamps") or {}).get(live.name.rpartition("/")[2])
    return Publication(
        name=live.name,
        pipeline=live.pipeline,
        state=state,
        label=manifest.label,
        published_at=manifest.published_at.isoformat(),
        age_s=round(age_s, 1),
        header_timestamp=header,
        header_age_s=None if header is None else round(now - header, 1),
        inputs={feed: str(version.get("version_id")) for feed, version in (told.get("inputs") or {}).items()},
        code_version=told.get("code_version"),
        pipeline_version=told.get("pipeline_version"),
        run_id=told.get("run_id"),
    )


def _run(record: RunRecord, reason: str | None = None, *, is_newest: bool = False) -> Run:
    return Run(
        run_id=record.dagster_run.run_id,
        pipeline=facts.pipeline_or_job(record),
        created_at=record.create_timestamp.astimezone(UTC).isoformat(timespec="seconds"),
        status=record.dagster_run.status.value,
        reason=reason,
        is_newest=is_newest,
    )


def _is_newest(instance: DagsterInstance, record: RunRecord) -> bool:
    ended = RunsFilter(
        job_name=record.dagster_run.job_name, statuses=[DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE]
    )
    newest: Sequence[RunRecord] = instance.get_run_records(ended, limit=1)
    return bool(newest) and newest[0].dagster_run.run_id == record.dagster_run.run_id


def _check_keys(instance: DagsterInstance) -> list[AssetCheckKey]:
    """Every check that has a result: the storage is asked, since no code location is loaded here."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return []
    table = AssetCheckExecutionsTable.c
    with storage.index_connection() as connection:
        rows = connection.execute(select(table.asset_key, table.check_name).distinct()).all()
    keys = ((AssetKey.from_db_string(asset), check) for asset, check in rows)
    return [AssetCheckKey(asset, check) for asset, check in keys if asset is not None]
