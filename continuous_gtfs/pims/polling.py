"""When to ask the vendor for a feed next: a pure function of earlier answers and the clock.

The vendor's rhythm is learnt from the versions that came (``rhythm``). While it is regular, requests are placed where
the next version is expected, at equal steps of probability, and hardly any elsewhere; while it is not they keep the
feed's fixed cadence. At the beginning, when it is not known yet, requests come closer than that for a while, and where
the headers so far let a version be expected. Faults are not answers: how long to stay away after one is for the caller.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from dataclasses import dataclass, field
from typing import Any

from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pims.rhythm import (
    FEWEST_ARRIVALS,
    MOST_ARRIVALS,
    Arrival,
    Rhythm,
    Spread,
    first_guess,
    is_unasked_for,
    learn,
)

# The shares of probability at which a due version is looked for, by the requests that the last versions took: k equal
# steps find it with (k + 1) / 2 requests; missed versions and late ones cost more.
# By when a version that has not come is overdue.
DUE_SHARE = 0.95
_STEPS = (
    (2.3, (0.2, 0.4, 0.6, 0.8, DUE_SHARE)),
    (2.8, (0.25, 0.5, 0.75, DUE_SHARE)),
    (3.2, (0.3, 0.65, DUE_SHARE)),
    (float("inf"), (0.5, DUE_SHARE)),
)
# After so many versions in a row that were found at the first look, one more where a header vouches for them, a whole
# period is looked through: each of them may have come long before.
_FIRST_LOOKS = 3
# No two requests of one feed are begun closer to each other, in seconds.
CLOSEST_S = 0.2
# How long after its time an overdue version is asked for again at first.
_FIRST_GAP_S = 0.5
# The vendor is never left unasked for so many fixed cadences.
_LONGEST_SILENCE = 6
# After so many periods without a version the rhythm is no longer relied on.
_SILENT_PERIODS = 4.5
# A clock that is set back by more makes what was learnt by it useless.
CLOCK_SLACK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a feed may be asked.

    Attributes:
        every_s: The fixed cadence, from one request to the next.
        learns: Whether the vendor's rhythm is looked for at all.
        most_requests: At most so many requests begin in any ``window_s`` seconds.
        window_s: See ``most_requests``.
    """

    every_s: float
    learns: bool = True
    most_requests: int = 24
    window_s: float = 60.0

    @classmethod
    def of(cls, source: FeedSource) -> Pace:
        return cls(
            every_s=source.poll_every_s,
            learns=source.kind is FeedKind.REALTIME,
            most_requests=source.most_requests,
            window_s=source.request_window_s or 12 * source.poll_every_s,
        )


@dataclass(slots=True)
class PollMemory:
    """What is remembered of the answers for one feed; bounded.

    Attributes:
        arrivals: The last versions' arrivals, oldest first.
        asked: POSIX seconds at which the last requests were sent, as many as the budget needs.
        told_at: POSIX seconds at which the last request that could tell was sent.
        requests: Requests that could tell since the newest version came.
        versions: Versions that have come so far.
        begun_with: The header's timestamp of the version that was there at the first request that could tell.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    told_at: float | None = None
    requests: int = 0
    versions: int = 0
    begun_with: int | None = None
    _rhythm: Rhythm | None = field(default=None, repr=False, compare=False)
    _rhythm_is_of: int | None = field(default=None, repr=False, compare=False)

    def note_request(self, at: float, pace: Pace) -> None:
        """A request is being sent, whatever becomes of it."""
        if self.asked and at < self.asked[-1] - CLOCK_SLACK_S:
            # The clock was set back: what was learnt by it is of no use, and the future is nothing to wait for.
            self.arrivals, self.told_at, self.begun_with = [], None, None
            self.asked = [moment for moment in self.asked if moment <= at]
            self._rhythm_is_of = None
        self.asked = [*self.asked, at][-pace.most_requests :]

    def note_unchanged(self, at: float) -> None:
        """The request sent ``at`` found no new version."""
        self.told_at = at
        self.requests += 1

    def note_arrival(self, at: float, stamp: int | None) -> None:
        """The request sent ``at`` found a new version, whose header says ``stamp``."""
        if self.told_at is not None:
            arrival = Arrival(after=self.told_at, by=at, stamp=stamp, requests=self.requests + 1)
            self.arrivals = [*self.arrivals, arrival][-MOST_ARRIVALS:]
        else:
            self.begun_with = stamp
        self.versions += 1
        self.told_at = at
        self.requests = 0

    def rhythm(self) -> Rhythm | None:
        """The vendor's rhythm; reckoned once for each version."""
        if self._rhythm_is_of != self.versions:
            self._rhythm, self._rhythm_is_of = learn(self.arrivals), self.versions
        return self._rhythm

    def to_dict(self) -> dict[str, Any]:
        return {
            "arrivals": [[round(a.after, 3), round(a.by, 3), a.stamp, a.requests] for a in self.arrivals],
            "asked": [round(at, 3) for at in self.asked],
            "told_at": self.told_at,
            "requests": self.requests,
            "versions": self.versions,
            "begun_with": self.begun_with,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> PollMemory:
        """What ``to_dict`` gave; what newer code has added to it is ignored.

        Raises:
            ValueError: A value is no number where one must be; likewise TypeError and KeyError.
        """
        begun_with = fields.get("begun_with")
        return cls(
            arrivals=[
                Arrival(
                    after=float(after), by=float(by), stamp=None if stamp is None else int(stamp), requests=int(count)
                )
                for after, by, stamp, count, *_ in fields["arrivals"]
            ],
            asked=[float(at) for at in fields["asked"]],
            told_at=None if fields["told_at"] is None else float(fields["told_at"]),
            requests=int(fields["requests"]),
            versions=int(fields["versions"]),
            begun_with=None if begun_with is None else int(begun_with),
        )


def next_request_at(memory: PollMemory, pace: Pace, now: float) -> float:
    """When the next request should begin, POSIX seconds; in the past where it should have begun already.

    Retry-After and back-off after faults come on top: the caller takes the later.

    Args:
        memory: The feed's earlier answers.
        pace: How the feed may be asked.
        now: POSIX seconds.
    """
    if memory.asked and memory.asked[-1] > now + CLOCK_SLACK_S:
        # The clock was set back: the next request makes a new beginning.
        return now
    if not memory.asked or memory.told_at is None:
        wanted = memory.asked[-1] + pace.every_s if memory.asked else now
    else:
        wanted = _wanted_at(memory, memory.told_at, pace)
    return max(wanted, allowed_at(memory, pace))


def due(memory: PollMemory, pace: Pace, now: float) -> Spread | None:
    """Where the feed's next version is expected; None where that is not known."""
    rhythm = _reliable_rhythm(memory, pace, now)
    return None if rhythm is None else rhythm.beat(_beat_after(memory, rhythm, now))


def busy_until(memory: PollMemory, pace: Pace, now: float) -> float:
    """When the next expected version will have come or be overdue; ``now`` where none is expected."""
    spread = due(memory, pace, now)
    return now if spread is None else spread.at(DUE_SHARE)


def allowed_at(memory: PollMemory, pace: Pace) -> float:
    """When the budget has room for another request, POSIX seconds.

    What cannot follow a fast vendor is spread over the window, where it would follow it for a while and then be silent.
    """
    step_s = _usual_step_s(memory)
    parts = (1, 2, 4) if step_s is not None and step_s < pace.every_s else (1,)
    budgets = ((math.ceil(pace.most_requests / part), pace.window_s / part) for part in parts)
    return max((memory.asked[-most] + seconds for most, seconds in budgets if len(memory.asked) >= most), default=0.0)


def leaves_room(memory: PollMemory, pace: Pace, at: float) -> bool:
    """Whether the budget has room for a request at ``at``, POSIX seconds, and for the fixed cadence after it.

    For requests beside the cadence: without this they would use the budget up, and no version be seen for a while.
    """
    asked, most = memory.asked, pace.most_requests
    return all(
        len(asked) - bisect.bisect_right(asked, at + count * pace.every_s - pace.window_s) + 1 + count <= most
        for count in range(int(pace.window_s / pace.every_s) + 1)
    )


def _reliable_rhythm(memory: PollMemory, pace: Pace, at: float) -> Rhythm | None:
    rhythm = memory.rhythm() if pace.learns else None
    if rhythm is None or at - memory.arrivals[-1].by > _SILENT_PERIODS * rhythm.period_s:
        return None
    return rhythm


def _wanted_at(memory: PollMemory, told_at: float, pace: Pace) -> float:
    rhythm = _reliable_rhythm(memory, pace, told_at)
    if rhythm is None:
        wanted_at = told_at + _cadence_s(memory, pace)
        early_at = min(_early_at(memory, told_at, pace), _guessed_at(memory, told_at, pace))
        return early_at if early_at < wanted_at and leaves_room(memory, pace, early_at) else wanted_at
    first_looks = _FIRST_LOOKS + rhythm.has_header
    if all(is_unasked_for(arrival, rhythm.period_s) for arrival in memory.arrivals[-first_looks:]):
        return told_at + min(pace.every_s, max(rhythm.period_s / 4, CLOSEST_S))
    first, number = _beat_after_newest(memory, rhythm), _beat_after(memory, rhythm, told_at)
    spread = rhythm.beat(number)
    wanted = [next_step(spread, told_at, _usual_requests(memory)), told_at + _LONGEST_SILENCE * pace.every_s]
    if number > first:
        # A due version did not come: it is late, or was left out. Each gap is as long as all that were waited before.
        overdue_s = told_at - rhythm.beat(number - 1).at(DUE_SHARE)
        wanted.append(told_at + min(max(overdue_s, _FIRST_GAP_S), pace.every_s))
    elif memory.requests == 0 and _may_be_one_behind(memory, rhythm):
        confirmed_at = rhythm.beat(number - 1).at(DUE_SHARE)
        wanted.append(confirmed_at if confirmed_at > told_at else spread.end)
    return max(min(wanted), told_at + CLOSEST_S)


def _may_be_one_behind(memory: PollMemory, rhythm: Rhythm) -> bool:
    """Whether what was found may be the version before the due one.

    Found at the first look, it may have come long before. A header would tell; but if it happens twice in a row, the
    rhythm itself may have been learnt from such versions, each a period late.
    """
    newest = memory.arrivals[-1:] if not rhythm.has_header else memory.arrivals[-2:]
    return all(is_unasked_for(arrival, rhythm.period_s) for arrival in newest)


def next_step(spread: Spread, told_at: float, usual_requests: float = 3.0) -> float:
    """The next moment at which what ``spread`` expects should be looked for, after a look at ``told_at``.

    ``told_at`` must lie before the time at which it is overdue, else that time is given.
    """
    done = spread.share_by(told_at + CLOSEST_S / 2)
    steps = next(steps for most, steps in _STEPS if usual_requests <= most)
    return spread.at(next((step for step in steps if step > done), DUE_SHARE))


def _usual_requests(memory: PollMemory) -> float:
    return statistics.fmean(arrival.requests for arrival in memory.arrivals)


def _beat_after_newest(memory: PollMemory, rhythm: Rhythm) -> int:
    """The number of the first beat whose version is newer than the newest one."""
    if rhythm.newest_is_on_beat:
        return 1
    # An extra version between two beats: the next beat is the first whose end lies after it.
    return 1 + max(0, int((memory.arrivals[-1].by - rhythm.spread.at(DUE_SHARE)) / rhythm.period_s))


def _beat_after(memory: PollMemory, rhythm: Rhythm, at: float) -> int:
    """The number of the beat whose version is still to be expected at ``at``."""
    number = _beat_after_newest(memory, rhythm)
    while rhythm.beat(number).at(DUE_SHARE) <= at + CLOSEST_S / 2:
        number += 1
    return number


def _guessed_at(memory: PollMemory, told_at: float, pace: Pace) -> float:
    """The next moment at which a first guess expects the next version."""
    spread = first_guess(memory.arrivals, memory.begun_with) if pace.learns else None
    if spread is None:
        return math.inf
    overdue_s = told_at + CLOSEST_S / 2 - spread.at(DUE_SHARE)
    if overdue_s >= 0:
        return told_at + max(overdue_s, _FIRST_GAP_S)
    return max(next_step(spread, told_at, usual_requests=0.0), told_at + CLOSEST_S)


def _early_at(memory: PollMemory, told_at: float, pace: Pace) -> float:
    """The next moment at which the first version is looked for beside the fixed cadence."""
    is_first = pace.learns and not memory.arrivals and memory.requests < pace.most_requests / 2
    return told_at + pace.every_s / 2 if is_first else math.inf


def _cadence_s(memory: PollMemory, pace: Pace) -> float:
    """The fixed cadence, or less where versions come faster than it could tell apart."""
    step_s = _usual_step_s(memory) if pace.learns else None
    return pace.every_s if step_s is None else min(max(step_s / 2, pace.every_s / 8, CLOSEST_S), pace.every_s)


def _usual_step_s(memory: PollMemory) -> float | None:
    """From one version to the next, by when they were found; None while they are too few."""
    newest = memory.arrivals[-5:]
    if len(newest) < FEWEST_ARRIVALS:
        return None
    return statistics.median(after.by - before.by for before, after in itertools.pairwise(newest))
