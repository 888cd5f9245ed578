"""How long one feed's version waits for the other feeds that usually change with it. Pure, as ``polling``."""

from __future__ import annotations

from dataclasses import dataclass

from continuous_gtfs.pims.polling import CLOSEST_S, DUE_SHARE, Pace, PollMemory, due, next_step
from continuous_gtfs.pims.rhythm import Spread, spread_of

# So many versions that came together say how far apart they come.
_FEWEST_PAIRS = 3
_MOST_PAIRS = 6
# Without a rhythm, versions this close to each other belong together, in seconds; with one, half a period.
_TOGETHER_S = 5.0
# How much later than ever before the other one may come, in seconds.
_GRACE_S = 0.25


@dataclass(frozen=True, slots=True)
class SiblingWait:
    """What to do about a feed that has not changed while another one has.

    Attributes:
        until: POSIX seconds until which it is waited for; not later than now where nothing is to be expected.
        ask_at: POSIX seconds at which it should be asked for that.
    """

    until: float
    ask_at: float


def sibling_wait(
    first: PollMemory, other: PollMemory, pace: Pace, *, opened_at: float, window_s: float, usual_gap_s: float
) -> SiblingWait:
    """How long the newest version of ``first`` waits for one of ``other``.

    By how far apart the two came before; else by the rhythm of ``other``; else for the whole window.

    Args:
        first: The feed that changed.
        other: The feed that did not yet.
        pace: Of ``other``.
        opened_at: POSIX seconds at which ``first`` was seen to have changed.
        window_s: The longest wait.
        usual_gap_s: From one request to the next where nothing is known.
    """
    told_at = other.told_at if other.told_at is not None else opened_at
    closes_at = opened_at + window_s
    spread = _by_pairs(first, other) or due(other, pace, opened_at)
    if spread is None:
        return SiblingWait(until=closes_at, ask_at=told_at + usual_gap_s)
    if _has_come(first, other) or spread.at(1 - DUE_SHARE) > closes_at:
        return SiblingWait(until=opened_at, ask_at=closes_at)
    until = min(max(spread.at(DUE_SHARE), opened_at) + _GRACE_S, closes_at)
    ask_at = max(next_step(spread, told_at), told_at + CLOSEST_S)
    return SiblingWait(until=until, ask_at=ask_at)


def _together_s(first: PollMemory) -> float:
    rhythm = first.rhythm()
    return rhythm.period_s / 2 if rhythm else _TOGETHER_S


def _has_come(first: PollMemory, other: PollMemory) -> bool:
    if not first.arrivals or not other.arrivals:
        return False
    return abs(first.arrivals[-1].by - other.arrivals[-1].by) < _together_s(first) - CLOSEST_S


def _by_pairs(first: PollMemory, other: PollMemory) -> Spread | None:
    """Where the version of ``other`` that belongs to the newest of ``first`` is expected, by the pairs before."""
    if not first.arrivals:
        return None
    newest, together_s = first.arrivals[-1], _together_s(first)
    windows = []
    for arrival in first.arrivals[-_MOST_PAIRS - 1 : -1]:
        partner = min(other.arrivals, key=lambda each: abs(each.by - arrival.by), default=None)
        if partner is None or abs(partner.by - arrival.by) >= together_s:
            continue
        after = max(partner.after, partner.by - together_s / 4)
        windows.append((newest.by + after - arrival.by - 0.05, newest.by + partner.by - arrival.by + 0.05, 1.0))
    return spread_of(windows) if len(windows) >= _FEWEST_PAIRS else None
