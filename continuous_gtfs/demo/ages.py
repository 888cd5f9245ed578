"""How old realtime feeds were when they were published, since a demo's start. Pure: what the manifests say.

The age is that of the vendor's header timestamp at the moment at which the manifest moved. The stand-in vendor writes
the moment of each version there, so this is the time from *available* to *published*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from continuous_gtfs.artifacts.manifest import Manifest

AGE_LIMIT_S = 30.0
"""What the median of a feed may not exceed. A tenth of it is usual on a slow machine and a thirtieth on a fast one;
beyond it every version is overtaken by the next before it is out, and something is broken rather than slow."""
FEWEST_FOR_A_VERDICT = 3


@dataclass(slots=True)
class PublicationAges:
    """The publications of one feed by their labels: when each went live, and how old it was, in seconds."""

    found: dict[str, tuple[datetime, float]] = field(default_factory=dict)

    def take(self, manifest: Manifest, *, since: datetime) -> None:
        """Take in what a manifest knows of, back to ``since``; it lists some tens of publications, newest first."""
        for release in (manifest.current, *manifest.previous):
            timestamp = release.order[0]
            # A publication is ordered by its header timestamp; 0 stands for a header without one.
            if release.published_at >= since and isinstance(timestamp, int) and timestamp > 0:
                age_s = release.published_at.timestamp() - timestamp
                self.found.setdefault(release.label, (release.published_at, age_s))

    @property
    def seconds(self) -> list[float]:
        """Oldest publication first. The first one is left out: its version waited for the platform to start."""
        return [age_s for _, age_s in sorted(self.found.values())][1:]

    @property
    def median_s(self) -> float | None:
        """None before the second publication."""
        return median(self.seconds) if self.seconds else None

    @property
    def holds(self) -> bool | None:
        """Whether the median keeps the limit; None while there are too few publications to tell."""
        ages_s = self.seconds
        return median(ages_s) <= AGE_LIMIT_S if len(ages_s) >= FEWEST_FOR_A_VERDICT else None

    def text(self) -> str:
        """``median 0.9 s, at most 1.4 s, last 0.9 s, of 12 publications``; empty before the second."""
        ages_s = self.seconds
        if not ages_s:
            return ""
        of = f"of {len(ages_s)} publication{'' if len(ages_s) == 1 else 's'}"
        return f"median {median(ages_s):.1f} s, at most {max(ages_s):.1f} s, last {ages_s[-1]:.1f} s, {of}"


def all_hold(ages: Iterable[PublicationAges]) -> bool | None:
    """Whether every feed keeps the limit; None where that cannot be told of any, and none fails."""
    told = [one.holds for one in ages]
    return False if False in told else (True if True in told else None)
