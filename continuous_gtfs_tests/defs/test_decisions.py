"""Whether a pipeline is dirty, when a run is due, when to ask again."""

from __future__ import annotations

import pytest

from continuous_gtfs.defs.decisions import (
    RunFacts,
    RunState,
    Trigger,
    dirty_trigger,
    run_due_at,
    seconds_to_next_request,
)

LATEST = {"vehicle_positions": "v2", "trip_updates": "t2"}
OLDER = {"vehicle_positions": "v1", "trip_updates": "t1"}


def run(state: RunState, versions: dict[str, str] = LATEST, code: str = "code") -> RunFacts:
    return RunFacts(state=state, versions=versions, code_version=code)


SUCCEEDED = run(RunState.SUCCEEDED)


@pytest.mark.parametrize(
    ("last_run", "last_success", "expected"),
    [
        (None, None, Trigger.NEVER_RUN),
        (SUCCEEDED, SUCCEEDED, None),
        (run(RunState.FAILED), SUCCEEDED, Trigger.LAST_RUN_FAILED),
        (run(RunState.FAILED), None, Trigger.LAST_RUN_FAILED),
        (run(RunState.CANCELED), None, Trigger.INPUTS_NEWER),
        (run(RunState.CANCELED), run(RunState.SUCCEEDED, OLDER), Trigger.INPUTS_NEWER),
        (run(RunState.SUCCEEDED, OLDER), run(RunState.SUCCEEDED, OLDER), Trigger.INPUTS_NEWER),
        (run(RunState.SUCCEEDED, LATEST, "old"), run(RunState.SUCCEEDED, LATEST, "old"), Trigger.CODE_CHANGED),
        (run(RunState.IN_FLIGHT), None, None),
    ],
)
def test_at_a_start_everything_but_a_success_of_this_code_on_these_inputs_is_owed_a_run(
    last_run: RunFacts | None, last_success: RunFacts | None, expected: Trigger | None
) -> None:
    assert (
        dirty_trigger(latest=LATEST, last_run=last_run, last_success=last_success, code_version="code", is_start=True)
        == expected
    )


@pytest.mark.parametrize(
    ("last_run", "expected"),
    [
        (None, Trigger.NEVER_RUN),
        (run(RunState.FAILED), None),
        (run(RunState.SUCCEEDED, LATEST, "old"), None),
        (run(RunState.SUCCEEDED, OLDER), Trigger.INPUTS_NEWER),
        (run(RunState.FAILED, OLDER), Trigger.INPUTS_NEWER),
        (run(RunState.IN_FLIGHT, OLDER), None),
    ],
)
def test_later_only_a_request_that_never_became_a_run_is_made_again(
    last_run: RunFacts | None, expected: Trigger | None
) -> None:
    trigger = dirty_trigger(latest=LATEST, last_run=last_run, last_success=None, code_version="code", is_start=False)
    assert trigger == expected


def test_nothing_is_owed_before_the_vendor_has_given_a_version() -> None:
    assert dirty_trigger(latest={}, last_run=None, last_success=None, code_version="code", is_start=True) is None


PAIR = frozenset({"vehicle_positions", "trip_updates"})


def test_a_run_is_due_at_once_when_both_feeds_have_arrived() -> None:
    assert run_due_at(waiting=PAIR, expected=PAIR, window_opened_at=100.0, window_s=2.0) == 100.0


def test_a_feed_waits_for_its_sibling_until_the_window_closes() -> None:
    due = run_due_at(waiting={"trip_updates"}, expected=PAIR, window_opened_at=100.0, window_s=2.0)
    assert due == 102.0


def test_no_run_is_due_when_nothing_waits() -> None:
    assert run_due_at(waiting=frozenset(), expected=PAIR, window_opened_at=100.0, window_s=2.0) is None


@pytest.mark.parametrize(
    ("failures", "retry_after_s", "expected"),
    [
        (0, None, 5),
        (1, None, 5),
        (2, None, 10),
        (3, None, 20),
        (9, None, 40),
        (1, 33.0, 33),
        (9, 1.0, 40),
        (1, 9e9, 600),
    ],
)
def test_the_vendor_is_asked_less_often_the_more_it_fails_and_retry_after_is_honoured_within_reason(
    failures: int, retry_after_s: float | None, expected: float
) -> None:
    seconds = seconds_to_next_request(poll_every_s=5, failures_in_row=failures, retry_after_s=retry_after_s)
    assert seconds == expected
