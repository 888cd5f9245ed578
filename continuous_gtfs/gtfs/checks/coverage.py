"""feed_covers_next_days: trips run on each of the next days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from continuous_gtfs.gtfs.checks.outcome import CheckOutcome
from continuous_gtfs.gtfs.checks.service_levels import ServiceLevels

CHECK = "feed_covers_next_days"


def feed_covers_next_days(
    found: ServiceLevels, before: ServiceLevels | None, *, dates: Sequence[date], may_be_empty: int = 0
) -> CheckOutcome:
    """Trips run on all of ``dates``, save so many as the agency allows, or on no fewer than before.

    A feed that ends too soon is still better for a rider than a published one that ends sooner.

    Args:
        before: What is published; before the first publication, the vendor's own feed. None excuses nothing.
        may_be_empty: How many of the dates may be without a trip, as Sundays of an agency that rests.
    """
    empty = [day for day in dates if not found.trips_on[day]]
    covered = len(dates) - len(empty)
    covered_before = len(dates) if before is None else sum(1 for day in dates if before.trips_on[day])
    message = f"trips run on {covered} of the next {len(dates)} days"
    if len(empty) > may_be_empty:
        message += f", none on {_listed(empty)}"
        if before is not None:
            message += f"; on {covered_before} of them before"
    return CheckOutcome(
        check=CHECK,
        is_passed=len(empty) <= may_be_empty or covered >= covered_before,
        message=message,
        numbers={
            "next_days": len(dates),
            "days_with_trips": covered,
            "days_with_trips_before": None if before is None else covered_before,
            "days_that_may_be_empty": may_be_empty,
            "days_without_trips": [day.isoformat() for day in empty],
        },
    )


def _listed(days: Sequence[date]) -> str:
    shown = ", ".join(day.isoformat() for day in days[:3])
    return shown if len(days) <= 3 else f"{shown} and {len(days) - 3} more"
