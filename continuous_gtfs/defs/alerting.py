"""The sensor that tells people what is wrong: one in each code location, which watches the other's sensors too.

Its cursor holds what is open, what has still to be delivered, and which jobs' newest run has failed. It is stored with
the tick: a crash between a delivery and that repeats one message and loses none.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RepositoryDefinition,
    RunRecord,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.alerts.destinations import destinations
from continuous_gtfs.alerts.ledger import Ledger
from continuous_gtfs.alerts.outbox import Outbox
from continuous_gtfs.alerts.problems import Problem
from continuous_gtfs.defs import alerting_facts as facts
from continuous_gtfs.defs.alerting_live import KnownPublications
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.errors import ContinuousGtfsError
from continuous_gtfs.pims.catalog import FeedKind
from continuous_gtfs.pims.secrets_opening import open_secrets

SCHEMA = 1
EVERY_S = 30
# A run can be stored a moment after another that ended later.
_OVERLAP_S = 30.0
# What failed before the first look is told of no more than so far back.
_FIRST_LOOK_BACK_S = 600.0
_MOST_RUNS = 2000
_KINDS = {FeedKind.SCHEDULE: "schedule", FeedKind.REALTIME: "realtime"}


@dataclass(slots=True, kw_only=True)
class Memory:
    """What one tick leaves to the next; times in POSIX seconds."""

    ledger: Ledger = field(default_factory=Ledger)
    outbox: Outbox = field(default_factory=Outbox)
    failed_jobs: dict[str, Problem] = field(default_factory=dict)
    looked_at: float = 0.0
    watched_since: float = 0.0

    def to_json(self) -> str:
        return json.dumps(
            {
                "schema": SCHEMA,
                "ledger": self.ledger.to_dict(),
                "outbox": self.outbox.to_dict(),
                "failed_jobs": {job: problem.to_dict() for job, problem in self.failed_jobs.items()},
                "looked_at": self.looked_at,
                "watched_since": self.watched_since,
            }
        )

    @classmethod
    def from_json(cls, text: str | None) -> "Memory":
        """The memory; an empty one for a cursor that is none: alerts that are told twice are better than none."""
        try:
            found: Mapping[str, Any] = json.loads(text or "{}")
            if found.get("schema") != SCHEMA:
                return cls()
            return cls(
                ledger=Ledger.from_dict(found["ledger"]),
                outbox=Outbox.from_dict(found["outbox"]),
                failed_jobs={job: Problem.from_dict(one) for job, one in found["failed_jobs"].items()},
                looked_at=found["looked_at"],
                watched_since=found["watched_since"],
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()


def alerts_sensor(agency: Agency, pipeline: str, *, clock: Callable[[], float] = time.time) -> SensorDefinition:
    """Looks every 30 s. It asks for no run, and a destination that is down fails nothing but its own deliveries."""
    known = KnownPublications(agency, pipeline)

    @sensor(
        name=names.alerts_sensor_name(pipeline, agency.environments[0]),
        minimum_interval_seconds=EVERY_S,
        default_status=DefaultSensorStatus.RUNNING,
        description="Tells people what fails, is old or is silent, and when it has ended.",
    )
    def look(context: SensorEvaluationContext, artifacts: Artifacts) -> SkipReason:
        repository = context.repository_def
        if repository is None:
            return SkipReason("not of a code location")
        now = clock()
        memory = Memory.from_json(context.cursor)
        places = destinations(os.environ)
        seen, unseen_kinds = look_at_all(memory, context.instance, repository, agency, pipeline, known, artifacts, now)
        memory.outbox.put(places, memory.ledger.settle(seen, unseen_kinds=unseen_kinds, now=now))
        failed = memory.outbox.deliver(places, environ=os.environ, secrets=open_secrets(os.environ), now=now)
        for failure in failed:
            context.log.error(f"an alert was not delivered: {failure}")
        context.update_cursor(memory.to_json())
        told = f"{len(memory.ledger.open)} open, {len(places)} destinations"
        return SkipReason("; ".join([told, *(f"not delivered: {failure}" for failure in failed)]))

    return look


def look_at_all(
    memory: Memory,
    instance: DagsterInstance,
    repository: RepositoryDefinition,
    agency: Agency,
    pipeline: str,
    known: KnownPublications,
    artifacts: Artifacts,
    now: float,
) -> tuple[list[Problem], set[str]]:
    """All that is wrong now, and the kinds of problems that could not be looked for."""
    if now - memory.looked_at > facts.SILENT_AFTER_S / 2:
        memory.watched_since = now
    seen: list[Problem] = []
    unseen_kinds = set()
    live: list[facts.Live] = []
    try:
        live = known.look(artifacts, now=now)
    except ContinuousGtfsError as error:
        unseen_kinds.add("age")
        seen.append(facts.could_not_look(f"published store of {pipeline}", error, now=now))
    seen += facts.old_publications(live, now=now)
    _note_runs(memory, instance, set(repository.job_names), _Stays(known, artifacts, now), now)
    seen += memory.failed_jobs.values()
    seen += facts.failed_checks(instance, repository.asset_graph.asset_check_keys)
    ticks = facts.newest_ticks(instance)
    own = {one.name for one in repository.sensor_defs} | {one.name for one in repository.schedule_defs}
    seen += facts.failed_ticks(ticks, own)
    watched = _sensors_of_the_other(agency, pipeline)
    seen += facts.silent_sensors(ticks, watched, watched_since=memory.watched_since, now=now)
    seen += facts.full_disks(artifacts, now=now)
    memory.looked_at = now
    return seen, unseen_kinds


@dataclass(frozen=True, slots=True)
class _Stays:
    """Says what the public still reads of a pipeline whose run has failed."""

    known: KnownPublications
    artifacts: Artifacts
    now: float

    def told(self, pipeline: str) -> str:
        try:
            live = self.known.read_pipeline(self.artifacts, pipeline)
        except ContinuousGtfsError:
            return "what is live cannot be read"
        return facts.what_stays(live, pipeline, now=self.now)


def _note_runs(memory: Memory, instance: DagsterInstance, jobs: set[str], stays: _Stays, now: float) -> None:
    """Bring up to date which jobs' newest run has failed; runs that a person put together by hand are of no job."""
    since = max(memory.looked_at - _OVERLAP_S, now - _FIRST_LOOK_BACK_S if not memory.looked_at else 0.0)
    ended = RunsFilter(
        statuses=[DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE],
        updated_after=datetime.fromtimestamp(since, UTC),
    )
    newest: dict[str, RunRecord] = {}
    for record in instance.get_run_records(ended, limit=_MOST_RUNS):
        job = record.dagster_run.job_name
        is_told = record.dagster_run.status is DagsterRunStatus.SUCCESS or facts.is_final_failure(record)
        if job in jobs and not job.startswith("__") and is_told:
            known = newest.get(job)
            if known is None or (record.end_time or 0) > (known.end_time or 0):
                newest[job] = record
    failed = {job: record for job, record in newest.items() if facts.is_final_failure(record)}
    # A job that is no longer declared has no run any more that could end its problem.
    for job in (newest.keys() - failed.keys()) | (memory.failed_jobs.keys() - jobs):
        memory.failed_jobs.pop(job, None)
    fresh = [record.dagster_run.run_id for job, record in failed.items() if job not in memory.failed_jobs]
    reasons = facts.reasons_of(instance, fresh)
    for job, record in failed.items():
        if job not in memory.failed_jobs:
            reason = reasons.get(record.dagster_run.run_id, "its process ended, or it was stopped")
            memory.failed_jobs[job] = facts.failed_run(record, reason, stays.told(facts.pipeline_or_job(record)))


def _sensors_of_the_other(agency: Agency, pipeline: str) -> set[str]:
    """The sensors of the agency's other code location."""
    (other,) = (kind for kind, name in _KINDS.items() if name != pipeline)
    polled = {names.sensor_name(_KINDS[other], e) for e in agency.environments if agency.sources(e, other)}
    return polled | {names.alerts_sensor_name(_KINDS[other], agency.environments[0])} if polled else set()
