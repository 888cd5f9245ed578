"""How long a version waits for the feed that usually changes with it."""

from __future__ import annotations

from collections.abc import Sequence

from continuous_gtfs.pims.polling import Pace, PollMemory
from continuous_gtfs.pims.siblings import SiblingWait, sibling_wait

PACE = Pace(every_s=5.0)
PERIOD_S, VERSIONS = 20.0, 7
NOW = (VERSIONS - 1) * PERIOD_S


def came_at(moments: Sequence[float], told_at: float | None = None) -> PollMemory:
    """Versions that were each there at these moments and not yet 0.2 s before; last asked in vain at ``told_at``."""
    memory = PollMemory()
    for moment in moments:
        memory.note_request(moment - 0.2, PACE)
        memory.note_unchanged(moment - 0.2)
        memory.note_request(moment, PACE)
        memory.note_arrival(moment, None)
    if told_at is not None:
        memory.note_request(told_at, PACE)
        memory.note_unchanged(told_at)
    return memory


def beats(count: int, late_s: float = 0.0) -> list[float]:
    return [number * PERIOD_S + late_s for number in range(count)]


def waited(first: PollMemory, other: PollMemory) -> SiblingWait:
    return sibling_wait(first, other, PACE, opened_at=NOW, window_s=2.0, usual_gap_s=0.5)


def test_where_nothing_is_known_it_waits_for_the_whole_window_and_asks_often() -> None:
    wait = waited(PollMemory(), came_at([], told_at=NOW - 1.0))
    assert wait == SiblingWait(until=NOW + 2.0, ask_at=NOW - 0.5)


def test_a_sibling_that_comes_a_second_later_is_asked_then_and_not_waited_for_much_longer() -> None:
    wait = waited(came_at(beats(VERSIONS)), came_at(beats(VERSIONS - 1, late_s=1.0), told_at=NOW))
    assert 0.8 <= wait.ask_at - NOW <= 1.05
    assert 1.0 <= wait.until - NOW <= 1.5


def test_a_sibling_that_comes_at_the_same_moment_is_asked_at_once() -> None:
    wait = waited(came_at(beats(VERSIONS)), came_at(beats(VERSIONS - 1), told_at=NOW - 0.3))
    assert wait.ask_at <= NOW + 0.1
    assert NOW < wait.until <= NOW + 0.5


def test_a_sibling_that_is_asked_in_vain_is_not_waited_for_longer_by_that() -> None:
    first, asked_once = came_at(beats(VERSIONS)), came_at(beats(VERSIONS - 1), told_at=NOW + 0.1)
    assert waited(first, asked_once).until == waited(first, came_at(beats(VERSIONS - 1), told_at=NOW + 1.5)).until


def test_a_sibling_that_has_come_already_is_not_waited_for() -> None:
    wait = waited(came_at(beats(VERSIONS)), came_at(beats(VERSIONS, late_s=-3.0)))
    assert wait.until <= NOW


def test_a_sibling_that_has_come_already_is_not_waited_for_though_it_often_comes_later() -> None:
    moments = [at + late for at, late in zip(beats(VERSIONS), (1, -0.1, 1, 1, -0.1, 1, -0.1), strict=True)]
    assert waited(came_at(beats(VERSIONS)), came_at(moments)).until <= NOW
    assert waited(came_at(beats(VERSIONS)), came_at(moments[:-1], told_at=NOW)).until > NOW + 0.9


def test_a_sibling_that_comes_long_after_is_not_waited_for() -> None:
    wait = waited(came_at(beats(VERSIONS)), came_at(beats(VERSIONS - 1, late_s=8.0), told_at=NOW - 0.5))
    assert wait.until <= NOW


def test_a_sibling_that_has_stood_still_for_long_is_waited_for_as_if_nothing_were_known() -> None:
    """It has no rhythm any more, and few pairs; it may move again with the feed that did."""
    wait = waited(came_at(beats(VERSIONS)), came_at(beats(1), told_at=NOW))
    assert wait.until == NOW + 2.0


def test_the_sibling_of_a_feed_that_just_began_to_move_is_expected_by_its_own_rhythm() -> None:
    soon = waited(PollMemory(), came_at(beats(VERSIONS - 1, late_s=0.5), told_at=NOW))
    assert NOW + 0.4 <= soon.until <= NOW + 1.2
    later = waited(PollMemory(), came_at(beats(VERSIONS - 1, late_s=8.0), told_at=NOW))
    assert later.until <= NOW
