"""Whether a pipeline is dirty, how long to stay away after a fault, when a tick should end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from continuous_gtfs.defs.decisions import (
    RunFacts,
    RunState,
    Trigger,
    dirty_trigger,
    seconds_to_stay_away,
    tick_ends_at,
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
        (replace(run(RunState.FAILED), is_abandoned=True), Trigger.LAST_RUN_FAILED),
        (replace(run(RunState.FAILED, OLDER), is_abandoned=True), Trigger.INPUTS_NEWER),
        (run(RunState.SUCCEEDED, LATEST, "old"), None),
        (run(RunState.SUCCEEDED, OLDER), Trigger.INPUTS_NEWER),
        (run(RunState.FAILED, OLDER), Trigger.INPUTS_NEWER),
        (run(RunState.IN_FLIGHT, OLDER), None),
    ],
)
def test_later_only_a_request_that_never_became_a_run_and_a_crash_that_nobody_repeats_are_asked_for_again(
    last_run: RunFacts | None, expected: Trigger | None
) -> None:
    trigger = dirty_trigger(latest=LATEST, last_run=last_run, last_success=None, code_version="code", is_start=False)
    assert trigger == expected


def test_nothing_is_owed_before_the_vendor_has_given_a_version() -> None:
    assert dirty_trigger(latest={}, last_run=None, last_success=None, code_version="code", is_start=True) is None


@pytest.mark.parametrize(
    ("failures", "retry_after_s", "expected"),
    [
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
    seconds = seconds_to_stay_away(poll_every_s=5, failures_in_row=failures, retry_after_s=retry_after_s)
    assert seconds == expected


def ends_at(next_at: float, busy_until: float = 0.0, now: float = 0.0, latest: float = 37.0) -> float:
    """Of a tick that began at 0, with the daemon's loop as it is."""
    return tick_ends_at(
        started=0.0, latest=latest, now=now, next_at=next_at, busy_until=busy_until, loop_s=5.0, lead_s=0.5
    )


def test_a_tick_lasts_while_what_is_due_fits_into_it_and_ends_just_before_a_round_of_the_daemon() -> None:
    assert ends_at(next_at=17.0, busy_until=18.0) == 34.5


def test_a_version_due_too_late_for_a_tick_is_left_to_the_next_which_begins_well_before() -> None:
    assert ends_at(next_at=37.5, busy_until=38.5) == 29.5
    assert ends_at(next_at=57.5, busy_until=58.5) == 34.5
    assert ends_at(next_at=36.0, busy_until=38.0) == 29.5, "its requests would be spread over two ticks"


def test_a_tick_between_requests_that_follow_closely_ends_where_the_next_tick_makes_the_next_one() -> None:
    assert ends_at(next_at=40.0, now=35.1, latest=37.0) == 37.0
    assert ends_at(next_at=40.0, now=34.0) == 34.5
    assert ends_at(next_at=35.6, busy_until=40.0, now=34.0) == 34.5


def test_a_feed_without_a_rhythm_gives_long_ticks() -> None:
    assert ends_at(next_at=20.03, latest=20.0, now=10.03) == 19.5


def test_an_end_that_was_just_passed_is_still_the_end() -> None:
    assert ends_at(next_at=57.5, busy_until=58.5, now=34.6) == 34.5


def test_a_tick_that_is_shorter_than_a_round_ends_at_its_latest() -> None:
    assert ends_at(next_at=3.0, latest=2.0) == 2.0
