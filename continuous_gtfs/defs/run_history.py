"""What a sensor must know of its pipeline's runs, read from Dagster's storage."""

import time
from collections.abc import Collection, Sequence

from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter

from continuous_gtfs import names
from continuous_gtfs.defs.decisions import RunFacts, RunState, Trigger
from continuous_gtfs.defs.watch_seams import History

_RUN_STATES = {
    DagsterRunStatus.SUCCESS: RunState.SUCCEEDED,
    DagsterRunStatus.FAILURE: RunState.FAILED,
    DagsterRunStatus.CANCELED: RunState.CANCELED,
}
_NOT_FINISHED = [status for status in DagsterRunStatus if status not in _RUN_STATES]
# Dagster's retries begin within its loop of 5 s; one that has not begun by then is not waited for.
RETRY_BEGINS_WITHIN_S = 60.0


def read_history(instance: DagsterInstance, pipeline: str, assets: Collection[AssetKey]) -> History:
    """What the sensor must know of a pipeline's runs.

    A run that a person started holds the pipeline while it lasts, and says nothing on what the sensor has asked for:
    it may be about an old version.
    """
    if any(_is_of_pipeline(run, pipeline, assets) for run in instance.get_runs(RunsFilter(statuses=_NOT_FINISHED))):
        return History(last_run=RunFacts(state=RunState.IN_FLIGHT), last_success=None)
    asked_for = {names.PIPELINE_TAG: pipeline, names.TRIGGER_TAG: [trigger.value for trigger in Trigger]}
    records = instance.get_run_records(RunsFilter(tags=asked_for), limit=1)
    if not records:
        return History(last_run=None, last_success=None)
    run = records[0].dagster_run
    if _will_be_retried(records[0]):
        return History(last_run=RunFacts(state=RunState.IN_FLIGHT), last_success=None)
    successes: Sequence[DagsterRun] = [run]
    if run.status is not DagsterRunStatus.SUCCESS:
        successes = instance.get_runs(RunsFilter(tags=asked_for, statuses=[DagsterRunStatus.SUCCESS]), limit=1)
    return History(last_run=run_facts(run), last_success=run_facts(successes[0]) if successes else None)


def _is_of_pipeline(run: DagsterRun, pipeline: str, assets: Collection[AssetKey]) -> bool:
    """Whether a run belongs to the pipeline: by its tag, or because a person chose one of its assets."""
    return run.tags.get(names.PIPELINE_TAG) == pipeline or not (run.asset_selection or set()).isdisjoint(assets)


def _will_be_retried(record: RunRecord) -> bool:
    """Whether a crashed run is about to be run again by Dagster, which takes it some seconds to begin with."""
    tags = record.dagster_run.tags
    if record.dagster_run.status is not DagsterRunStatus.FAILURE or tags.get("dagster/will_retry") != "true":
        return False
    return record.end_time is not None and time.time() - record.end_time < RETRY_BEGINS_WITHIN_S


def run_facts(run: DagsterRun) -> RunFacts:
    prefix = names.version_tag("")
    return RunFacts(
        state=_RUN_STATES.get(run.status, RunState.IN_FLIGHT),
        versions={key.removeprefix(prefix): v for key, v in run.tags.items() if key.startswith(prefix)},
        code_version=run.tags.get(names.CODE_VERSION_TAG),
    )
