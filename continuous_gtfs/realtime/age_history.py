"""How old a feed was when it was published, minute by minute over some hours: bounded, and small enough for a manifest.

Not here: how it is drawn (``pictures``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

KEPT_MINUTES = 360
_UNITS_A_SECOND = 10
_LARGEST = 9999
"""In tenths of a second. Beyond a quarter of an hour a feed is stale whatever its age; so every number is short."""


@dataclass(frozen=True, slots=True)
class MinuteOfAges:
    """The publications of one minute.

    Attributes:
        minute: Minutes since 1970, UTC.
        lowest_s: Age of the youngest feed that was published in it, in seconds; negative where its header timestamp
            lay in the future.
        highest_s: Of the oldest.
    """

    minute: int
    lowest_s: float
    highest_s: float


@dataclass(frozen=True, slots=True)
class AgeHistory:
    """The minutes in which something was published, oldest first, of the ``KEPT_MINUTES`` up to the newest."""

    minutes: tuple[MinuteOfAges, ...] = ()

    def with_publication(self, *, at: datetime, age_s: float) -> AgeHistory:
        """The history with one publication more.

        Args:
            at: When it went out.
            age_s: Seconds from the header timestamp to then.
        """
        minute, age_s = int(at.timestamp()) // 60, _rounded(age_s)
        found = {one.minute: one for one in self.minutes}
        known = found.get(minute, MinuteOfAges(minute, age_s, age_s))
        found[minute] = MinuteOfAges(minute, min(known.lowest_s, age_s), max(known.highest_s, age_s))
        newest = max(found)
        return AgeHistory(tuple(found[one] for one in sorted(found) if one > newest - KEPT_MINUTES))

    def to_text(self) -> str:
        """At most 4.3 kB: ``minute,lowest,highest`` parted by blanks, each minute but the first told from the one
        before it, ages in tenths of a second."""
        return " ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        before = 0
        for one in self.minutes:
            ages = (round(age_s * _UNITS_A_SECOND) for age_s in (one.lowest_s, one.highest_s))
            yield ",".join(map(str, (one.minute - before, *ages)))
            before = one.minute

    @classmethod
    def from_text(cls, text: object) -> Self:
        """What ``to_text`` wrote; empty where it is anything else, since no publication should fail for a picture."""
        minutes: list[MinuteOfAges] = []
        try:
            minute = 0
            for part in str(text or "").split(" ") if text else ():
                since, lowest, highest = map(int, part.split(","))
                minute += since
                minutes.append(MinuteOfAges(minute, lowest / _UNITS_A_SECOND, highest / _UNITS_A_SECOND))
        except ValueError:
            return cls()
        return cls(tuple(minutes))


def _rounded(age_s: float) -> float:
    return min(max(round(age_s * _UNITS_A_SECOND), -_LARGEST), _LARGEST) / _UNITS_A_SECOND
