"""What the load tests share: stand-in vendors of any number of feeds in a process of their own, a part of them faulty.

Not a benchmark of its own. Environments change one after another within their period, the feeds of one shortly after
each other, as a vendor writes them. What was served first when is kept, for reckoning from the vendor's side.
"""

from __future__ import annotations

import asyncio
import functools
import math
import multiprocessing
import multiprocessing.context
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from google.transit.gtfs_realtime_pb2 import FeedMessage

FAULTS = ("hanging", "failing", "cut", "frozen")
HEALTHY = "healthy"
# How much later than the one before it a feed of the same environment changes.
STEP_S = 0.05
STOPS_A_TRIP = 8
_SPAWN = multiprocessing.get_context("spawn")


def kind_of(number: int) -> str:
    """Of every ten feeds one is faulty, of each kind in turn."""
    return FAULTS[number // 10 % len(FAULTS)] if number % 10 == 9 else HEALTHY


@dataclass(frozen=True)
class Plan:
    """What the vendors serve.

    Attributes:
        environments: How many.
        feeds: Of each; vehicle positions and trip updates in turn.
        entities: In each feed.
        every_s: From one version to the next in the environments that are active.
        slow_s: The same in the others.
    """

    environments: int
    feeds: int
    entities: int
    every_s: float
    slow_s: float

    def kind(self, environment: int, feed: int) -> str:
        return kind_of(environment * self.feeds + feed)

    def version(self, environment: int, feed: int, active: int, at: float) -> tuple[int, float]:
        """The header timestamp of what is served at a moment, and since when it is served."""
        every_s = self.every_s if environment < active else self.slow_s
        # The golden ratio spreads any number of environments evenly over the period.
        offset_s = (environment * 0.618034 % 1) * every_s + feed * STEP_S
        since = math.floor((at - offset_s) / every_s) * every_s + offset_s
        return int(since), since


@dataclass
class Served:
    """What the vendors saw.

    Attributes:
        first: By environment, feed and header timestamp, since when it could be had and when it was served first.
        asked: Requests, by environment and feed.
    """

    first: dict[tuple[int, int, int], tuple[float, float]] = field(default_factory=dict)
    asked: dict[tuple[int, int], int] = field(default_factory=dict)


@dataclass
class Vendors:
    """The running vendors."""

    plan: Plan
    port: int
    _pipe: Connection
    pid: int

    def set_active(self, environments: int) -> None:
        """The first so many environments change fast from now on."""
        self._pipe.send(environments)
        self._pipe.recv()

    def served(self) -> Served:
        """What was served since this was asked last."""
        self._pipe.send(None)
        served = self._pipe.recv()
        assert isinstance(served, Served)
        return served


@contextmanager
def vendors(plan: Plan, active: int) -> Iterator[Vendors]:
    ours, theirs = multiprocessing.Pipe()
    process = _SPAWN.Process(target=_serve, args=(theirs, plan, active), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield Vendors(plan, ours.recv(), ours, process.pid)
    finally:
        process.terminate()
        process.join()


@functools.lru_cache(maxsize=4096)
def _body(feed: int, entities: int, stamp: int) -> bytes:
    message = FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.timestamp = stamp
    for number in range(entities):
        entity = message.entity.add(id=str(number))
        if feed % 2 == 0:
            vehicle = entity.vehicle
            vehicle.trip.trip_id = f"trip-{number}"
            vehicle.vehicle.id = f"vehicle-{number}"
            vehicle.position.latitude, vehicle.position.longitude = 47.6 + number * 1e-3, -122.3 + stamp % 1000 * 1e-5
            vehicle.timestamp = stamp
        else:
            update = entity.trip_update
            update.trip.trip_id = f"trip-{number}"
            update.timestamp = stamp
            for stop in range(STOPS_A_TRIP):
                update.stop_time_update.add(stop_sequence=stop, stop_id=f"stop-{stop}").arrival.time = stamp + 60 * stop
    return message.SerializeToString()


class _Server:
    def __init__(self, pipe: Connection, plan: Plan, active: int) -> None:
        self.pipe = pipe
        self.plan = plan
        self.active = active
        self.started_at = time.time()
        self.served = Served()

    async def run(self) -> None:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0, backlog=1000)
        self.pipe.send(server.sockets[0].getsockname()[1])
        asyncio.get_running_loop().add_reader(self.pipe.fileno(), self.obey)
        await server.serve_forever()

    def obey(self) -> None:
        order = self.pipe.recv()
        if order is None:
            self.pipe.send(self.served)
            self.served = Served()
        else:
            self.active = order
            self.pipe.send(order)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                at = time.time()
                while (await reader.readline()).strip():
                    pass
                environment, feed = (int(part) for part in line.split()[1].strip(b"/").split(b"/"))
                if not await self.send(writer, environment, feed, at):
                    break
        except ConnectionError:
            return
        finally:
            writer.close()

    async def send(self, writer: asyncio.StreamWriter, environment: int, feed: int, at: float) -> bool:
        """Answers one request; false where the connection is to be closed after it."""
        kind = self.plan.kind(environment, feed)
        self.served.asked[environment, feed] = self.served.asked.get((environment, feed), 0) + 1
        if kind == "hanging":
            await asyncio.sleep(60)
            return False
        if kind == "failing":
            writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return True
        stamp, since = self.plan.version(environment, feed, self.active, self.started_at if kind == "frozen" else at)
        body = _body(feed % 2, self.plan.entities, stamp)
        length = len(body) + 50 * (kind == "cut")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + body)
        await writer.drain()
        self.served.first.setdefault((environment, feed, stamp), (since, time.time()))
        return kind != "cut"


def _serve(pipe: Connection, plan: Plan, active: int) -> None:
    asyncio.run(_Server(pipe, plan, active).run())
