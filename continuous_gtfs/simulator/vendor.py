"""What the stand-in serves now: the current document of each edition and feed, built once a version."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from continuous_gtfs.simulator.feeds_clock import FeedsClock, FeedTick
from continuous_gtfs.simulator.rhythm import VendorRhythm
from continuous_gtfs.simulator.sources import EDITIONS, FeedsSource


@dataclass(frozen=True, slots=True)
class Document:
    """A body and what the HTTP layer says of it."""

    body: bytes
    etag: str
    last_modified: datetime
    tick: FeedTick

    @classmethod
    def of(cls, body: bytes, tick: FeedTick) -> Document:
        """With a strong ETag taken from the bytes: the same bytes at another time have the same one."""
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', tick.at, tick)


class Vendor:
    """The current documents. Thread-safe; a document is built by whoever asks first and kept until the next.

    Args:
        source: Gives the bytes.
        now: The clock.
        realtime_every_s: Seconds from one realtime version to the next; None: only on demand.
        schedule_every_s: Likewise for the schedule.
        trip_updates_lag_s: TripUpdates of a version come so much later than its VehiclePositions.
        jitter_s: See ``FeedsClock``; for the realtime feeds.
        seed: Draws the jitter.
        rhythm: See ``FeedsClock``; for the realtime feeds.
    """

    def __init__(
        self,
        source: FeedsSource,
        *,
        now: Callable[[], datetime],
        realtime_every_s: float | None,
        schedule_every_s: float | None,
        trip_updates_lag_s: float = 0.0,
        jitter_s: float = 0.0,
        seed: int = 0,
        rhythm: VendorRhythm | None = None,
    ) -> None:
        self.source = source
        self._now = now
        self._trip_updates_lag_s = trip_updates_lag_s
        started_at = now()
        self._schedule = {
            edition: FeedsClock(started_at=started_at, every_s=schedule_every_s, is_aligned=False)
            for edition in EDITIONS
        }
        self._realtime = {
            edition: FeedsClock(
                started_at=started_at,
                every_s=realtime_every_s,
                is_aligned=True,
                jitter_s=jitter_s,
                seed=seed,
                rhythm=rhythm,
            )
            for edition in EDITIONS
        }
        self._documents: dict[tuple[str, str], Document] = {}
        self._lock = threading.Lock()

    def document(self, edition: str, feed: str) -> Document:
        """The current document of a feed that the source has."""
        now = self._now()
        with self._lock:
            kept = self._documents.get((edition, feed))
            tick = self._tick(edition, feed, now)
            if kept is None or kept.tick != tick:
                kept = Document.of(self._build(edition, feed, tick), tick)
                self._documents[edition, feed] = kept
            return kept

    def advance_schedule(self, edition: str) -> FeedTick:
        """A new schedule version at once."""
        return self._schedule[edition].advance(self._now())

    def advance_realtime(self, edition: str) -> FeedTick:
        """A new version of both realtime feeds at once."""
        return self._realtime[edition].advance(self._now())

    def _tick(self, edition: str, feed: str, now: datetime) -> FeedTick:
        if feed == "schedule":
            return self._schedule[edition].tick(now)
        lag_s = self._trip_updates_lag_s if feed == "trip_updates" else 0.0
        return self._realtime[edition].tick(now, lag_s=lag_s)

    def _build(self, edition: str, feed: str, tick: FeedTick) -> bytes:
        if feed == "schedule":
            return self.source.schedule(edition, tick.index)
        # The schedule that was in force at the snapshot's moment, so that both feeds of a version agree on it.
        revision = self._schedule[edition].tick(tick.at).index
        return self.source.realtime(edition, feed, tick, revision)
