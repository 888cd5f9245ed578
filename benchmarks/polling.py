"""How long does a new version wait at the vendor before it is seen, and for how many requests?

First on a virtual clock, for vendors of many habits, in their rhythm and at the fixed cadence of 5 s. Then measured:
the client against stand-in vendors over HTTP, in real time, both ways side by side on the two editions.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from statistics import fmean

from tables import median, percentile, print_table

from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pims.client import PimsClient
from continuous_gtfs.pims.outcomes import Body, CouldNotTell
from continuous_gtfs.pims.polling import Pace, PollMemory, next_request_at
from continuous_gtfs.pims.secrets import EnvironmentSecrets
from continuous_gtfs.realtime.messages import header_timestamp, parse_feed
from continuous_gtfs.simulator.rhythm import VendorRhythm
from continuous_gtfs.simulator.virtual_polling import PollingResult, poll_virtually

PACE = Pace(every_s=5.0)
SEEDS = range(20)
UNSTEADY = VendorRhythm(period_s=20.0, jitter_s=1.5, drift_s=0.1, missed=0.03, doubled=0.03)
HABITS: Sequence[tuple[str, VendorRhythm]] = (
    ("20 s, on the beat", VendorRhythm(period_s=20.0)),
    ("20 s, jitter 1 s", VendorRhythm(period_s=20.0, jitter_s=1.0)),
    ("20 s, jitter 4 s", VendorRhythm(period_s=20.0, jitter_s=4.0)),
    ("20.3 s, drift 0.3 s", VendorRhythm(period_s=20.3, drift_s=0.3)),
    ("20 s, jitter 1 s, 5 % missed", VendorRhythm(period_s=20.0, jitter_s=1.0, missed=0.05)),
    ("20 s, jitter 1 s, 5 % doubled", VendorRhythm(period_s=20.0, jitter_s=1.0, doubled=0.05)),
    ("20 s, jitter 1.5 s, drift 0.1 s, 3 % missed, 3 % doubled", UNSTEADY),
    ("2 s, jitter 0.1 s", VendorRhythm(period_s=2.0, jitter_s=0.1)),
    ("30 s, jitter 1 s", VendorRhythm(period_s=30.0, jitter_s=1.0)),
    ("60 s, jitter 1 s", VendorRhythm(period_s=60.0, jitter_s=1.0)),
    ("20 s, jitter 20 s: irregular", VendorRhythm(period_s=20.0, jitter_s=20.0)),
)
LEARNING = 10
FIRST = 4
COLUMNS = ("way", "wait p50 s", "p95 s", "requests a version", "versions seen")


def row(name: str, results: Sequence[PollingResult]) -> tuple[str, ...]:
    waits = list(itertools.chain.from_iterable(result.waits_s for result in results))
    versions = sum(result.versions for result in results)
    requests = sum(result.requests for result in results)
    return (
        name,
        f"{median(waits):.2f}",
        f"{percentile(waits, 0.95):.2f}",
        f"{requests / versions:.2f}",
        f"{len(waits) / versions:.0%}",
    )


def simulated() -> None:
    rows = []
    for name, vendor in HABITS:
        for way, is_fixed in (("rhythm", False), ("fixed", True)):
            results = [poll_virtually(replace(vendor, seed=seed), PACE, is_fixed=is_fixed) for seed in SEEDS]
            rows.append(row(f"{name}: {way}", results))
    print_table(
        f"A vendor's versions, polled on a virtual clock ({len(SEEDS)} seeds, 100 versions each)", COLUMNS, rows
    )


def simulated_beginning() -> None:
    """The first versions after the start, before there is a rhythm to follow."""
    rows = []
    for name, vendor in HABITS:
        if vendor.period_s < PACE.every_s:
            continue
        for way, is_fixed in (("rhythm", False), ("fixed", True)):
            seen = [
                poll_virtually(replace(vendor, seed=seed), PACE, is_fixed=is_fixed, learning=1, versions=FIRST).waits_s
                for seed in range(10 * len(SEEDS))
            ]
            means = [fmean(waits[number] for waits in seen if len(waits) > number) for number in range(FIRST)]
            medians = [median(waits[:FIRST]) for waits in seen]
            rows.append(
                (
                    f"{name}: {way}",
                    *(f"{mean:.2f}" for mean in means),
                    f"{median(medians):.2f}",
                    f"{percentile(medians, 0.95):.2f}",
                )
            )
    print_table(
        f"The first versions after the start, on a virtual clock ({10 * len(SEEDS)} seeds)",
        (
            "way",
            *(f"{number}: mean wait s" for number in ("1st", "2nd", "3rd", "4th")),
            "median of the four: p50 s",
            "p95 s",
        ),
        rows,
    )


@contextmanager
def stand_in(vendor: VendorRhythm) -> Iterator[tuple[str, float]]:
    """A stand-in with these habits: its URL, and when its first version after the start comes, POSIX seconds."""
    period = vendor.period_s
    if time.time() % period > period / 2:
        time.sleep(period - time.time() % period)  # so that it has started before the slot is over
    program = (
        "from continuous_gtfs.simulator.server import SimulatorOptions, run_simulator\n"
        f"run_simulator(SimulatorOptions(port=0, token_production='p', token_qa='q', realtime_every_s={period},"
        f" jitter_s={vendor.jitter_s}, drift_s={vendor.drift_s}, missed={vendor.missed}, doubled={vendor.doubled},"
        f" seed={vendor.seed}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["simulator"]
        yield url, (math.floor(time.time() / period) + 1) * period
    finally:
        process.terminate()
        process.wait()


async def poll(url: str, edition: str, vendor: VendorRhythm, start: float, versions: int) -> PollingResult:
    """Polls one edition in real time: ``production`` in its rhythm, ``qa`` at the fixed cadence."""
    coming = list(itertools.islice(vendor.versions(start), LEARNING + versions + 1))
    source = FeedSource(
        environment=edition,
        feed="vehicle_positions",
        kind=FeedKind.REALTIME,
        url=f"{url}/{edition}/gtfs-rt/vehicle_positions.pb",
        headers={"X-PIMS-Token": edition[0]},
        poll_every_s=PACE.every_s,
        timeout_s=4.0,
        max_bytes=10_000_000,
    )
    memory, etag, requests = PollMemory(), None, 0
    waits = []
    await asyncio.sleep((vendor.seed * 1.37) % PACE.every_s)  # at which phase of the vendor it begins is chance
    async with PimsClient(
        config={"CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS": "127.0.0.1"}, secrets=EnvironmentSecrets({})
    ) as client:
        while (sent_at := time.time()) < coming[-1][0]:
            requests += sent_at >= coming[LEARNING][0]
            memory.note_request(sent_at, PACE)
            outcome = await client.fetch(source, etag=etag)
            answered_at = time.time()
            if isinstance(outcome, CouldNotTell):
                raise SystemExit(outcome.reason)
            if isinstance(outcome, Body):
                memory.note_arrival(sent_at, header_timestamp(parse_feed(outcome.body, name=source.feed_id)))
                etag = outcome.etag
                came_at = max((at for at, _ in coming if at <= answered_at), default=0.0)
                if came_at >= coming[LEARNING][0]:
                    waits.append(answered_at - came_at)
            else:
                memory.note_unchanged(sent_at)
            at = sent_at + PACE.every_s if edition == "qa" else next_request_at(memory, PACE, answered_at)
            await asyncio.sleep(max(0.0, at - time.time()))
    return PollingResult(waits_s=tuple(waits), requests=requests, versions=versions)


async def poll_all(vendors: Sequence[tuple[VendorRhythm, str, float]], versions: int) -> list[list[PollingResult]]:
    """By edition, the result for each vendor."""
    return [
        list(results)
        for results in await asyncio.gather(
            *(
                asyncio.gather(*(poll(url, edition, vendor, start, versions) for vendor, url, start in vendors))
                for edition in ("production", "qa")
            )
        )
    ]


def measured(vendors: int, versions: int) -> None:
    with ExitStack() as stack:
        running = [
            (vendor, *stack.enter_context(stand_in(vendor)))
            for vendor in (replace(UNSTEADY, seed=seed) for seed in range(vendors))
        ]
        rhythm, fixed = asyncio.run(poll_all(running, versions))
    print_table(
        f"Stand-in vendors over HTTP: 20 s, jitter 1.5 s, drift 0.1 s, 3 % missed, 3 % doubled "
        f"({vendors} vendors, {versions} versions each after {LEARNING} to learn from)",
        COLUMNS,
        [row("rhythm", rhythm), row("fixed", fixed)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--vendors", type=int, default=4, help="stand-in vendors at once; 0 leaves out what is measured"
    )
    parser.add_argument("--versions", type=int, default=15, help="versions of each that are counted; one takes 20 s")
    options = parser.parse_args()
    simulated()
    simulated_beginning()
    if options.vendors:
        measured(options.vendors, options.versions)


if __name__ == "__main__":
    main()
