"""A sensor's feeds are asked between its ticks too, in a thread of their own. Knows no Dagster.

A tick that has something to tell ends at once, and the daemon begins the next at a round of its loop, up to five
seconds later. What falls due meanwhile is asked for on time, and a slow answer is not cut off: the next tick takes over
what was found, if it is handed the cursor that the last one gave back. Otherwise, and where none follows, all of it is
dropped, which does no harm: the archive is idempotent, and the vendor is asked again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from continuous_gtfs.defs.cursor import Cursor
from continuous_gtfs.defs.feed_requests import FeedRequests
from continuous_gtfs.defs.watch import tick
from continuous_gtfs.defs.watch_seams import Vendor, WatchResult, WatchTiming
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pims.client import PimsClient

Client = AbstractAsyncContextManager[PimsClient]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """What a sensor polls, and how; the same in every tick.

    Attributes:
        sources: The feeds.
        code_version: Hash over the pipeline's code.
        process: Names this process.
        timing: See there.
    """

    sources: Sequence[FeedSource]
    code_version: str
    process: str
    timing: WatchTiming


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """What a tick leaves.

    Attributes:
        result: What it found.
        cursor: For the next tick.
    """

    result: WatchResult
    cursor: str


@dataclass(frozen=True, slots=True)
class _Order:
    """A tick that somebody waits for; answered by None where it cannot be carried out any more."""

    seams: Callable[[PimsClient], Vendor]
    answer: Future[Ticked | None] = field(default_factory=Future)


class ContinuedPolling:
    """The polling of one sensor in one process, from tick to tick."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: tuple[_Poller, str] | None = None

    def tick(
        self, polling: Polling, cursor: str | None, client: Callable[[], Client], seams: Callable[[PimsClient], Vendor]
    ) -> Ticked:
        """Runs a tick on what the last one left, or from ``cursor`` alone.

        May be called while another tick runs, which the daemon has given up: each then has pollers of its own.

        Args:
            polling: What to poll.
            cursor: As the last tick gave it back and the daemon has kept it.
            client: Opens a client, where what the last tick left cannot be used.
            seams: The seams of a tick for an open client.
        """
        with self._lock:
            left, self._left = self._left, None
        ticked = None
        if left is not None:
            poller, given = left
            if given == cursor:
                ticked = poller.tick(seams)
            else:
                poller.end()
        if ticked is None:
            poller = _Poller(polling, Cursor.from_json(cursor, (s.feed for s in polling.sources)), client)
            ticked = poller.begin(seams)
        with self._lock:
            beside, self._left = self._left, (poller, ticked.cursor)
        if beside is not None:
            beside[0].end()
        return ticked

    def end(self) -> None:
        """Let what the last tick left end now, where no other will follow."""
        with self._lock:
            left, self._left = self._left, None
        if left is not None:
            left[0].end()


class _Poller:
    """Polls in its thread: in the ticks that it is given, and between them while they follow each other."""

    def __init__(self, polling: Polling, cursor: Cursor, client: Callable[[], Client]) -> None:
        self._polling = polling
        self._cursor = cursor
        self._client = client
        self._lock = threading.Lock()
        self._requests: FeedRequests | None = None
        self._orders: deque[_Order | None] = deque()
        self._has_ended = False
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        name = f"polls {polling.sources[0].environment}"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def begin(self, seams: Callable[[PimsClient], Vendor]) -> Ticked:
        """Runs the first tick and waits for its end."""
        order = _Order(seams)
        self._put(order)
        self._thread.start()
        ticked = order.answer.result()
        assert ticked is not None
        return ticked

    def tick(self, seams: Callable[[PimsClient], Vendor]) -> Ticked | None:
        """Runs a tick and waits for its end; None where polling has ended."""
        order = _Order(seams)
        return order.answer.result() if self._put(order) else None

    def end(self) -> None:
        """Let polling end; does not wait for it."""
        self._put(None)

    def _put(self, order: _Order | None) -> bool:
        with self._lock:
            if not self._has_ended:
                self._orders.append(order)
                self._loop.call_soon_threadsafe(self._wake.set)
            return not self._has_ended

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._poll())
            except Exception:
                # Whoever waits for a tick is told; what is between ticks has no caller.
                _log.exception("polling between ticks ended")

    async def _poll(self) -> None:
        error = None
        try:
            async with self._client() as client:
                try:
                    while (order := await self._next_order()) is not None and await self._carry_out(order, client):
                        pass
                finally:
                    if self._requests is not None:
                        await self._requests.cancel()
        except BaseException as raised:
            error = raised
            raise
        finally:
            with self._lock:
                self._has_ended = True
                left = [order for order in self._orders if order is not None]
            for order in left:
                order.answer.set_exception(error) if error else order.answer.set_result(None)

    async def _carry_out(self, order: _Order, client: PimsClient) -> bool:
        """Runs a tick; false where it failed, which whoever waits for it is told."""
        polling, cursor = self._polling, self._cursor
        try:
            vendor = order.seams(client)
            if self._requests is None:
                self._requests = FeedRequests(polling.sources, cursor, vendor, polling.timing)
            else:
                self._requests.begin_tick(vendor)
            result = await tick(
                self._requests,
                cursor,
                vendor,
                code_version=polling.code_version,
                process=polling.process,
                timing=polling.timing,
            )
            if not self._requests.go_on:
                await self._requests.cancel()
            order.answer.set_result(Ticked(result=result, cursor=cursor.to_json()))
        except BaseException as error:
            order.answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return False
        return True

    async def _next_order(self) -> _Order | None:
        """The next tick, polling on meanwhile; None where none follows, or nothing is to go on."""
        requests = self._requests
        if requests is not None and requests.go_on and not self._cursor.is_helpless:
            polling = asyncio.ensure_future(requests.between_ticks())
            waking = asyncio.ensure_future(self._wake.wait())
            try:
                seconds = self._polling.timing.goes_on_s
                await asyncio.wait({polling, waking}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if polling.done():
                    polling.result()
            finally:
                for task in (polling, waking):
                    task.cancel()
                await asyncio.gather(polling, waking, return_exceptions=True)
        with self._lock:
            self._wake.clear()
            if self._orders:
                return self._orders.popleft()
            self._has_ended = True
            return None
