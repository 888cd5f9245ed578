"""GuardResult: what one guard says of one feed. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from continuous_gtfs.foreign_text import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardResult:
    """One claim about one feed.

    Attributes:
        guard: The claim, ``header_age_is_within_limit``.
        passed: Whether the feed may be published as far as this claim goes.
        value: What was measured; None where it could not be, and then the message says why.
        threshold: What it was held against.
        unit: Of both: ``s``, ``%``, ``entities``.
        message: One sentence for the reader of a failed run.
    """

    guard: str
    passed: bool
    value: float | None
    threshold: float | None
    unit: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", shown(self.message))


def not_asked(guard: str, unit: str, threshold: float | None, reason: str) -> GuardResult:
    """A claim that has no meaning for this feed at this time: it passes, and says why it was not asked."""
    return GuardResult(
        guard=guard, passed=True, value=None, threshold=threshold, unit=unit, message=f"not asked: {reason}"
    )


def percent(part: float, whole: float) -> float:
    """``part`` of ``whole`` in percent; 0 where there is no whole."""
    return round(100 * part / whole, 2) if whole else 0.0
