"""When the vendor is asked, on a virtual clock over many seeds: virtual waits and counts may be asserted."""

from __future__ import annotations

import itertools
import json
import random
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pims.polling import CLOSEST_S, Pace, PollMemory, due, leaves_room, next_request_at
from continuous_gtfs.simulator.rhythm import VendorRhythm
from continuous_gtfs.simulator.virtual_polling import PollingResult, poll_virtually

PACE = Pace(every_s=5.0)
SEEDS = range(20)
STEADY = VendorRhythm(period_s=20.0, jitter_s=1.0)
# What real vendors do, all at once; the way there takes 50 ms of each wait.
UNSTEADY = VendorRhythm(period_s=20.0, jitter_s=1.5, drift_s=0.1, missed=0.03, doubled=0.03, lag_s=3.0)


def over_seeds(vendor: VendorRhythm, pace: Pace = PACE, **options: Any) -> PollingResult:
    results = [poll_virtually(replace(vendor, seed=seed), pace, **options) for seed in SEEDS]
    return PollingResult(
        waits_s=tuple(itertools.chain.from_iterable(result.waits_s for result in results)),
        requests=sum(result.requests for result in results),
        versions=sum(result.versions for result in results),
    )


def polled(arrivals: int = 6, period_s: float = 20.0) -> PollMemory:
    """A memory of ``arrivals`` versions on the beat, the last at POSIX second ``arrivals * period_s``."""
    memory = PollMemory()
    for number in range(arrivals + 1):
        at = number * period_s
        for moment in (at - 0.2, at):
            memory.note_request(moment, PACE)
            memory.note_arrival(moment, int(at)) if moment == at else memory.note_unchanged(moment)
    return memory


@pytest.mark.parametrize(
    "vendor",
    [
        VendorRhythm(period_s=20.0),
        STEADY,
        replace(STEADY, lag_s=3.0),
        replace(STEADY, missed=0.05),
        replace(STEADY, doubled=0.05),
        VendorRhythm(period_s=20.3, drift_s=0.3),
        UNSTEADY,
    ],
)
def test_a_vendor_of_20_s_waits_for_less_than_0_4_s_at_no_more_than_3_requests_a_version(vendor: VendorRhythm) -> None:
    result = over_seeds(vendor)
    assert result.median_wait_s <= 0.4
    assert result.requests_a_version <= 3.0
    assert result.seen_share >= 0.97


def test_all_but_a_few_versions_of_an_unsteady_vendor_are_seen_within_two_seconds() -> None:
    for vendor in (STEADY, replace(STEADY, missed=0.05), replace(STEADY, drift_s=0.2), UNSTEADY):
        waits = sorted(over_seeds(vendor).waits_s)
        assert waits[int(0.95 * len(waits))] <= 2.0


@pytest.mark.parametrize(
    ("stamp", "never"), [(lambda stamp: stamp, "xx"), (lambda _: None, "xxxx")], ids=["header", "no header"]
)
def test_a_double_version_does_not_leave_the_requests_one_version_behind(
    stamp: Callable[[int], int | None], never: str
) -> None:
    """What is found at the first look may be an extra version: the due one then comes right after."""
    for seed in SEEDS:
        result = poll_virtually(replace(STEADY, doubled=0.1, seed=seed), PACE, stamp=stamp)
        waits = "".join("x" if wait > 12.0 else "." for wait in result.waits_s)
        assert never not in waits, seed


def test_every_seed_by_itself_is_far_better_than_the_fixed_cadence() -> None:
    for seed in SEEDS:
        vendor = replace(UNSTEADY, seed=seed)
        ours, fixed = poll_virtually(vendor, PACE), poll_virtually(vendor, PACE, is_fixed=True)
        assert ours.median_wait_s <= 0.5, seed
        assert ours.requests_a_version <= 3.4, seed
        assert ours.requests_a_version < fixed.requests_a_version, seed
        assert ours.median_wait_s < fixed.median_wait_s + 0.05, seed
    assert over_seeds(UNSTEADY, is_fixed=True).median_wait_s > 2.0


@pytest.mark.parametrize(
    "stamp",
    [
        lambda _: None,
        lambda _: 1_700_000_000,
        lambda stamp: stamp + 10_000_000,
        lambda stamp: stamp * 1000,
        lambda stamp: random.Random(stamp).randrange(2_000_000_000),
        lambda stamp: stamp // 60 * 60,
    ],
    ids=["absent", "frozen", "in the future", "in milliseconds", "random", "of the minute"],
)
def test_a_header_timestamp_that_tells_nothing_does_no_harm(stamp: Callable[[int], int | None]) -> None:
    result = over_seeds(STEADY, stamp=stamp)
    assert result.median_wait_s <= 0.4
    assert result.requests_a_version <= 3.0


@pytest.mark.parametrize(
    ("vendor", "most_requests"),
    [
        (VendorRhythm(period_s=10.0, jitter_s=0.5), 3.0),
        (VendorRhythm(period_s=30.0, jitter_s=1.0), 3.0),
        (VendorRhythm(period_s=60.0, jitter_s=1.0), 3.5),
    ],
)
def test_other_periods_are_found_too(vendor: VendorRhythm, most_requests: float) -> None:
    result = over_seeds(vendor)
    assert result.median_wait_s <= 0.4
    assert result.requests_a_version <= most_requests


def test_a_vendor_faster_than_the_cadence_is_followed_as_far_as_the_budget_goes() -> None:
    fast = VendorRhythm(period_s=2.0, jitter_s=0.1)
    bounded, fixed = over_seeds(fast), over_seeds(fast, is_fixed=True)
    assert bounded.requests_a_version <= 24 / 60 * 2 + 0.1
    assert bounded.median_wait_s < fixed.median_wait_s
    assert bounded.seen_share > 1.3 * fixed.seen_share
    free = over_seeds(fast, replace(PACE, most_requests=100))
    assert free.median_wait_s <= 0.3
    assert free.seen_share >= 0.95


def test_an_irregular_vendor_is_asked_about_at_the_fixed_cadence() -> None:
    irregular = VendorRhythm(period_s=20.0, jitter_s=20.0)
    ours, fixed = over_seeds(irregular), over_seeds(irregular, is_fixed=True)
    assert ours.requests_a_version <= fixed.requests_a_version
    assert statistics.fmean(ours.waits_s) <= 1.5 * statistics.fmean(fixed.waits_s)


def test_a_feed_without_a_rhythm_to_learn_keeps_its_cadence() -> None:
    memory = polled()
    schedule = FeedSource(
        environment="qa", feed="schedule", kind=FeedKind.SCHEDULE, url="", poll_every_s=10, timeout_s=1, max_bytes=1
    )
    pace = Pace.of(schedule)
    assert next_request_at(memory, pace, 120.1) == 130.0
    assert due(memory, pace, 120.1) is None


def test_before_anything_is_known_it_is_asked_at_once_then_closely_and_before_long_at_the_cadence() -> None:
    memory = PollMemory()
    assert next_request_at(memory, PACE, 50.0) == 50.0
    memory.note_request(50.0, PACE)
    assert next_request_at(memory, PACE, 50.1) == 55.0, "there was no answer yet"
    memory.note_arrival(50.0, None)
    at, gaps = 50.0, []
    for _ in range(24):
        asked_at = next_request_at(memory, PACE, at + 0.1)
        gaps.append(asked_at - at)
        at = asked_at
        memory.note_request(at, PACE)
        memory.note_unchanged(at)
    assert gaps == [2.5] * 12 + [5.0] * 12


@pytest.mark.parametrize("period_s", [10.0, 20.0, 30.0])
def test_the_header_says_where_the_second_version_and_the_third_are_to_be_looked_for(period_s: float) -> None:
    vendors = [VendorRhythm(period_s=period_s, jitter_s=0.5, seed=seed) for seed in range(100)]
    first = [poll_virtually(vendor, PACE, versions=3, learning=1).waits_s for vendor in vendors]
    means = [statistics.fmean(waits[number] for waits in first) for number in range(3)]
    assert means[0] <= 1.6
    assert means[1] <= 0.8
    assert means[2] <= 0.5
    no_header = [poll_virtually(v, PACE, versions=3, learning=1, stamp=lambda _: None).waits_s for v in vendors]
    assert statistics.fmean(waits[1] for waits in no_header) > 2 * means[1]


@pytest.mark.parametrize("step_s", [-3600, 0, 1, 7, 3600, 10_000_000], ids=str)
def test_a_wrong_period_of_the_first_headers_costs_a_few_requests_and_no_time(step_s: int) -> None:
    """Whatever the headers claim, the fixed cadence goes on."""
    memory, at = PollMemory(), 0.0
    for stamp in (1_800_000_000, 1_800_000_000 + step_s):
        for is_new in (True, False):
            memory.note_request(at, PACE)
            memory.note_arrival(at, stamp) if is_new else memory.note_unchanged(at)
            at += 5.0
    gaps = []
    while at < 120.0:
        asked_at = next_request_at(memory, PACE, at)
        gaps.append(asked_at - at)
        at = asked_at
        memory.note_request(at, PACE)
        memory.note_unchanged(at)
    assert max(gaps) <= 5.0
    assert len(gaps) <= 24 * 120 / 60
    assert gaps[-3:-1] == [5.0, 5.0]


def test_it_is_asked_where_the_next_version_is_due_and_less_and_less_where_it_did_not_come() -> None:
    memory, asked = polled(arrivals=5), []
    at = 100.0
    while len(asked) < 8:
        at = next_request_at(memory, PACE, at + 0.05)
        asked.append(at)
        memory.note_request(at, PACE)
        memory.note_unchanged(at)
    assert 119.5 < asked[0] < 120.1
    late = [later - earlier for earlier, later in itertools.pairwise(asked) if earlier > 120.3 and later < 139.0]
    assert late == sorted(late)
    assert 2.0 < late[-1] <= PACE.every_s
    assert 4 <= len(late) <= 6


def test_a_vendor_that_has_stopped_is_asked_at_the_fixed_cadence_until_it_moves() -> None:
    memory, at = polled(), 120.0
    while at < 400.0:
        memory.note_request(at, PACE)
        memory.note_unchanged(at) if at > 120.0 else None
        last, at = at, next_request_at(memory, PACE, at + 0.05)
    assert at - last == PACE.every_s


def test_a_vendor_that_doubles_its_pace_is_found_out() -> None:
    memory, newest, seen = PollMemory(), -1.0, []
    at = 3.0
    while at < 1200.0:
        period = 20.0 if at < 600.0 else 10.0
        version = at // period * period
        memory.note_request(at, PACE)
        if version > newest:
            newest = version
            seen.append(version)
            memory.note_arrival(at, int(version))
        else:
            memory.note_unchanged(at)
        at = max(next_request_at(memory, PACE, at + 0.05), at + 0.05)
    assert len([version for version in seen if version >= 900.0]) >= 28, "every second version is missed"


def test_the_budget_bounds_the_requests_of_every_window() -> None:
    pace = Pace(every_s=5.0, most_requests=6, window_s=60.0)
    memory, asked, at = PollMemory(), [], 0.0
    while at < 600.0:
        memory.note_request(at, pace)
        memory.note_arrival(at, None)
        asked.append(at)
        at = max(next_request_at(memory, pace, at + 0.05), at + 0.05)
    assert all(later - earlier >= 60.0 - 1e-9 for earlier, later in zip(asked, asked[6:], strict=False))
    assert len(asked) >= 58


def test_a_clock_that_was_set_back_neither_silences_a_feed_nor_keeps_what_was_learnt_by_it() -> None:
    memory = polled(arrivals=20)
    assert next_request_at(memory, PACE, 30.0) == 30.0
    memory.note_request(30.0, PACE)
    memory.note_unchanged(30.0)
    assert memory.arrivals == []
    assert next_request_at(memory, PACE, 30.1) == 32.5


def test_what_was_learnt_survives_json_and_stays_small() -> None:
    memory = polled(arrivals=200)
    text = json.dumps(memory.to_dict())
    again = PollMemory.from_dict(json.loads(text))
    assert again == memory
    assert next_request_at(again, PACE, 4000.1) == next_request_at(memory, PACE, 4000.1)
    assert len(text) < 1500


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.05, 100.0), st.booleans(), st.one_of(st.none(), st.integers(-10, 2**40)), st.floats(-5.0, 5.0)
        ),
        max_size=60,
    )
)
# Every version found at the first look, twice a second.
@example([(1.0, False, None, 0.0), (1.0, True, None, 0.0), (0.5, True, None, 0.0), (0.5, True, None, 0.0)])
def test_whatever_came_before_the_next_request_is_neither_at_once_nor_far_away(
    answers: list[tuple[float, bool, int | None, float]],
) -> None:
    memory, now = PollMemory(), 1_800_000_000.0
    for wait_s, is_new, stamp, jump_s in answers:
        now += wait_s + (jump_s if wait_s > 90 else 0.0)
        memory.note_request(now, PACE)
        memory.note_arrival(now, stamp) if is_new else memory.note_unchanged(now)
        at = next_request_at(memory, PACE, now)
        assert now + CLOSEST_S - 1e-6 <= at <= now + 6 * PACE.every_s + PACE.window_s
    assert len(memory.asked) <= PACE.most_requests


def test_a_request_beside_the_cadence_leaves_room_for_the_cadence() -> None:
    pace = Pace(every_s=5.0, most_requests=24, window_s=60.0)
    memory, at = PollMemory(), 0.0
    extras = 0
    while at < 300.0:
        # Whoever asks for more than the cadence does so all the time.
        is_extra = leaves_room(memory, pace, at)
        extras += is_extra and at % 5.0 != 0
        if is_extra or at % 5.0 == 0:
            assert sum(asked > at - 60.0 for asked in memory.asked) < 24, "the cadence has to wait"
            memory.note_request(at, pace)
        at += 0.5
    assert 40 <= extras <= 12 * 300 / 60


def test_a_budget_of_no_more_than_the_cadence_leaves_room_for_nothing_else() -> None:
    assert not leaves_room(PollMemory(), Pace(every_s=5.0, most_requests=12, window_s=60.0), 100.0)
