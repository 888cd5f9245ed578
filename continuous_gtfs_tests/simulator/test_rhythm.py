"""A vendor's habits, one by one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from continuous_gtfs.simulator.rhythm import VendorRhythm


def moments(count: int = 400, **habits: Any) -> list[float]:
    return [at for at, _ in itertools.islice(VendorRhythm(period_s=20.0, **habits).versions(1000.0), count)]


def test_without_habits_versions_come_on_the_beat() -> None:
    assert moments(4) == [1000.0, 1020.0, 1040.0, 1060.0]


def test_the_same_seed_gives_the_same_versions_and_another_one_others() -> None:
    assert moments(jitter_s=2.0, seed=1) == moments(jitter_s=2.0, seed=1)
    assert moments(jitter_s=2.0, seed=1) != moments(jitter_s=2.0, seed=2)


def test_jitter_does_not_add_up_and_drift_does() -> None:
    jittered = [at - 1000.0 - 20.0 * number for number, at in enumerate(moments(jitter_s=2.0))]
    assert 0 <= min(jittered) < 0.2
    assert 1.8 < max(jittered) <= 2.0
    drifted = [at - 1000.0 - 20.0 * number for number, at in enumerate(moments(drift_s=0.5))]
    assert max(map(abs, drifted)) > 2.0
    assert all(abs(later - earlier) <= 0.5 + 1e-9 for earlier, later in itertools.pairwise(drifted))


def test_missed_versions_leave_a_gap_and_doubled_ones_come_between() -> None:
    steps = [later - earlier for earlier, later in itertools.pairwise(moments(missed=0.1))]
    assert set(steps) >= {20.0, 40.0}
    assert sum(step > 20.0 for step in steps) == pytest.approx(40, abs=15)
    steps = [later - earlier for earlier, later in itertools.pairwise(moments(doubled=0.1))]
    assert sum(step < 20.0 for step in steps) == pytest.approx(2 * 36, abs=30)


def test_a_header_names_the_moment_before_the_lag() -> None:
    assert next(VendorRhythm(period_s=20.0, lag_s=3.0).versions(1000.7)) == (1003.7, 1000)
