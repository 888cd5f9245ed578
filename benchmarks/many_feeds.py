"""How many feeds can one code server watch: 500 at 20 s in 50 sensors, a tenth of them hanging, failing, cut or frozen?

The ticks are the real ones, each in a thread as a code server runs them, against stand-in vendors in a process of their
own. Without Dagster: what its daemon and the runs cost comes on top. A request's start delay is from when the feed was
due to when its request was begun; a poll is missed when that is a fixed cadence (5 s) or more: the next was due then.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import resource
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from multiprocessing.connection import Connection

import psutil
from google.transit.gtfs_realtime_pb2 import FeedMessage
from load_vendor import HEALTHY, kind_of
from tables import percentile, print_table

from continuous_gtfs.defs import feed_requests
from continuous_gtfs.defs.between_ticks import ContinuedPolling, Polling
from continuous_gtfs.defs.feed_requests import BEGUN_LATE
from continuous_gtfs.defs.identify import identify
from continuous_gtfs.defs.watch_seams import USUAL_TIMING, History, Vendor
from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pims.client import PimsClient
from continuous_gtfs.pims.outcomes import Body, FetchOutcome
from continuous_gtfs.pims.secrets import EnvironmentSecrets
from continuous_gtfs.versions import FeedVersion

EVERY_S = 20.0
LOOP_S = 5.0


def serve(pipe: Connection) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                while (await reader.readline()).strip():
                    pass
                number = int(line.split()[1].rpartition(b"/")[2])
                kind = kind_of(number)
                if kind == "hanging":
                    await asyncio.sleep(60)
                slot = 0 if kind == "frozen" else int((time.time() + number % 20) // EVERY_S)
                message = FeedMessage()
                message.header.gtfs_realtime_version = "2.0"
                message.header.timestamp = int(slot * EVERY_S) or 1_700_000_000
                body = message.SerializeToString()
                status, length = ("503 No", 0) if kind == "failing" else ("200 OK", len(body) + 50 * (kind == "cut"))
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n".encode())
                if kind != "failing":
                    writer.write(body)
                await writer.drain()
                if kind == "cut":
                    break
        except ConnectionError:
            return
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


class Watched:
    """One sensor's feeds, watched tick after tick as the daemon's loop would ask for them."""

    def __init__(self, name: str, numbers: range, port: int, until: float) -> None:
        self.sources = [
            FeedSource(
                environment=name,
                feed=f"feed_{number}",
                kind=FeedKind.REALTIME,
                url=f"http://127.0.0.1:{port}/{number}",
                poll_every_s=EVERY_S / 4,
                timeout_s=8,
                max_bytes=1_000_000,
            )
            for number in numbers
        ]
        self.until = until
        self.polling = Polling(sources=self.sources, code_version="1", process="benchmark", timing=USUAL_TIMING)
        self.continued = ContinuedPolling()
        self.seen: dict[str, list[tuple[int, float]]] = {}

    def run(self) -> None:
        cursor = None
        while time.time() < self.until:
            began = time.monotonic()
            cursor = self.continued.tick(self.polling, cursor, _client, self._seams).cursor
            time.sleep(LOOP_S - (time.monotonic() - began) % LOOP_S)
        self.continued.end()

    def _seams(self, client: PimsClient) -> Vendor:
        async def fetch(source: FeedSource, etag: str | None, last_modified: str | None) -> FetchOutcome:
            return await client.fetch(source)

        return Vendor(fetch=fetch, identify=self._identify, save=lambda v, _: v, history=_no_runs)

    def _identify(self, source: FeedSource, body: Body, at: datetime) -> FeedVersion:
        version = identify(source, body, at)
        seen = self.seen.setdefault(source.feed, [])
        if version.header_timestamp and (not seen or seen[-1][0] != version.header_timestamp):
            seen.append((version.header_timestamp, at.timestamp()))
        return version


class Delays(logging.Handler):
    """Takes down how late each request began, by feed."""

    def __init__(self) -> None:
        super().__init__()
        self.by_feed: dict[str, list[float]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == BEGUN_LATE and isinstance(record.args, tuple):
            feed_id, late_s = record.args
            self.by_feed.setdefault(str(feed_id).rpartition("/")[2], []).append(max(0.0, float(str(late_s))))


def _client() -> PimsClient:
    return PimsClient(config={"CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS": "127.0.0.1"}, secrets=EnvironmentSecrets({}))


def _quantile(values: Sequence[float], share: float) -> str:
    return f"{percentile(values, share):.3f}" if values else "none"


def _no_runs() -> History:
    return History(last_run=None, last_success=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=50, help="of ten feeds each")
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    port = ours.recv()
    until = time.time() + options.seconds
    begun = Delays()
    requests_log = logging.getLogger(feed_requests.__name__)
    requests_log.addHandler(begun)
    requests_log.setLevel(logging.DEBUG)
    requests_log.propagate = False
    watched = [Watched(f"e{n}", range(10 * n, 10 * n + 10), port, until) for n in range(options.sensors)]
    work: list[Callable[[], None]] = [each.run for each in watched]
    threads = [threading.Thread(target=run) for run in work]
    began = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = resource.getrusage(resource.RUSAGE_SELF)
    lasted_s = time.monotonic() - began
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    healthy = {f"feed_{n}": n for n in range(10 * options.sensors) if kind_of(n) == HEALTHY}
    waits, missed = [], 0
    for each in watched:
        for feed, versions in each.seen.items():
            if feed in healthy:
                stamps = [stamp for stamp, _ in versions]
                missed += round((stamps[-1] - stamps[0]) / EVERY_S) + 1 - len(stamps)
                waits += [at - (stamp - healthy[feed] % 20) for stamp, at in versions[1:]]
    # The first request of a feed is due when it is made.
    delays = [late for feed, lates in begun.by_feed.items() if feed in healthy for late in lates[1:]]
    asked = sum(len(lates) for lates in begun.by_feed.values())
    unseen = len(healthy) - sum(feed in healthy for each in watched for feed in each.seen)
    print_table(
        f"{10 * options.sensors} feeds of 20 s in {options.sensors} sensors, {options.seconds:.0f} s, a tenth faulty",
        ("figure", "value"),
        [
            ["requests", str(asked)],
            ["versions of healthy feeds seen", str(len(waits))],
            ["versions of healthy feeds missed", str(missed)],
            ["healthy feeds never seen", str(unseen)],
            ["start delay of healthy feeds, p50 s", _quantile(delays, 0.5)],
            ["start delay, p99 s", _quantile(delays, 0.99)],
            ["start delay, longest s", _quantile(delays, 1.0)],
            ["polls of healthy feeds missed", str(sum(late >= EVERY_S / 4 for late in delays))],
            ["from the version at the vendor to its request's answer, p50 s", _quantile(waits, 0.5)],
            ["from the version at the vendor to its request's answer, p99 s", _quantile(waits, 0.99)],
            ["CPU a request, ms", f"{1000 * cpu_s / max(asked, 1):.1f}"],
            ["cores", f"{cpu_s / lasted_s:.2f}"],
            ["memory, MiB", f"{psutil.Process().memory_info().rss / (1 << 20):.0f}"],
        ],
    )
    server.terminate()
    server.join()


if __name__ == "__main__":
    main()
