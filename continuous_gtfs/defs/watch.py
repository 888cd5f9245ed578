"""One tick of a PIMS sensor: ask for the feeds in the vendor's rhythm until a run is due or the tick's time is over.

Knows no Dagster: what it needs of the world comes in as functions. Nothing here happens twice to any harm if a
tick's result is dropped: the archive is idempotent, and the vendor is asked again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from continuous_gtfs.defs.cursor import Cursor, FeedMemory
from continuous_gtfs.defs.decisions import (
    LONGEST_WAIT_S,
    RunFacts,
    RunState,
    Trigger,
    dirty_trigger,
    seconds_to_stay_away,
    tick_ends_at,
)
from continuous_gtfs.defs.health import FeedHealth, note_answer, note_failure
from continuous_gtfs.errors import ContinuousGtfsError, PermanentError
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pims.outcomes import Body, CouldNotTell, FetchOutcome
from continuous_gtfs.pims.polling import Pace, allowed_at, busy_until, next_request_at
from continuous_gtfs.pims.siblings import SiblingWait, sibling_wait
from continuous_gtfs.versions import FeedVersion

Fetch = Callable[[FeedSource, str | None, str | None], Awaitable[FetchOutcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTiming:
    """Seconds.

    Attributes:
        tick_s: A tick ends by then; under the 60 s limit of the sensor call, with room for the last request.
        window_s: How long a feed that changed waits for its sibling at most.
        sibling_poll_s: How often the sibling is asked meanwhile where nothing is known of when it comes.
        run_poll_s: How often a run in flight is looked at while versions wait for its end.
        failing_after: Fetches in a row that could not tell before the feed is reported as failing.
        loop_s: From one round of the daemon's loop to the next; a tick begins at a round.
        lead_s: How long before a round a tick must end for the next one to begin at it.
    """

    tick_s: float = 45.0
    window_s: float = 2.0
    sibling_poll_s: float = 0.5
    run_poll_s: float = 0.5
    failing_after: int = 2
    loop_s: float = 5.0
    lead_s: float = 0.5


USUAL_TIMING = WatchTiming()
MOST_CUT_SHORT = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The pipeline's earlier runs: the newest of all and the newest that succeeded."""

    last_run: RunFacts | None
    last_success: RunFacts | None


@dataclass(slots=True, kw_only=True)
class WatchResult:
    """What one tick found.

    Attributes:
        new_versions: In order of detection; each is in the archive.
        trigger: Why a run is asked for; None where none is.
        changed: Feeds whose newest version no earlier run was asked for.
        health: Checks of feeds that have another result than before.
    """

    new_versions: list[FeedVersion] = field(default_factory=list)
    trigger: Trigger | None = None
    changed: frozenset[str] = frozenset()
    health: list[FeedHealth] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """The seams of a tick.

    Attributes:
        fetch: Asks for one feed with the validators of the last answer.
        identify: Names the version that a body is; raises PermanentError where it is no such feed.
        save: Puts a version into the archive, before anything refers to it, and gives it as it is recorded there.
        history: The pipeline's earlier runs.

    All but ``fetch`` are called in threads, those for different feeds at the same time.
    """

    fetch: Fetch
    identify: Callable[[FeedSource, Body, datetime], FeedVersion]
    save: Callable[[FeedVersion, bytes], FeedVersion]
    history: Callable[[], History]


async def watch(
    sources: Sequence[FeedSource],
    cursor: Cursor,
    vendor: Vendor,
    *,
    code_version: str,
    process: str,
    timing: WatchTiming = USUAL_TIMING,
) -> WatchResult:
    """Runs one tick; ``cursor`` is brought up to date in place.

    Ends when a run is asked for, when a feed's health changed, or before the time is over, in a quiet part of the
    rhythm. At most one request is under way for each feed, so that a hanging feed never holds up its sibling.
    """
    tick = _Tick(sources, cursor, vendor, code_version, process, timing)
    try:
        return await tick.run()
    finally:
        await tick.cancel_requests()
        cursor.polled_at = time.time()


def seconds_to_wait(memory: FeedMemory, now: float) -> float:
    """Seconds that a feed must still be left alone after a fault, by what the last tick remembered.

    Bounded by what can have been meant: after a clock that ran ahead was set back, the remembered moment is far away.
    """
    return min(max(0.0, memory.not_before - now), LONGEST_WAIT_S) if memory.failures_in_row else 0.0


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
    """

    outcome: FetchOutcome
    version: FeedVersion | None = None
    is_new: bool = False


class _Tick:
    def __init__(
        self,
        sources: Sequence[FeedSource],
        cursor: Cursor,
        vendor: Vendor,
        code_version: str,
        process: str,
        timing: WatchTiming,
    ) -> None:
        self.sources: Mapping[str, FeedSource] = {source.feed: source for source in sources}
        self.paces = {source.feed: Pace.of(source) for source in sources}
        self.cursor = cursor
        self.vendor = vendor
        self.code_version = code_version
        self.process = process
        self.timing = timing
        self.result = WatchResult()
        self.requests: dict[str, asyncio.Task[_Answer]] = {}
        self.sent_at: dict[str, float] = {}
        self.answered: set[str] = set()
        # POSIX time as it was at the start, and steady from then on, whatever is done to the clock meanwhile.
        self.clock_offset = time.time() - time.monotonic()
        self.started_at = self.now()
        # The last request may begin only while it can still end inside the tick.
        self.last_request_at = self.started_at + timing.tick_s - max(s.timeout_s for s in sources)
        self.next_request_at: dict[str, float] = {}
        waiting = sorted(cursor.waiting())
        self.window = _Window(opened_by=waiting[0], opened_at=self.started_at) if waiting else None
        self.looking: asyncio.Task[History] | None = None
        self.looked_at = float("-inf")
        self.is_start = cursor.process != process
        self.plan_requests()

    def now(self) -> float:
        return time.monotonic() + self.clock_offset

    async def run(self) -> WatchResult:
        while True:
            self.start_requests()
            if await self.fire_if_due() or self.has_news_that_cannot_wait():
                return self.result
            if self.is_over():
                await self.fire_if_last_request_was_lost()
                return self.result
            await self.wait()

    # requests

    def start_requests(self) -> None:
        now = self.now()
        if now > self.last_request_at:
            return
        for feed in self.sources:
            if feed not in self.requests and now >= self.next_request_at[feed]:
                self.cursor.feeds[feed].polls.note_request(now, self.paces[feed])
                self.sent_at[feed] = now
                self.requests[feed] = asyncio.ensure_future(self.ask(feed))

    async def ask(self, feed: str) -> _Answer:
        """One request, and a new version in the archive; meanwhile a look at the earlier runs, which will be needed."""
        source, memory = self.sources[feed], self.cursor.feeds[feed]
        outcome = await self.vendor.fetch(source, memory.etag, memory.last_modified)
        if not isinstance(outcome, Body):
            return _Answer(outcome=outcome)
        version = await asyncio.to_thread(self.vendor.identify, source, outcome, datetime.now(UTC))
        is_new = memory.version is None or memory.version.version_id != version.version_id
        if is_new:
            self.look_at_runs()
            version = await asyncio.to_thread(self.vendor.save, version, outcome.body)
        return _Answer(outcome=outcome, version=version, is_new=is_new)

    async def wait(self) -> None:
        """Until a request has ended or the next moment at which something is to be decided."""
        now = self.now()
        moments = [self.next_request_at[f] for f in self.sources if f not in self.requests]
        moments = [moment for moment in moments if moment <= self.last_request_at]
        due_at = self.due_at()
        if due_at is not None:
            moments.append(due_at if due_at > now else now + self.timing.run_poll_s)
        if not self.requests:
            moments.append(self.ends_at() + 0.01)
        seconds = max(0.0, min(moments) - now) if moments else None
        if self.requests:
            await asyncio.wait(self.requests.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            self.take_answers()
        else:
            await asyncio.sleep(seconds or 0.0)

    def take_answers(self) -> None:
        """Takes what has arrived."""
        done = [feed for feed, request in self.requests.items() if request.done()]
        for feed in done:
            self.take_answer(feed, self.requests.pop(feed))
        if done:
            self.plan_requests()

    def take_answer(self, feed: str, request: asyncio.Task[_Answer]) -> None:
        memory = self.cursor.feeds[feed]
        memory.cut_short = 0
        self.answered.add(feed)
        try:
            answer = request.result()
            if isinstance(answer.outcome, CouldNotTell):
                self.take_failure(feed, answer.outcome)
            else:
                self.take_success(feed, answer)
        except PermanentError as error:
            self.take_failure(feed, CouldNotTell("unreadable", str(error)))
        except ContinuousGtfsError as error:
            self.take_failure(feed, CouldNotTell("not_archived", str(error)))
        except Exception as error:
            # A bug that one body brings out must not keep the other feed from being published.
            _log.exception("%s: a bug in reading what the vendor sent", self.sources[feed].feed_id)
            self.take_failure(feed, CouldNotTell("bug", f"{type(error).__name__}: {error}"))

    def take_success(self, feed: str, answer: _Answer) -> None:
        memory, sent_at = self.cursor.feeds[feed], self.sent_at[feed]
        if answer.is_new and answer.version is not None:
            memory.version = answer.version
            self.result.new_versions.append(answer.version)
            memory.polls.note_arrival(sent_at, answer.version.header_timestamp)
            if self.window is None:
                self.window = _Window(opened_by=feed, opened_at=sent_at)
        else:
            memory.polls.note_unchanged(sent_at)
        if isinstance(answer.outcome, Body):
            # The validators of a body that was not understood are never kept: a 304 would then hide it.
            memory.etag, memory.last_modified = answer.outcome.etag, answer.outcome.last_modified
        memory.count("new" if answer.is_new else "unchanged")
        memory.not_before = 0.0
        self.result.health += note_answer(self.sources[feed], memory, now=self.now())

    def take_failure(self, feed: str, outcome: CouldNotTell) -> None:
        source, memory = self.sources[feed], self.cursor.feeds[feed]
        self.result.health += note_failure(
            source,
            memory,
            kind=outcome.kind,
            reason=outcome.reason,
            is_permanent=outcome.is_permanent,
            failing_after=self.timing.failing_after,
        )
        memory.not_before = self.now() + seconds_to_stay_away(
            poll_every_s=source.poll_every_s,
            failures_in_row=memory.failures_in_row,
            retry_after_s=outcome.retry_after_s,
        )

    def plan_requests(self) -> None:
        """When each feed is asked next: in its rhythm, or for a version that waits; never while to be left alone."""
        now = self.now()
        for feed, pace in self.paces.items():
            memory = self.cursor.feeds[feed]
            at = next_request_at(memory.polls, pace, now)
            if self.window is not None and feed in self.missing() and memory.failures_in_row == 0:
                wait = self.sibling_wait(feed, self.window)
                if now < wait.until and wait.ask_at < at:
                    at = max(wait.ask_at, allowed_at(memory.polls, pace))
            self.next_request_at[feed] = max(at, now + seconds_to_wait(memory, now))

    async def cancel_requests(self) -> None:
        for feed, request in self.requests.items():
            self.cursor.feeds[feed].cut_short += 1
            request.cancel()
        looking = [self.looking] if self.looking else []
        await asyncio.gather(*self.requests.values(), *looking, return_exceptions=True)

    # decisions

    def missing(self) -> frozenset[str]:
        """Feeds that a waiting version may wait for."""
        waiting = self.cursor.waiting()
        return frozenset(self.sources) - waiting if waiting else frozenset()

    def sibling_wait(self, feed: str, window: _Window) -> SiblingWait:
        """How long the feed that opened the window waits for ``feed``."""
        return sibling_wait(
            self.cursor.feeds[window.opened_by].polls,
            self.cursor.feeds[feed].polls,
            self.paces[feed],
            opened_at=window.opened_at,
            window_s=self.timing.window_s,
            usual_gap_s=self.timing.sibling_poll_s,
        )

    def due_at(self) -> float | None:
        """When a run for the waiting versions is due: at once when no other feed is to be expected with them."""
        if self.window is None or not self.cursor.waiting():
            return None
        closes_at = self.window.opened_at + self.timing.window_s
        due_at = self.window.opened_at
        for feed in self.missing():
            if feed in self.requests:
                # It may be bringing its version just now.
                due_at = max(due_at, closes_at)
            elif self.next_request_at[feed] < closes_at:
                due_at = max(due_at, self.sibling_wait(feed, self.window).until)
        return due_at

    def is_due(self) -> bool:
        """Whether a run is due. A slow feed whose requests were cut short twice is given the time to answer."""
        due_at = self.due_at()
        if due_at is None or due_at > self.now():
            return False
        return all(self.cursor.feeds[feed].cut_short < MOST_CUT_SHORT for feed in self.requests)

    async def fire_if_due(self) -> bool:
        if self.is_due():
            history = await self.history()
            self.take_answers()
            if (history.last_run is None or history.last_run.state is not RunState.IN_FLIGHT) and self.is_due():
                self.fire(Trigger.NEW_VERSION)
                return True
        # At a start, what is owed from before is decided after every feed has answered: newer versions come first.
        elif self.is_start and not self.cursor.waiting() and self.answered >= set(self.sources):
            return await self.fire_if_owed()
        return False

    async def fire_if_last_request_was_lost(self) -> None:
        """Looks once for the run asked for last; at the end of a tick, since a newer version would replace it."""
        if not self.is_start and not self.cursor.is_run_seen and not self.cursor.waiting():
            await self.fire_if_owed()

    async def fire_if_owed(self) -> bool:
        history = await self.history()
        if history.last_run is not None and history.last_run.state is RunState.IN_FLIGHT:
            return False
        trigger = dirty_trigger(
            latest=self.cursor.latest(),
            last_run=history.last_run,
            last_success=history.last_success,
            code_version=self.code_version,
            is_start=self.is_start,
        )
        self.is_start, self.cursor.process = False, self.process
        if trigger is None:
            self.cursor.is_run_seen = True
            return False
        self.fire(trigger)
        return True

    def look_at_runs(self) -> asyncio.Task[History]:
        """The earlier runs, read again only after ``run_poll_s``: the answer comes from the database."""
        now = self.now()
        if self.looking is None or (self.looking.done() and now - self.looked_at >= self.timing.run_poll_s):
            self.looking = asyncio.ensure_future(asyncio.to_thread(self.vendor.history))
            self.looked_at = now
        return self.looking

    async def history(self) -> History:
        return await self.look_at_runs()

    def fire(self, trigger: Trigger) -> None:
        self.result.changed = self.cursor.waiting()
        self.result.trigger = trigger
        self.cursor.requested = self.cursor.latest()
        self.cursor.requests += 1
        self.cursor.process, self.cursor.is_run_seen = self.process, False

    def has_news_that_cannot_wait(self) -> bool:
        return bool(self.result.health) and not self.cursor.waiting()

    def ends_at(self) -> float:
        """When the tick ends if nothing comes."""
        if self.cursor.waiting():
            return self.last_request_at
        now = self.now()
        return tick_ends_at(
            started=self.started_at,
            latest=self.last_request_at,
            now=now,
            next_at=min(self.next_request_at.values()),
            busy_until=max(busy_until(memory.polls, self.paces[f], now) for f, memory in self.cursor.feeds.items()),
            loop_s=self.timing.loop_s,
            lead_s=self.timing.lead_s,
        )

    def is_over(self) -> bool:
        """Nothing is under way and no request should begin any more."""
        return not self.requests and self.now() > self.ends_at()
