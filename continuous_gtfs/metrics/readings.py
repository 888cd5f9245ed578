"""Reading the parts of which the metrics are made, each in a thread of its own and in bounded time.

A part that fails or does not answer is said to be down, and gives no value that was true once. What hangs is not asked
a second time before it has come back, so threads do not pile up however often somebody asks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from continuous_gtfs.errors import ContinuousGtfsError
from continuous_gtfs.metrics.catalogue import READ_AT, READ_SECONDS, Metric
from continuous_gtfs.metrics.samples import Sample, sample

CACHED_S = 10.0
"""Whoever asks again within this gets what was read before."""
WAIT_S = 8.0
"""Prometheus gives up after 10 s unless it is told otherwise."""


@dataclass(slots=True, kw_only=True)
class Part:
    """One thing that is read.

    Attributes:
        name: ``database``.
        read: Gives its values at a POSIX time; may raise anything.
        up: The metric that says whether it could be read.
        up_labels: The labels of that.
    """

    name: str
    read: Callable[[float], Sequence[Sample]]
    up: Metric
    up_labels: tuple[str, ...] = ()
    thread: threading.Thread | None = None
    read_at: float = float("-inf")
    outcome: Sequence[Sample] | None = None
    failure: str | None = None


@dataclass(slots=True, kw_only=True)
class Readings:
    """All parts.

    Args:
        always: Values that need no reading.
        cached_s: For how long a reading is given again.
        wait_s: How long a reading is waited for.
        tell: Is told in a sentence when a part is down for another reason than before, and when it is up again.
    """

    parts: Sequence[Part]
    always: Sequence[Sample] = ()
    cached_s: float = CACHED_S
    wait_s: float = WAIT_S
    tell: Callable[[str], None] = lambda _: None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _told: dict[str, str] = field(default_factory=dict)

    def current(self) -> list[Sample]:
        """The newest values; returns after ``wait_s`` at the latest, whatever hangs."""
        deadline = time.monotonic() + self.wait_s
        with self._lock:
            for part in self.parts:
                if part.thread is None and time.monotonic() - part.read_at >= self.cached_s:
                    part.thread = threading.Thread(target=_read, args=(part,), name=part.name, daemon=True)
                    part.thread.start()
            samples: list[Sample] = [*self.always]
            for part in self.parts:
                samples += self._of(part, max(deadline - time.monotonic(), 0.0))
            return samples

    def _of(self, part: Part, wait_s: float) -> list[Sample]:
        if part.thread is not None:
            part.thread.join(wait_s)
            if part.thread.is_alive():
                self._tell(part, f"gives no answer in {self.wait_s:g} s")
                return [sample(part.up, *part.up_labels, value=0)]
            part.thread = None
        self._tell(part, part.failure or "")
        up = sample(part.up, *part.up_labels, value=part.outcome is not None)
        return [up, *(part.outcome or ())]

    def _tell(self, part: Part, failure: str) -> None:
        if self._told.get(part.name, "") != failure:
            self.tell(f"{part.name} cannot be read: {failure}" if failure else f"{part.name} can be read again")
        self._told[part.name] = failure


def _read(part: Part) -> None:
    now, began = time.time(), time.perf_counter()
    try:
        found = list(part.read(now))
    except ContinuousGtfsError as error:
        part.outcome, part.failure = None, str(error)
    except Exception as error:  # whoever watches must be told that nothing is seen, whatever the reason
        part.outcome, part.failure = None, f"{type(error).__name__}: {error}"
    else:
        took = sample(READ_SECONDS, part.name, value=time.perf_counter() - began)
        part.outcome, part.failure = [*found, took, sample(READ_AT, part.name, value=now)], None
    # The end of a reading, so that one that takes longer than it is kept is not begun anew at once.
    part.read_at = time.monotonic()
