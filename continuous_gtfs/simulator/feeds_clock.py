"""When the stand-in's feeds move on: a pure reckoning of version numbers from the time it is handed."""

from __future__ import annotations

import bisect
import math
import random
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from continuous_gtfs.simulator.rhythm import VendorRhythm


@dataclass(frozen=True, slots=True)
class FeedTick:
    """One version of a feed: the how-manieth since the start, and the moment it belongs to (whole second, UTC)."""

    index: int
    at: datetime


class FeedsClock:
    """Counts versions: a new one at each slot of ``every_s`` seconds, and one at each ``advance``.

    Args:
        started_at: Version 0 is the one in force here.
        every_s: Seconds from one slot to the next, at least 1; None leaves only ``advance``.
        is_aligned: Slots begin at multiples of ``every_s`` of POSIX time, as a vendor's cron job does; version 0
            then belongs to the slot that ``started_at`` falls in. Otherwise they are counted from ``started_at``.
        jitter_s: A slot's version comes up to so much later than the slot begins, a different amount for each
            slot and the same at each reckoning. Its moment stays the slot's.
        seed: Draws the jitter.
        rhythm: Versions come as it says, the first of them in the slot after the one that ``started_at`` falls in; its
            period is ``every_s``. Jitter is then its matter.
    """

    def __init__(
        self,
        *,
        started_at: datetime,
        every_s: float | None,
        is_aligned: bool,
        jitter_s: float = 0.0,
        seed: int = 0,
        rhythm: VendorRhythm | None = None,
    ) -> None:
        self._started = started_at.timestamp()
        self._every_s = every_s
        self._origin = 0.0 if is_aligned else math.floor(self._started)
        self._jitter_s = jitter_s
        self._seed = seed
        self._first_slot = self._slot_begun(self._started)
        self._advances: list[tuple[float, int]] = []
        self._lock = threading.Lock()
        self._coming = rhythm.versions(self._slot_time(self._first_slot + 1)) if rhythm else None
        self._come: list[tuple[float, int]] = []

    def tick(self, now: datetime, *, lag_s: float = 0.0) -> FeedTick:
        """The version in force at ``now`` for a reader who sees everything ``lag_s`` late."""
        seen = max(now.timestamp() - lag_s, self._started)
        with self._lock:
            advances = [at for made, at in self._advances if made <= seen]
            if self._coming is not None:
                while not self._come or self._come[-1][0] <= seen:
                    self._come.append(next(self._coming))
                count = bisect.bisect_right(self._come, (seen, math.inf))
                newest = self._come[count - 1][1] if count else math.floor(self._slot_time(self._first_slot))
                return FeedTick(count + len(advances), datetime.fromtimestamp(max(newest, *advances, 0), UTC))
        slot = max(self._slot_begun(seen), self._first_slot)
        if slot > self._first_slot and seen < self._slot_time(slot) + self._jitter(slot):
            slot -= 1
        at = max([math.floor(self._slot_time(slot)), *advances])
        return FeedTick(slot - self._first_slot + len(advances), datetime.fromtimestamp(at, UTC))

    def advance(self, now: datetime) -> FeedTick:
        """Makes a new version at once. Its moment is a second after the last one's if that second is not over."""
        at = max(math.floor(now.timestamp()), math.floor(self.tick(now).at.timestamp()) + 1)
        with self._lock:
            self._advances.append((now.timestamp(), at))
        return self.tick(now)

    def _slot_begun(self, seconds: float) -> int:
        return 0 if self._every_s is None else math.floor((seconds - self._origin) / self._every_s)

    def _slot_time(self, slot: int) -> float:
        return math.floor(self._started) if self._every_s is None else self._origin + slot * self._every_s

    def _jitter(self, slot: int) -> float:
        return random.Random(f"{self._seed}/{slot}").uniform(0, self._jitter_s) if self._jitter_s else 0.0
