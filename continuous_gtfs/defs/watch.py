"""One tick of a PIMS sensor: ask for the feeds in the vendor's rhythm until a run is due or the tick's time is over.

Knows no Dagster: what it needs of the world comes in as functions (``watch_seams``). Nothing here happens twice to any
harm if a tick's result is dropped: the archive is idempotent, and the vendor is asked again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from continuous_gtfs.defs.cursor import Cursor
from continuous_gtfs.defs.decisions import RunState, Trigger, dirty_trigger, tick_ends_at
from continuous_gtfs.defs.feed_requests import FeedRequests
from continuous_gtfs.defs.watch_seams import USUAL_TIMING, History, Vendor, WatchResult, WatchTiming
from continuous_gtfs.pims.catalog import FeedSource


async def watch(
    sources: Sequence[FeedSource],
    cursor: Cursor,
    vendor: Vendor,
    *,
    code_version: str,
    process: str,
    timing: WatchTiming = USUAL_TIMING,
) -> WatchResult:
    """Runs one tick by itself; ``cursor`` is brought up to date in place, and no request outlives the tick."""
    alone = replace(timing, goes_on_s=0.0)
    requests = FeedRequests(sources, cursor, vendor, alone)
    try:
        return await tick(requests, cursor, vendor, code_version=code_version, process=process, timing=alone)
    finally:
        await requests.cancel()


async def tick(
    requests: FeedRequests, cursor: Cursor, vendor: Vendor, *, code_version: str, process: str, timing: WatchTiming
) -> WatchResult:
    """Runs one tick of ``requests``; ``cursor``, which is theirs, is brought up to date in place.

    Ends when a run is asked for, when a feed's health changed, or before the time is over, in a quiet part of the
    rhythm. At most one request is under way for each feed, so that a hanging feed never holds up its sibling.
    """
    this = _Tick(requests, cursor, vendor, code_version, process, timing)
    try:
        await this.run()
        return requests.end_tick()
    finally:
        await this.end()
        cursor.polled_at = time.time()


class _Tick:
    def __init__(
        self,
        requests: FeedRequests,
        cursor: Cursor,
        vendor: Vendor,
        code_version: str,
        process: str,
        timing: WatchTiming,
    ) -> None:
        self.requests = requests
        self.cursor = cursor
        self.vendor = vendor
        self.code_version = code_version
        self.process = process
        self.timing = timing
        # A look at the earlier runs goes beside the archiving of a new version: both will be needed at once.
        requests.on_new = self.look_at_runs
        self.looking: asyncio.Task[History] | None = None
        self.looked_at = float("-inf")
        self.is_start = cursor.process != process

    async def run(self) -> None:
        while True:
            self.requests.start_due()
            if await self.fire_if_due() or self.has_news_that_cannot_wait():
                return
            if self.is_over():
                await self.fire_if_last_request_was_lost()
                return
            await self.requests.wait(self.next_decision_at())

    async def end(self) -> None:
        if self.looking is not None:
            await asyncio.gather(self.looking, return_exceptions=True)

    def next_decision_at(self) -> float:
        now, due_at = self.requests.now(), self.requests.run_due_at()
        moments = []
        if due_at is not None:
            moments.append(due_at if due_at > now else now + self.timing.run_poll_s)
        if self.requests.go_on or not self.requests.under_way:
            moments.append(self.ends_at() + 0.01)
        return min(moments, default=float("inf"))

    def is_due(self) -> bool:
        """Whether a run is due. A slow feed whose requests were cut short twice is given the time to answer."""
        due_at = self.requests.run_due_at()
        return due_at is not None and due_at <= self.requests.now() and not self.requests.are_given_time

    async def fire_if_due(self) -> bool:
        if self.is_due():
            history = await self.look_at_runs()
            self.requests.take_answers()
            if (history.last_run is None or history.last_run.state is not RunState.IN_FLIGHT) and self.is_due():
                self.fire(Trigger.NEW_VERSION)
                return True
        # At a start, what is owed from before is decided after every feed has answered: newer versions come first.
        elif self.is_start and not self.cursor.waiting() and self.requests.has_answer_of_all:
            return await self.fire_if_owed()
        return False

    async def fire_if_last_request_was_lost(self) -> None:
        """Looks once for the run asked for last; at the end of a tick, since a newer version would replace it."""
        if not self.is_start and not self.cursor.is_run_seen and not self.cursor.waiting():
            await self.fire_if_owed()

    async def fire_if_owed(self) -> bool:
        history = await self.look_at_runs()
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
        now = self.requests.now()
        if self.looking is None or (self.looking.done() and now - self.looked_at >= self.timing.run_poll_s):
            self.looking = asyncio.ensure_future(asyncio.to_thread(self.vendor.history))
            self.looked_at = now
        return self.looking

    def fire(self, trigger: Trigger) -> None:
        self.requests.result.changed = self.cursor.waiting()
        self.requests.result.trigger = trigger
        self.cursor.requested = self.cursor.latest()
        self.cursor.requests += 1
        self.cursor.process, self.cursor.is_run_seen = self.process, False

    def has_news_that_cannot_wait(self) -> bool:
        return bool(self.requests.result.health) and not self.cursor.waiting()

    def ends_at(self) -> float:
        """When the tick ends if nothing comes."""
        if self.cursor.waiting():
            return self.requests.ends_by
        return tick_ends_at(
            started=self.requests.started_at,
            latest=self.requests.ends_by,
            now=self.requests.now(),
            next_at=self.requests.next_at,
            busy_until=self.requests.busy_until,
            loop_s=self.timing.loop_s,
            lead_s=self.timing.lead_s,
        )

    def is_over(self) -> bool:
        """The time is over, and nothing is under way that would be cut short."""
        return (self.requests.go_on or not self.requests.under_way) and self.requests.now() > self.ends_at()
