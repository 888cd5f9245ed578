"""The requests of a sensor: at most one under way for each feed, begun when the feed is due, taken into the cursor.

They belong to a tick, and go on after it until the next one takes them over: see ``between_ticks``. Here too: how long
a version that came waits for the feeds that usually change with it. Whether a run is asked for is decided in ``watch``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from continuous_gtfs.defs.clock_steps import dated_after
from continuous_gtfs.defs.cursor import Cursor, FeedMemory
from continuous_gtfs.defs.decisions import LONGEST_WAIT_S, seconds_to_stay_away
from continuous_gtfs.defs.health import note_answer, note_failure
from continuous_gtfs.defs.older_answers import is_to_be_left_alone, note_older
from continuous_gtfs.defs.watch_seams import Vendor, WatchResult, WatchTiming
from continuous_gtfs.errors import ContinuousGtfsError, PermanentError
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pims.outcomes import Body, CouldNotTell, FetchOutcome
from continuous_gtfs.pims.polling import CLOCK_SLACK_S, Pace, busy_until, leaves_room, next_request_at
from continuous_gtfs.pims.siblings import SiblingWait, sibling_wait
from continuous_gtfs.versions import FeedVersion

MOST_CUT_SHORT = 2
# Said at DEBUG of every request: by this the load test tells whether a machine keeps up.
BEGUN_LATE = "%s: asked %.3f s after it was due"
_log = logging.getLogger(__name__)


def _nothing() -> None:
    """Nobody wants to know."""


def left_alone_until(memory: FeedMemory, now: float) -> float:
    """Until when a feed must be left alone after a fault, POSIX seconds, by what the last tick remembered; else 0.

    Bounded by what can have been meant: after a clock that ran ahead was set back, the remembered moment is far away.
    """
    return min(memory.not_before, now + LONGEST_WAIT_S) if memory.failures_in_row else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """The time in which versions are collapsed into one run: by which feed it was opened, and when."""

    opened_by: str
    opened_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What became of one request.

    Attributes:
        version: The version that a body is, as recorded; None without a body.
        is_new: It is another one than the newest known.
        is_older: It is one that is older than the newest known, and left alone.
    """

    outcome: FetchOutcome
    version: FeedVersion | None = None
    is_new: bool = False
    is_older: bool = False


class FeedRequests:
    """The requests of one tick, and of those that take them over from it.

    Args:
        sources: The feeds.
        cursor: Brought up to date with each answer.
        vendor: The seams.
        timing: See there.

    Attributes:
        result: Takes new versions and news of health.
        on_new: Called when a new version has come, before it is archived.
    """

    def __init__(
        self,
        sources: Sequence[FeedSource],
        cursor: Cursor,
        vendor: Vendor,
        timing: WatchTiming,
    ) -> None:
        self._sources: Mapping[str, FeedSource] = {source.feed: source for source in sources}
        self._paces = {source.feed: Pace.of(source) for source in sources}
        self._cursor = cursor
        self.result = WatchResult()
        self.on_new: Callable[[], object] = _nothing
        self._timing = timing
        self._under_way: dict[str, asyncio.Task[_Answer]] = {}
        self._sent_at: dict[str, float] = {}
        self._answered: set[str] = set()
        self._next_at: dict[str, float] = {}
        self._due_at: dict[str, float] = {}
        self._window: _Window | None = None
        self._clock_offset: float | None = None
        self.begin_tick(vendor)
        if waiting := sorted(cursor.waiting()):
            self._window = _Window(opened_by=waiting[0], opened_at=self.started_at)
        self._plan()
        # Before the first tick, too, a feed may have been due.
        self._due_at = dict(self._next_at)

    def begin_tick(self, vendor: Vendor) -> None:
        """What was found since the tick before is of this one."""
        self._vendor = vendor
        # POSIX time as it is now, and steady from here on, whatever is done to the clock meanwhile.
        before, self._clock_offset = self._clock_offset, time.time() - time.monotonic()
        self.started_at = self.now()
        if before is not None and abs(self._clock_offset - before) > CLOCK_SLACK_S:
            self._plan_anew()
        self.ends_by = self.started_at + self._timing.tick_s
        if not self.go_on:
            # The last request may begin only while it can still end inside the tick.
            self.ends_by -= max(source.timeout_s for source in self._sources.values())
        self.last_at = float("inf") if self.go_on else self.ends_by

    def end_tick(self) -> WatchResult:
        """What this tick found; what comes from now on is of the next."""
        result, self.result, self.on_new = self.result, WatchResult(), _nothing
        if not self._cursor.waiting():
            self._window = None
        return result

    @property
    def go_on(self) -> bool:
        """Whether requests may be under way when a tick ends."""
        return self._timing.goes_on_s > 0

    async def between_ticks(self) -> None:
        """Asks what falls due, until it is cancelled; requests under way then stay so."""
        while True:
            self.start_due()
            await self.wait(float("inf"))

    def now(self) -> float:
        return time.monotonic() + (self._clock_offset or 0.0)

    @property
    def under_way(self) -> frozenset[str]:
        return frozenset(self._under_way)

    @property
    def next_at(self) -> float:
        """When the next request is due, of those feeds that none is under way for."""
        return min((at for feed, at in self._next_at.items() if feed not in self._under_way), default=float("inf"))

    @property
    def busy_until(self) -> float:
        """When the versions that are expected next will have come or be overdue."""
        now = self.now()
        return max(busy_until(memory.polls, self._paces[f], now) for f, memory in self._cursor.feeds.items())

    @property
    def has_answer_of_all(self) -> bool:
        return self._answered >= set(self._sources)

    @property
    def are_given_time(self) -> bool:
        """Whether a slow feed is to be waited for now, since its requests were cut short before."""
        return any(self._cursor.feeds[feed].cut_short >= MOST_CUT_SHORT for feed in self._under_way)

    def start_due(self) -> None:
        """Begins the requests that are due."""
        now = self.now()
        if now > self.last_at:
            return
        for feed in self._sources:
            if feed not in self._under_way and now >= self._next_at[feed]:
                _log.debug(BEGUN_LATE, self._sources[feed].feed_id, now - self._due_at.pop(feed, now))
                self._cursor.feeds[feed].polls.note_request(now, self._paces[feed])
                self._sent_at[feed] = now
                self._under_way[feed] = asyncio.ensure_future(self._ask(feed))

    async def wait(self, until: float) -> None:
        """Until a request has ended, or one is due, or ``until``; takes the answers."""
        # What fell due just before the last moment and was not begun by then is for the next tick.
        if self.now() <= self.last_at and self.next_at <= self.last_at:
            until = min(until, self.next_at)
        seconds = max(0.0, until - self.now()) if until < float("inf") else None
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            self.take_answers()
        else:
            await asyncio.sleep(seconds or 0.0)

    def take_answers(self) -> None:
        """Takes what has arrived."""
        done = [feed for feed, request in self._under_way.items() if request.done()]
        for feed in done:
            self._take(feed, self._under_way.pop(feed))
        if done:
            self._plan()

    async def cancel(self) -> None:
        for feed, request in self._under_way.items():
            self._cursor.feeds[feed].cut_short += 1
            request.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def run_due_at(self) -> float | None:
        """When a run for the waiting versions is due: at once when no other feed is to be expected with them."""
        if self._window is None or not self._cursor.waiting():
            return None
        closes_at = self._window.opened_at + self._timing.window_s
        due_at = self._window.opened_at
        for feed in self._missing():
            if feed in self._under_way:
                # It may be bringing its version just now.
                due_at = max(due_at, closes_at)
            elif self._next_at[feed] < closes_at:
                due_at = max(due_at, self._sibling_wait(feed, self._window).until)
        return due_at

    async def _ask(self, feed: str) -> _Answer:
        source, memory = self._sources[feed], self._cursor.feeds[feed]
        outcome = await self._vendor.fetch(source, memory.etag, memory.last_modified)
        if not isinstance(outcome, Body):
            return _Answer(outcome=outcome)
        version = await asyncio.to_thread(self._vendor.identify, source, outcome, datetime.now(UTC))
        if is_to_be_left_alone(memory, version, now=self.now()):
            return _Answer(outcome=outcome, version=version, is_older=True)
        is_new = memory.version is None or memory.version.version_id != version.version_id
        if is_new:
            self.on_new()
            version = dated_after(version, memory.version)
            version = await asyncio.to_thread(self._vendor.save, version, outcome.body)
        return _Answer(outcome=outcome, version=version, is_new=is_new)

    def _take(self, feed: str, request: asyncio.Task[_Answer]) -> None:
        self._cursor.feeds[feed].cut_short = 0
        self._answered.add(feed)
        try:
            answer = request.result()
            if isinstance(answer.outcome, CouldNotTell):
                self._take_failure(feed, answer.outcome)
            else:
                self._take_success(feed, answer)
        except PermanentError as error:
            self._take_failure(feed, CouldNotTell("unreadable", str(error)))
        except ContinuousGtfsError as error:
            self._take_failure(feed, CouldNotTell("not_archived", str(error)))
        except Exception as error:
            # A bug that one body brings out must not keep the other feed from being published.
            _log.exception("%s: a bug in reading what the vendor sent", self._sources[feed].feed_id)
            self._take_failure(feed, CouldNotTell("bug", f"{type(error).__name__}: {error}"))

    def _take_success(self, feed: str, answer: _Answer) -> None:
        memory, sent_at = self._cursor.feeds[feed], self._sent_at[feed]
        if answer.is_new and answer.version is not None:
            memory.version = answer.version
            self.result.new_versions.append(answer.version)
            memory.polls.note_arrival(sent_at, answer.version.header_timestamp)
            if self._window is None:
                self._window = _Window(opened_by=feed, opened_at=sent_at)
        else:
            memory.polls.note_unchanged(sent_at)
        if answer.is_older:
            note_older(memory, now=self.now())
        else:
            memory.older_in_row = 0
        if isinstance(answer.outcome, Body) and not answer.is_older:
            # The validators of a body that was not taken are never kept: a 304 would then hide it.
            memory.etag, memory.last_modified = answer.outcome.etag, answer.outcome.last_modified
        memory.count("new" if answer.is_new else "older" if answer.is_older else "unchanged")
        memory.not_before = 0.0
        self.result.health += note_answer(self._sources[feed], memory, now=self.now())

    def _take_failure(self, feed: str, outcome: CouldNotTell) -> None:
        source, memory = self._sources[feed], self._cursor.feeds[feed]
        self.result.health += note_failure(
            source,
            memory,
            kind=outcome.kind,
            reason=outcome.reason,
            is_permanent=outcome.is_permanent,
            failing_after=self._timing.failing_after,
        )
        memory.not_before = self.now() + seconds_to_stay_away(
            poll_every_s=source.poll_every_s,
            failures_in_row=memory.failures_in_row,
            retry_after_s=outcome.retry_after_s,
        )

    def _plan(self) -> None:
        """When each feed is asked next: in its rhythm, or for a version that waits; never while to be left alone.

        What turns out only now to have been due before is due now; what was due already stays so. By that can be told
        how late a request begins.
        """
        now = self.now()
        for feed, pace in self._paces.items():
            memory = self._cursor.feeds[feed]
            at = next_request_at(memory.polls, pace, now)
            if self._window is not None and feed in self._missing() and memory.failures_in_row == 0:
                wait = self._sibling_wait(feed, self._window)
                if now < wait.until and wait.ask_at < at and leaves_room(memory.polls, pace, wait.ask_at):
                    at = wait.ask_at
            self._next_at[feed] = at = max(at, left_alone_until(memory, now))
            if feed not in self._under_way:
                known = self._due_at.get(feed, float("inf"))
                self._due_at[feed] = at if at > now else min(max(at, known), now)

    def _plan_anew(self) -> None:
        """After the clock was set: what was planned by it before may lie an hour ahead."""
        if self._window is not None:
            self._window = replace(self._window, opened_at=self.started_at)
        self._plan()
        self._due_at = dict(self._next_at)

    def _missing(self) -> frozenset[str]:
        """Feeds that a waiting version may wait for."""
        waiting = self._cursor.waiting()
        return frozenset(self._sources) - waiting if waiting else frozenset()

    def _sibling_wait(self, feed: str, window: _Window) -> SiblingWait:
        return sibling_wait(
            self._cursor.feeds[window.opened_by].polls,
            self._cursor.feeds[feed].polls,
            self._paces[feed],
            opened_at=window.opened_at,
            window_s=self._timing.window_s,
            usual_gap_s=self._timing.sibling_poll_s,
        )
