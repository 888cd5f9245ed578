"""One tick of a PIMS sensor: ask for the feeds at their cadence until a run is due or the tick's time is over.

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
    run_due_at,
    seconds_to_next_request,
)
from continuous_gtfs.errors import ContinuousGtfsError, PermanentError
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pims.outcomes import Body, CouldNotTell, FetchOutcome
from continuous_gtfs.versions import FeedVersion

Fetch = Callable[[FeedSource, str | None, str | None], Awaitable[FetchOutcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTiming:
    """Seconds.

    Attributes:
        tick_s: A tick ends by then; under the 60 s limit of the sensor call, with room for the last request.
        window_s: How long a feed that changed waits for its sibling.
        sibling_poll_s: How often the sibling is asked meanwhile.
        run_poll_s: How often a run in flight is looked at while versions wait for its end.
        failing_after: Fetches in a row that could not tell before the feed is reported as failing.
    """

    tick_s: float = 45.0
    window_s: float = 2.0
    sibling_poll_s: float = 0.5
    run_poll_s: float = 0.5
    failing_after: int = 2


USUAL_TIMING = WatchTiming()
MOST_CUT_SHORT = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The pipeline's earlier runs: the newest of all and the newest that succeeded."""

    last_run: RunFacts | None
    last_success: RunFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedHealth:
    """A feed answered for the first time, has begun to fail, or has recovered."""

    feed: str
    is_failing: bool
    message: str


@dataclass(slots=True, kw_only=True)
class WatchResult:
    """What one tick found.

    Attributes:
        new_versions: In order of detection; each is in the archive.
        trigger: Why a run is asked for; None where none is.
        changed: Feeds whose newest version no earlier run was asked for.
        health: Feeds that answered for the first time, began to fail or recovered.
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
        history: The pipeline's earlier runs; slow enough to be called in a thread.
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

    Ends when a run is asked for, when a feed's health changed, or when the time is over. At most one request is
    under way for each feed, so that a hanging feed never holds up its sibling.
    """
    tick = _Tick(sources, cursor, vendor, code_version, process, timing)
    try:
        return await tick.run()
    finally:
        await tick.cancel_requests()
        cursor.polled_at = time.time()


def seconds_to_wait(memory: FeedMemory, poll_every_s: float, now: float) -> float:
    """Seconds that a feed must still be left alone, by what the last tick remembered.

    Bounded by what can have been meant: after a clock that ran ahead was set back, the remembered moment is far away.
    """
    bound = LONGEST_WAIT_S if memory.failures_in_row else poll_every_s
    return min(max(0.0, memory.not_before - now), bound)


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
        self.cursor = cursor
        self.vendor = vendor
        self.code_version = code_version
        self.process = process
        self.timing = timing
        self.result = WatchResult()
        self.requests: dict[str, asyncio.Task[FetchOutcome]] = {}
        self.answered: set[str] = set()
        started = time.monotonic()
        # The last request may begin only while it can still end inside the tick.
        self.last_request_at = started + timing.tick_s - max(s.timeout_s for s in sources)
        self.next_request_at = {
            feed: started + seconds_to_wait(cursor.feeds[feed], source.poll_every_s, time.time())
            for feed, source in self.sources.items()
        }
        self.window_opened_at = started if cursor.waiting() else None
        self.history_known_at = float("-inf")
        self.history: History | None = None
        self.is_start = cursor.process != process
        self.owed_is_settled = False

    async def run(self) -> WatchResult:
        while True:
            self.start_requests()
            if await self.fire_if_due() or self.has_news_that_cannot_wait() or self.is_over():
                return self.result
            await self.wait()

    # requests

    def start_requests(self) -> None:
        now = time.monotonic()
        if now > self.last_request_at:
            return
        for feed, source in self.sources.items():
            if feed not in self.requests and now >= self.next_request_at[feed]:
                memory = self.cursor.feeds[feed]
                request = self.vendor.fetch(source, memory.etag, memory.last_modified)
                self.requests[feed] = asyncio.ensure_future(request)

    async def wait(self) -> None:
        """Until a request has ended or the next moment at which something is to be decided."""
        now = time.monotonic()
        moments = [self.next_request_at[f] for f in self.sources if f not in self.requests]
        moments = [moment for moment in moments if moment <= self.last_request_at]
        due_at = self.due_at()
        if due_at is not None:
            moments.append(due_at if due_at > now else now + self.timing.run_poll_s)
        if not self.requests:
            moments.append(self.last_request_at + 0.01)
        seconds = max(0.0, min(moments) - now) if moments else None
        if self.requests:
            await asyncio.wait(self.requests.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            self.take_answers()
        else:
            await asyncio.sleep(seconds or 0.0)

    def take_answers(self) -> None:
        """Takes what has arrived."""
        for feed in [feed for feed, request in self.requests.items() if request.done()]:
            self.take_answer(feed, self.requests.pop(feed))

    def take_answer(self, feed: str, request: asyncio.Task[FetchOutcome]) -> None:
        memory = self.cursor.feeds[feed]
        memory.cut_short = 0
        self.answered.add(feed)
        retry_after_s = None
        try:
            outcome = request.result()
            if isinstance(outcome, CouldNotTell):
                retry_after_s = outcome.retry_after_s
                self.take_failure(feed, outcome.kind, outcome.reason, is_permanent=outcome.is_permanent)
            else:
                self.take_success(feed, outcome)
        except PermanentError as error:
            self.take_failure(feed, "unreadable", str(error), is_permanent=False)
        except ContinuousGtfsError as error:
            self.take_failure(feed, "not_archived", str(error), is_permanent=False)
        except Exception as error:
            # A bug that one body brings out must not keep the other feed from being published.
            _log.exception("%s: a bug in reading what the vendor sent", self.sources[feed].feed_id)
            self.take_failure(feed, "bug", f"{type(error).__name__}: {error}", is_permanent=False)
        seconds = seconds_to_next_request(
            poll_every_s=self.sources[feed].poll_every_s,
            failures_in_row=memory.failures_in_row,
            retry_after_s=retry_after_s,
        )
        memory.not_before = time.time() + seconds
        self.next_request_at[feed] = time.monotonic() + seconds
        self.hurry_siblings()

    def take_success(self, feed: str, outcome: FetchOutcome) -> None:
        memory = self.cursor.feeds[feed]
        if isinstance(outcome, Body):
            version = self.vendor.identify(self.sources[feed], outcome, datetime.now(UTC))
            is_new = memory.version is None or memory.version.version_id != version.version_id
            if is_new:
                memory.version = self.vendor.save(version, outcome.body)
                self.result.new_versions.append(memory.version)
                if self.window_opened_at is None:
                    self.window_opened_at = time.monotonic()
            # The validators of a body that was not understood are never kept: a 304 would then hide it.
            memory.etag, memory.last_modified = outcome.etag, outcome.last_modified
            memory.count("new" if is_new else "unchanged")
        else:
            memory.count("unchanged")
        memory.failures_in_row, memory.failure, memory.failure_is_permanent = 0, None, False
        if memory.reported_failing is not False:
            message = "the vendor answers again" if memory.reported_failing else "the vendor answers"
            self.result.health.append(FeedHealth(feed=feed, is_failing=False, message=message))
            memory.reported_failing, memory.reported_kind = False, None

    def take_failure(self, feed: str, kind: str, reason: str, *, is_permanent: bool) -> None:
        memory = self.cursor.feeds[feed]
        memory.count(f"could_not_tell:{kind}")
        memory.failures_in_row += 1
        memory.failure, memory.failure_is_permanent = f"{kind}: {reason}", is_permanent
        is_failing = is_permanent or memory.failures_in_row >= self.timing.failing_after
        if is_failing and (not memory.reported_failing or memory.reported_kind != kind):
            memory.reported_failing, memory.reported_kind = True, kind
            self.result.health.append(FeedHealth(feed=feed, is_failing=True, message=memory.failure))

    def hurry_siblings(self) -> None:
        """While one feed waits for its sibling, the sibling is asked often, unless it asked us to stay away."""
        waiting = self.cursor.waiting()
        if not waiting or waiting == set(self.sources) or self.window_opened_at is None:
            return
        if time.monotonic() > self.window_opened_at + self.timing.window_s:
            # The run waits for another run now, not for the sibling.
            return
        soon = time.monotonic() + self.timing.sibling_poll_s
        for feed in set(self.sources) - waiting:
            if self.cursor.feeds[feed].failures_in_row == 0:
                self.next_request_at[feed] = min(self.next_request_at[feed], soon)

    async def cancel_requests(self) -> None:
        for feed, request in self.requests.items():
            self.cursor.feeds[feed].cut_short += 1
            request.cancel()
        await asyncio.gather(*self.requests.values(), return_exceptions=True)

    # decisions

    def due_at(self) -> float | None:
        if self.window_opened_at is None:
            return None
        return run_due_at(
            waiting=self.cursor.waiting(),
            expected=frozenset(self.sources),
            window_opened_at=self.window_opened_at,
            window_s=self.timing.window_s,
        )

    def is_due(self) -> bool:
        """Whether a run is due. A slow feed whose requests were cut short twice is given the time to answer."""
        due_at = self.due_at()
        if due_at is None or due_at > time.monotonic():
            return False
        return all(self.cursor.feeds[feed].cut_short < MOST_CUT_SHORT for feed in self.requests)

    async def fire_if_due(self) -> bool:
        if self.is_due():
            history = await self.read_history()
            self.take_answers()
            if (history.last_run is None or history.last_run.state is not RunState.IN_FLIGHT) and self.is_due():
                self.fire(Trigger.NEW_VERSION)
                return True
        # What is owed from before is decided once a tick, after every feed has answered: newer versions come first.
        elif not self.owed_is_settled and not self.cursor.waiting() and self.answered >= set(self.sources):
            history = await self.read_history()
            if history.last_run is not None and history.last_run.state is RunState.IN_FLIGHT:
                return False
            self.owed_is_settled = True
            trigger = dirty_trigger(
                latest=self.cursor.latest(),
                last_run=history.last_run,
                last_success=history.last_success,
                code_version=self.code_version,
                is_start=self.is_start,
            )
            self.cursor.process = self.process
            if trigger is not None:
                self.fire(trigger)
                return True
        return False

    async def read_history(self) -> History:
        """The earlier runs, read again only after ``run_poll_s``: the answer comes from the database."""
        now = time.monotonic()
        if self.history is None or now - self.history_known_at >= self.timing.run_poll_s:
            self.history = await asyncio.to_thread(self.vendor.history)
            self.history_known_at = time.monotonic()
        return self.history

    def fire(self, trigger: Trigger) -> None:
        self.result.changed = self.cursor.waiting()
        self.result.trigger = trigger
        self.cursor.requested = self.cursor.latest()
        self.cursor.requests += 1
        self.cursor.process = self.process

    def has_news_that_cannot_wait(self) -> bool:
        return bool(self.result.health) and not self.cursor.waiting()

    def is_over(self) -> bool:
        """No request may begin any more and none is under way."""
        return not self.requests and time.monotonic() > self.last_request_at
