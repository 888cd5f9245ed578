"""The vendor's rhythm, learnt from when its versions came: period, phase, and how far the versions stray from it.

Pure: arrivals in, a ``Rhythm`` out. When to ask next is for ``polling``.

What is known of an arrival is an interval: the version was not there at one request and was there at a later one. Both
are moments at which a request was *sent*, so that the way to the vendor, which is the same each time, needs no
knowledge. A header's timestamp says nothing of when a version can be had (it may be early, late, frozen or in the
future), but its steps show the period before requests are dense enough to: it is believed only where each of its steps
fits between the arrivals.
"""

from __future__ import annotations

import bisect
import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

MOST_ARRIVALS = 12
FEWEST_ARRIVALS = 3
# An arrival counts so much of the one after it: a vendor that changes its ways is followed within some versions.
_AGEING = 0.8
# Of the weight of all arrivals, the share that must be on the beat for the vendor to count as regular.
_REGULAR_SHARE = 0.7
# How far from its beat a version may be and still belong to it, in periods.
_STRAYS_UP_TO = 0.13
# Nine of ten versions come within so much of a period, or there is no rhythm worth following.
_SPREAD_UP_TO = 0.4
# An arrival before which nothing was asked for the first, in periods, is taken to have come within the second.
_UNASKED = 0.3
_LOOKED_FOR = 0.08
_SHORTEST_PERIOD_S = 0.5
# What no interval is narrower than: the way to the vendor differs from one request to the next.
_BLUR_S = 0.05
_HEADER_BLUR_S = 0.1


@dataclass(frozen=True, slots=True)
class Arrival:
    """A version's coming, as requests saw it.

    Attributes:
        after: POSIX seconds at which the last request was sent that did not find it.
        by: POSIX seconds at which the first request was sent that found it.
        stamp: The header's timestamp, POSIX seconds; None where there is none.
        requests: How many requests it took, from the arrival before.
    """

    after: float
    by: float
    stamp: int | None
    requests: int

    @property
    def middle(self) -> float:
        return (self.after + self.by) / 2

    @property
    def width(self) -> float:
        return max(self.by - self.after, _BLUR_S)


@dataclass(frozen=True, slots=True)
class Spread:
    """Where something is expected: pieces of time with their probabilities, which together are 1.

    Attributes:
        edges: Ends of the pieces, ascending; one more than there are pieces.
        reached: The probability that it has come by each edge; begins with 0 and ends with 1.
    """

    edges: tuple[float, ...]
    reached: tuple[float, ...]

    @property
    def end(self) -> float:
        return self.edges[-1]

    def at(self, share: float) -> float:
        """The moment by which it has come with probability ``share``."""
        index = min(bisect.bisect_left(self.reached, share, lo=1), len(self.edges) - 1)
        low, high = self.reached[index - 1], self.reached[index]
        part = 1.0 if high <= low else min(max((share - low) / (high - low), 0.0), 1.0)
        return self.edges[index - 1] + part * (self.edges[index] - self.edges[index - 1])

    def share_by(self, moment: float) -> float:
        """The probability that it has come by ``moment``."""
        if moment <= self.edges[0]:
            return 0.0
        if moment >= self.edges[-1]:
            return 1.0
        index = bisect.bisect_right(self.edges, moment)
        part = (moment - self.edges[index - 1]) / (self.edges[index] - self.edges[index - 1])
        return self.reached[index - 1] + part * (self.reached[index] - self.reached[index - 1])

    def later(self, seconds: float) -> Spread:
        """The same, so much later."""
        return Spread(tuple(edge + seconds for edge in self.edges), self.reached)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A vendor that is regular.

    Attributes:
        period_s: Seconds from one version to the next.
        spread: Where the newest arrival that is on the beat was to be expected, by all that are.
        newest_is_on_beat: Whether the newest arrival of all is.
        has_header: Whether the header timestamps fit the arrivals, and so would tell an extra version.
    """

    period_s: float
    spread: Spread
    newest_is_on_beat: bool
    has_header: bool

    def beat(self, number: int) -> Spread:
        """Where the version ``number`` periods after the newest one on the beat is expected."""
        return self.spread.later(number * self.period_s)


def learn(arrivals: Sequence[Arrival]) -> Rhythm | None:
    """The rhythm behind ``arrivals``, oldest first; None where there is none to rely on."""
    recent = list(arrivals)[-MOST_ARRIVALS:]
    if len(recent) < FEWEST_ARRIVALS:
        return None
    weights = [_AGEING**age for age in range(len(recent))][::-1]
    guess = _guessed_period(recent)
    if guess < _SHORTEST_PERIOD_S:
        return None
    is_extra = _is_extra_by_header(recent, guess)
    recent = [_narrowed(arrival, guess) for arrival in recent]
    chains = [_on_beat(recent, anchor, guess) for anchor in range(len(recent) - 1, len(recent) - 4, -1)]
    beats = max(chains, key=lambda chain: sum(weights[index] for index in chain))
    if is_extra and len(recent) - 1 in beats:
        beats = _without_newest(beats, len(recent) - 1)
    if len(beats) < FEWEST_ARRIVALS or sum(weights[index] for index in beats) < _REGULAR_SHARE * sum(weights):
        return None
    period, error = _period(recent, beats, weights)
    if not error <= _STRAYS_UP_TO * period:
        return None
    windows = []
    for index, age in beats.items():
        arrival, blur = recent[index], max(_BLUR_S, 0.01 * period) + min(age * error, 0.1 * period)
        windows.append((arrival.after + age * period - blur, arrival.by + age * period + blur, weights[index]))
    spread = spread_of(windows)
    if spread.at(0.95) - spread.at(0.05) > _SPREAD_UP_TO * period:
        return None
    return Rhythm(period, spread, len(recent) - 1 in beats, bool(_header_steps(recent)))


def first_guess(arrivals: Sequence[Arrival], begun_with: int | None) -> Spread | None:
    """Where the next version is to be looked for before there are arrivals enough to ``learn`` from.

    Header timestamps alone say how far apart versions come, so this is no rhythm to rely on: a reason for more requests
    there, not for fewer elsewhere.

    Args:
        arrivals: The first ones, oldest first.
        begun_with: The header's timestamp of the version before them, whose own coming nobody saw.

    Returns:
        None where the timestamps give no period.
    """
    if not 1 <= len(arrivals) < FEWEST_ARRIVALS:
        return None
    steps = _header_steps(arrivals)
    if len(steps) < len(arrivals) - 1:
        return None
    if begun_with is not None and arrivals[0].stamp is not None:
        steps.append(float(arrivals[0].stamp - begun_with))
    if not steps or min(steps) < _SHORTEST_PERIOD_S:
        return None
    period, error = statistics.fmean(steps), 1.0 / len(steps)
    return spread_of(
        [
            (arrival.after + count * (period - error), arrival.by + count * (period + error), _AGEING**count)
            for count, arrival in enumerate(reversed(arrivals), start=1)
        ]
    )


def is_unasked_for(arrival: Arrival, period: float) -> bool:
    """Whether nothing was asked for so long before the version was found that it may be older than its beat."""
    return arrival.width > _UNASKED * period


def _is_extra_by_header(recent: Sequence[Arrival], period: float) -> bool:
    """Whether the newest version, found at the first look, is by its header an extra one between two beats."""
    steps = _header_steps(recent)
    return bool(steps) and is_unasked_for(recent[-1], period) and steps[-1] + 1 < (1 - _STRAYS_UP_TO) * period


def _without_newest(beats: dict[int, int], newest: int) -> dict[int, int]:
    """The beats counted from the newest arrival that remains."""
    left = {index: age for index, age in beats.items() if index != newest}
    first = min(left.values(), default=0)
    return {index: age - first for index, age in left.items()}


def _narrowed(arrival: Arrival, period: float) -> Arrival:
    if not is_unasked_for(arrival, period):
        return arrival
    return replace(arrival, after=arrival.by - _LOOKED_FOR * period)


def _guessed_period(recent: Sequence[Arrival]) -> float:
    """The step from one version to the next, not exact, for counting periods by. Missed and double ones do not matter
    while they are few."""
    steps = _header_steps(recent) or [b.by - a.by for a, b in itertools.pairwise(recent)]
    return statistics.median(steps)


def _header_steps(recent: Sequence[Arrival]) -> list[float]:
    """Steps of the header timestamps, empty where they are not to be believed."""
    steps = []
    for before, after in itertools.pairwise(recent):
        if before.stamp is None or after.stamp is None or after.stamp <= before.stamp:
            return []
        step = after.stamp - before.stamp
        if not after.after - before.by - 1 <= step <= after.by - before.after + 1:
            return []
        steps.append(float(step))
    return steps


def _on_beat(recent: Sequence[Arrival], anchor: int, period: float) -> dict[int, int]:
    """Arrivals that lie on the beat of the one at ``anchor``: index to age in periods, newest first."""
    beats = {anchor: 0}
    error, last = period * 0.1, anchor
    for index in range(anchor - 1, -1, -1):
        step = recent[last].middle - recent[index].middle
        count = round(step / period)
        # Half the widths is what the middles may be wrong by; never so much that everything is on the beat.
        slack = min((recent[last].width + recent[index].width) / 4, 0.06 * period) + _STRAYS_UP_TO * period
        if count < 1 or abs(step - count * period) > slack:
            continue
        beats[index] = beats[last] + count
        last = index
        spanned = recent[anchor].middle - recent[index].middle
        could_be_wrong_by = ((recent[anchor].width + recent[index].width) / 2 + 0.05 * period) / beats[index]
        if could_be_wrong_by < error:
            period, error = spanned / beats[index], could_be_wrong_by
    return beats


def _period(recent: Sequence[Arrival], beats: dict[int, int], weights: Sequence[float]) -> tuple[float, float]:
    """The period and what it may be wrong by, from arrivals or headers, whichever is sharper."""
    points = [(-age, recent[i].middle, weights[i], recent[i].width / 2 + _BLUR_S) for i, age in beats.items()]
    by_arrivals = _slope(points)
    if not _header_steps(recent):
        return by_arrivals
    stamps = [(-age, float(recent[i].stamp or 0), 1.0, _HEADER_BLUR_S) for i, age in beats.items()]
    return min(by_arrivals, _slope(stamps), key=lambda found: found[1])


def _slope(points: Sequence[tuple[int, float, float, float]]) -> tuple[float, float]:
    """Weighted least squares over (count, moment, weight, blur): seconds a count, and their standard error."""
    shares = [weight / blur**2 for _, _, weight, blur in points]
    total = sum(shares)
    count = sum(s * p[0] for s, p in zip(shares, points, strict=True)) / total
    origin = points[0][1]
    moment = sum(s * (p[1] - origin) for s, p in zip(shares, points, strict=True)) / total
    spread = sum(s * (p[0] - count) ** 2 for s, p in zip(shares, points, strict=True))
    slope = sum(s * (p[0] - count) * (p[1] - origin - moment) for s, p in zip(shares, points, strict=True)) / spread
    left = [(p[1] - origin - moment - slope * (p[0] - count)) ** 2 for p in points]
    scatter = sum(s * square for s, square in zip(shares, left, strict=True)) / total
    blur = total / sum(s / p[3] ** 2 for s, p in zip(shares, points, strict=True))
    variance = max(scatter, blur) / (spread / total) / len(points)
    return slope, variance**0.5


def spread_of(windows: Sequence[tuple[float, float, float]]) -> Spread:
    """Where a moment is likely, by windows (from, to, weight) in each of which it was seen once.

    Each window gives its weight to the pieces it covers, more to those that others cover too: some rounds of Turnbull's
    self-consistency for interval-censored observations, not to the end, which would leave only the narrowest pieces.
    """
    edges = sorted({edge for low, high, _ in windows for edge in (low, high)})
    lengths = [high - low for low, high in itertools.pairwise(edges)]
    covered = [
        (bisect.bisect_left(edges, low), bisect.bisect_left(edges, high), weight) for low, high, weight in windows
    ]
    mass = lengths
    for _ in range(4):
        given = [0.0] * len(lengths)
        for low, high, weight in covered:
            total = sum(mass[low:high])
            for piece in range(low, high):
                given[piece] += weight * mass[piece] / total
        mass = given
    total = sum(mass)
    reached = [0.0, *itertools.accumulate(piece / total for piece in mass)]
    reached[-1] = 1.0
    return Spread(tuple(edges), tuple(reached))
