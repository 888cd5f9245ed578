from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from continuous_gtfs.simulator.feeds_clock import FeedsClock, FeedTick
from continuous_gtfs.simulator.rhythm import VendorRhythm

START = datetime(2026, 3, 2, 12, 0, 7, 500_000, tzinfo=UTC)


def at(second: float) -> datetime:
    """So many seconds after noon; the clock of these tests starts at 7.5."""
    return datetime(2026, 3, 2, 12, tzinfo=UTC) + timedelta(seconds=second)


def clock(every_s: float | None = 20.0, *, is_aligned: bool = True, jitter_s: float = 0.0) -> FeedsClock:
    return FeedsClock(started_at=START, every_s=every_s, is_aligned=is_aligned, jitter_s=jitter_s, seed=1)


def test_aligned_slots_begin_at_multiples_and_carry_the_slots_time() -> None:
    ticks = clock()
    assert ticks.tick(at(7.5)) == FeedTick(0, at(0))
    assert ticks.tick(at(19.9)) == FeedTick(0, at(0))
    assert ticks.tick(at(20)) == FeedTick(1, at(20))
    assert ticks.tick(at(119)) == FeedTick(5, at(100))


def test_slots_that_are_not_aligned_are_counted_from_the_start() -> None:
    ticks = clock(is_aligned=False)
    assert ticks.tick(at(26.9)) == FeedTick(0, at(7))
    assert ticks.tick(at(27)) == FeedTick(1, at(27))


def test_without_slots_only_an_advance_makes_a_version() -> None:
    ticks = clock(None)
    assert ticks.tick(at(90_000)) == FeedTick(0, at(7))
    assert ticks.advance(at(90_000.7)) == FeedTick(1, at(90_000))
    assert ticks.tick(at(99_000)) == FeedTick(1, at(90_000))


def test_an_advance_counts_beside_the_slots() -> None:
    ticks = clock()
    assert ticks.advance(at(8.2)) == FeedTick(1, at(8))
    assert ticks.tick(at(20)) == FeedTick(2, at(20))


def test_two_advances_within_a_second_have_two_moments() -> None:
    ticks = clock()
    first, second = ticks.advance(at(9.1)), ticks.advance(at(9.2))
    assert (first.index, second.index) == (1, 2)
    assert first.at < second.at


def test_a_reader_who_lags_sees_every_version_later_but_the_first() -> None:
    ticks = clock()
    assert ticks.tick(at(8), lag_s=3.0) == FeedTick(0, at(0))
    assert ticks.tick(at(22.9), lag_s=3.0) == FeedTick(0, at(0))
    assert ticks.tick(at(23), lag_s=3.0) == FeedTick(1, at(20))
    ticks.advance(at(30))
    assert ticks.tick(at(32), lag_s=3.0).index == 1
    assert ticks.tick(at(33), lag_s=3.0) == FeedTick(2, at(30))


def test_jitter_delays_each_slot_differently_within_its_bound_and_never_goes_back() -> None:
    ticks = clock(jitter_s=5.0)
    seen = [ticks.tick(at(8 + step / 10)) for step in range(4000)]
    assert seen == [clock(jitter_s=5.0).tick(at(8 + step / 10)) for step in range(4000)], "not the same again"
    assert all(before.index <= after.index for before, after in itertools.pairwise(seen))
    delays = {
        tick.index: round(8 + seen.index(tick) / 10 - 20 * tick.index, 1) for tick in dict.fromkeys(seen) if tick.index
    }
    assert len(delays) >= 19
    assert all(0 <= delay <= 5.1 for delay in delays.values())
    assert len(set(delays.values())) > 10
    assert all(tick.at.second % 20 == 0 for tick in seen)


def test_a_clock_that_is_set_back_does_not_go_before_the_first_version() -> None:
    assert clock().tick(at(-500)) == FeedTick(0, at(0))


def test_a_rhythm_decides_when_versions_come_and_what_moment_they_carry() -> None:
    rhythm = VendorRhythm(period_s=20.0, jitter_s=2.0, drift_s=0.5, missed=0.2, doubled=0.2, seed=4)
    ticks = FeedsClock(started_at=START, every_s=20.0, is_aligned=True, rhythm=rhythm)
    coming = list(itertools.islice(rhythm.versions(at(20).timestamp()), 40))
    assert ticks.tick(at(7.5)) == FeedTick(0, at(0))
    for number, (moment, stamp) in enumerate(coming[:-1], start=1):
        seen = datetime.fromtimestamp(moment, UTC) + timedelta(milliseconds=1)
        assert ticks.tick(seen) == FeedTick(number, datetime.fromtimestamp(stamp, UTC))
        assert ticks.tick(seen - timedelta(milliseconds=2)).index == number - 1
    assert ticks.tick(datetime.fromtimestamp(coming[2][0] + 0.001, UTC)).index == 3, (
        "a look at the past does not go forward"
    )


def test_an_advance_counts_beside_a_rhythm_too() -> None:
    rhythm = VendorRhythm(period_s=20.0, drift_s=0.5, seed=4)
    ticks = FeedsClock(started_at=START, every_s=20.0, is_aligned=True, rhythm=rhythm)
    assert ticks.advance(at(8.2)) == FeedTick(1, at(8))
