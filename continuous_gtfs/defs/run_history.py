"""What a sensor must know of its pipeline's runs, read from Dagster's storage."""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.events import RunFailureReason
from dagster._core.storage.tags import RETRY_NUMBER_TAG, RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG

from continuous_gtfs import names
from continuous_gtfs.defs.decisions import RunFacts, RunState, Trigger
from continuous_gtfs.defs.watch_seams import History

_RUN_STATES = {
    DagsterRunStatus.SUCCESS: RunState.SUCCEEDED,
    DagsterRunStatus.FAILURE: RunState.FAILED,
    DagsterRunStatus.CANCELED: RunState.CANCELED,
}
_NOT_FINISHED = [status for status in DagsterRunStatus if status not in _RUN_STATES]
# Dagster's retries begin within its loop of 5 s and the time that other launches take; one that has not begun by then
# was lost. That happens: it looks at a failed run once, at times a moment before the run is marked to be retried.
RETRY_BEGINS_WITHIN_S = 20.0


def read_history(
    instance: DagsterInstance, pipeline: str, assets: Collection[AssetKey], *, now: float | None = None
) -> History:
    """What the sensor must know of a pipeline's runs.

    A run that a person started holds the pipeline while it lasts, and says nothing on what the sensor has asked for:
    it may be about an old version.

    Args:
        instance: Whose storage is read.
        pipeline: ``realtime/production``.
        assets: What the pipeline makes.
        now: POSIX time; the clock's unless given.
    """
    if any(_is_of_pipeline(run, pipeline, assets) for run in instance.get_runs(RunsFilter(statuses=_NOT_FINISHED))):
        return History(last_run=RunFacts(state=RunState.IN_FLIGHT), last_success=None)
    asked_for = {names.PIPELINE_TAG: pipeline, names.TRIGGER_TAG: [trigger.value for trigger in Trigger]}
    records = instance.get_run_records(RunsFilter(tags=asked_for), limit=1)
    if not records:
        return History(last_run=None, last_success=None)
    run = records[0].dagster_run
    has_crashed = _has_crashed(records[0], instance)
    if has_crashed and _may_still_be_retried(records[0], time.time() if now is None else now):
        return History(last_run=RunFacts(state=RunState.IN_FLIGHT), last_success=None)
    successes: Sequence[DagsterRun] = [run]
    if run.status is not DagsterRunStatus.SUCCESS:
        successes = instance.get_runs(RunsFilter(tags=asked_for, statuses=[DagsterRunStatus.SUCCESS]), limit=1)
    last_run = replace(run_facts(run), is_abandoned=has_crashed)
    return History(last_run=last_run, last_success=run_facts(successes[0]) if successes else None)


def _is_of_pipeline(run: DagsterRun, pipeline: str, assets: Collection[AssetKey]) -> bool:
    """Whether a run belongs to the pipeline: by its tag, or because a person chose one of its assets."""
    return run.tags.get(names.PIPELINE_TAG) == pipeline or not (run.asset_selection or set()).isdisjoint(assets)


def _has_crashed(record: RunRecord, instance: DagsterInstance) -> bool:
    """Whether a run ended by no fault of its steps and Dagster's settings say that it is to be run again.

    One that a sensor has asked for after such a crash is not asked for again: what always crashes must come to an end.
    One that had not begun in time is, each time: it has crashed nothing, and the version would wait for the next one.
    """
    run = record.dagster_run
    if run.status is not DagsterRunStatus.FAILURE or not instance.run_retries_enabled:
        return False
    reason = run.tags.get(RUN_FAILURE_REASON_TAG)
    if reason in (RunFailureReason.STEP_FAILURE.value, RunFailureReason.START_TIMEOUT.value):
        return reason == RunFailureReason.START_TIMEOUT.value
    retries = int(run.tags.get(RETRY_NUMBER_TAG, "0"))
    return retries < instance.run_retries_max_retries and run.tags[names.TRIGGER_TAG] != Trigger.LAST_RUN_FAILED


def _may_still_be_retried(record: RunRecord, now: float) -> bool:
    """Whether Dagster may be about to run a crashed run again, which takes it some seconds to begin with."""
    if record.dagster_run.tags.get(WILL_RETRY_TAG) == "false":
        return False
    return record.end_time is not None and now - record.end_time < RETRY_BEGINS_WITHIN_S


def run_facts(run: DagsterRun) -> RunFacts:
    prefix = names.version_tag("")
    return RunFacts(
        state=_RUN_STATES.get(run.status, RunState.IN_FLIGHT),
        versions={key.removeprefix(prefix): v for key, v in run.tags.items() if key.startswith(prefix)},
        code_version=run.tags.get(names.CODE_VERSION_TAG),
    )
