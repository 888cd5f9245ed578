"""When a vendor's versions come: a period, and every way in which real vendors stray from it. Pure and seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRhythm:
    """A vendor's habits; seconds, and shares from 0 to 1.

    Attributes:
        period_s: From one version to the next.
        jitter_s: Each version comes up to so much late, by itself; the later ones do not shift.
        drift_s: Each version shifts all later ones by up to so much, back or forth.
        missed: The share of versions that are left out.
        doubled: The share of versions that a second one follows, within the next period.
        lag_s: A version comes so much after the moment that its header names.
        seed: Draws all of it.
    """

    period_s: float
    jitter_s: float = 0.0
    drift_s: float = 0.0
    missed: float = 0.0
    doubled: float = 0.0
    lag_s: float = 0.0
    seed: int = 0

    def versions(self, start: float) -> Iterator[tuple[float, int]]:
        """Endlessly, in order: when a version can be had, and its header's timestamp in whole seconds (both POSIX)."""
        draw = random.Random(self.seed)
        moment, newest = start, float("-inf")
        while True:
            comes = max(moment + self.lag_s + draw.uniform(0, self.jitter_s), newest + 0.001)
            if draw.random() >= self.missed:
                newest = comes
                yield comes, int(moment)
                if draw.random() < self.doubled:
                    extra = draw.uniform(0.15, 0.85) * self.period_s
                    newest = max(moment + self.lag_s + extra, comes + 0.001)
                    yield newest, int(moment + extra)
            moment += self.period_s + draw.uniform(-self.drift_s, self.drift_s)
