"""A way of polling against a vendor's rhythm, on a virtual clock: how long versions wait, and for how many requests."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from continuous_gtfs.pims.polling import Pace, PollMemory, next_request_at
from continuous_gtfs.simulator.rhythm import VendorRhythm

# Any moment will do; not a whole period.
_START = 1_800_000_007.0
Stamp = Callable[[int], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingResult:
    """What polling gave, from the version on at which counting began.

    Attributes:
        waits_s: For each version that was seen, from when it could be had to the end of the answer that brought it.
        requests: Requests made.
        versions: Versions that the vendor had, those included that were gone before they were seen.
    """

    waits_s: tuple[float, ...]
    requests: int
    versions: int

    @property
    def median_wait_s(self) -> float:
        return statistics.median(self.waits_s)

    @property
    def requests_a_version(self) -> float:
        return self.requests / self.versions

    @property
    def seen_share(self) -> float:
        return len(self.waits_s) / self.versions


def poll_virtually(
    vendor: VendorRhythm,
    pace: Pace,
    *,
    versions: int = 100,
    learning: int = 12,
    way_s: float = 0.05,
    is_fixed: bool = False,
    stamp: Stamp = lambda stamp: stamp,
) -> PollingResult:
    """Polls until ``learning`` and then ``versions`` versions have come; what came before the latter does not count.

    Args:
        vendor: The vendor's habits.
        pace: How it may be asked.
        way_s: From the beginning of a request to the end of its answer.
        is_fixed: Keep the fixed cadence, for comparison.
        stamp: What the header says in place of the true timestamp; None where it has none.
    """
    coming = list(itertools.islice(vendor.versions(_START), learning + versions + 1))
    memory, newest, there = PollMemory(), -1, -1
    waits: list[float] = []
    requests = 0
    # Where in the vendor's period polling begins is chance, too.
    now = _START + (vendor.seed * 7.31 + 1.7) % vendor.period_s
    while now < coming[-1][0]:
        memory.note_request(now, pace)
        requests += now >= coming[learning][0]
        while there + 1 < len(coming) and coming[there + 1][0] <= now + way_s / 2:
            there += 1
        if there > newest:
            if there >= learning:
                waits.append(now + way_s - coming[there][0])
            memory.note_arrival(now, stamp(coming[there][1]))
            newest = there
        else:
            memory.note_unchanged(now)
        answered_at = now + way_s
        now = now + pace.every_s if is_fixed else max(next_request_at(memory, pace, answered_at), answered_at)
    return PollingResult(waits_s=tuple(waits), requests=requests, versions=versions)
