"""Decisions of the sensors, as pure functions: whether a pipeline is dirty, when a run is due, when to ask again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# A vendor's mistyped Retry-After of a day would be an outage of ours.
LONGEST_WAIT_S = 600.0


class Trigger(StrEnum):
    """Why a run was asked for; carried as a tag of the run."""

    NEW_VERSION = "new_version"
    NEVER_RUN = "never_run"
    LAST_RUN_FAILED = "last_run_failed"
    INPUTS_NEWER = "inputs_newer_than_last_success"
    CODE_CHANGED = "code_changed"


class RunState(StrEnum):
    """How far a run has come, as far as the sensors care."""

    IN_FLIGHT = "in_flight"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One earlier run of a pipeline.

    Attributes:
        state: How far it came.
        versions: By feed, the version_id that it was asked to process.
        code_version: Hash over the steps that it ran.
        is_abandoned: It crashed, and nobody has run it again, though Dagster should have.
    """

    state: RunState
    versions: Mapping[str, str] = field(default_factory=dict)
    code_version: str | None = None
    is_abandoned: bool = False


def dirty_trigger(
    *,
    latest: Mapping[str, str],
    last_run: RunFacts | None,
    last_success: RunFacts | None,
    code_version: str,
    is_start: bool,
) -> Trigger | None:
    """Whether a pipeline owes a run for versions that were asked for already, and why.

    At a start everything that is not the success of today's code on the newest inputs is owed once. Later a
    failure is left alone, since the same input and code fail the same way and a crash is retried by Dagster;
    only a request that never became a run (lost between the tick and the launch) is made again, and a crash
    whose retry was lost.

    Args:
        latest: By feed, the newest version_id.
        last_run: The newest run of the pipeline, whatever became of it.
        last_success: The newest run that succeeded.
        code_version: Of the steps as loaded now.
        is_start: The first tick of this code server process.
    """
    if not latest or (last_run is not None and last_run.state is RunState.IN_FLIGHT):
        return None
    if last_run is None:
        return Trigger.NEVER_RUN
    if not is_start:
        if _lacks(last_run, latest):
            return Trigger.INPUTS_NEWER
        return Trigger.LAST_RUN_FAILED if last_run.is_abandoned else None
    if last_run.state is RunState.FAILED:
        return Trigger.LAST_RUN_FAILED
    if last_success is None or _lacks(last_success, latest):
        return Trigger.INPUTS_NEWER
    if last_success.code_version != code_version:
        return Trigger.CODE_CHANGED
    return None


def _lacks(run: RunFacts, latest: Mapping[str, str]) -> bool:
    return any(run.versions.get(feed) != version_id for feed, version_id in latest.items())


def seconds_to_stay_away(*, poll_every_s: float, failures_in_row: int, retry_after_s: float | None) -> float:
    """Seconds from a request that could not tell to the next: the cadence, doubled with each, up to eightfold.

    A Retry-After longer than that is honoured, up to ``LONGEST_WAIT_S``.
    """
    backed_off = poll_every_s * (1, 2, 4, 8)[min(max(failures_in_row - 1, 0), 3)]
    return max(backed_off, min(retry_after_s or 0.0, LONGEST_WAIT_S))


def tick_ends_at(
    *, started: float, latest: float, now: float, next_at: float, busy_until: float, loop_s: float, lead_s: float
) -> float:
    """When a tick with nothing to tell should end: so that no due version falls into the gap to the next tick.

    It would be fetched there, but no run can be asked for before the next tick, which the daemon begins at a round of
    its loop, a whole number of rounds after this one began. So a tick ends shortly before a round, in a quiet part: as
    late as it can where the requests that are due still fit into it; else well before they are due, even should the
    daemon be late by a round. Where no part is quiet the last round is as good as any. All moments on the caller's
    clock.

    Args:
        started: When this tick began.
        latest: When it has to end.
        now: Ends that were passed by more than ``lead_s`` are no choice any more.
        next_at: When the next request is due.
        busy_until: When the requests around a version that is expected will be over; not after ``now`` where none is.
        loop_s: Seconds from one round of the daemon's loop to the next.
        lead_s: How long before a round a tick must end to be over by then.
    """
    rounds = range(1, int((latest - started + lead_s) / loop_s) + 1)
    ends = [end for number in rounds if (end := started + number * loop_s - lead_s) >= now - lead_s]
    if not ends:
        return latest
    if busy_until <= now:
        return ends[-1]
    if max(next_at, busy_until) <= latest:
        return ends[-1]
    for gap_s in (loop_s + lead_s, 2 * lead_s):
        quiet = [end for end in ends if end + gap_s <= next_at]
        if quiet:
            return quiet[-1]
    return ends[-1]
