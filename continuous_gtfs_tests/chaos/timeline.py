"""What happened when, from all sides, to be printed around whatever broke an invariant."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    at: float
    kind: str
    text: str

    def __str__(self) -> str:
        return (
            f"{time.strftime('%H:%M:%S', time.gmtime(self.at))}.{int(self.at % 1 * 1000):03d} {self.kind}: {self.text}"
        )


class Timeline:
    """Moments in the order in which they were noted; POSIX time. Safe for threads."""

    def __init__(self) -> None:
        self._moments: list[Moment] = []
        self._broken: list[Moment] = []
        self._lock = threading.Lock()

    def note(self, kind: str, text: str) -> None:
        with self._lock:
            self._moments.append(Moment(time.time(), kind, text))

    def broken(self, text: str) -> None:
        """An invariant does not hold."""
        with self._lock:
            moment = Moment(time.time(), "BROKEN", text)
            self._moments.append(moment)
            self._broken.append(moment)

    @property
    def faults(self) -> list[str]:
        with self._lock:
            return [moment.text for moment in self._broken]

    def evidence(self, *, before_s: float = 90.0, after_s: float = 10.0) -> list[str]:
        """What happened around each broken invariant, each moment once."""
        with self._lock:
            wanted = [
                moment
                for moment in self._moments
                if any(b.at - before_s <= moment.at <= b.at + after_s for b in self._broken)
            ]
            return [str(moment) for moment in wanted]
