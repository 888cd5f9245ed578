"""does_not_shrink: stop times, trips and the service of each coming day do not fall by too much."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from continuous_gtfs.gtfs.checks.outcome import CheckOutcome
from continuous_gtfs.gtfs.checks.service_levels import ServiceLevels

CHECK = "does_not_shrink"


def does_not_shrink(
    found: ServiceLevels,
    published: ServiceLevels | None,
    *,
    dates: Sequence[date],
    stop_times_fall_percent: float,
    trips_fall_percent: float,
    day_fall_percent: float,
) -> CheckOutcome:
    """Nothing falls by more than its percentage against what is published; the same dates are compared.

    Args:
        published: None where nothing is, or only what is newer, which says nothing on this feed.
    """
    if published is None:
        return CheckOutcome(check=CHECK, is_passed=True, message="nothing is published that this feed would succeed")
    compared = [
        ("stop_times", published.stop_times, found.stop_times, stop_times_fall_percent),
        ("trips", published.trips, found.trips, trips_fall_percent),
        *(
            (f"trips on {day.isoformat()}", published.trips_on[day], found.trips_on[day], day_fall_percent)
            for day in dates
        ),
    ]
    fallen = [row for row in compared if _fall_percent(row[1], row[2]) > row[3]]
    told = [
        f"{what} fall from {before:,} to {after:,}, by {_fall_percent(before, after):.1f} % (more than {limit:g} %)"
        for what, before, after, limit in fallen
    ]
    if len(told) > 4:
        told = [*told[:4], f"and {len(told) - 4} more"]
    days_fall = {
        day.isoformat(): round(_fall_percent(published.trips_on[day], found.trips_on[day]), 2) for day in dates
    }
    return CheckOutcome(
        check=CHECK,
        is_passed=not fallen,
        message="; ".join(told) or "nothing falls by more than it may",
        numbers={
            "stop_times": found.stop_times,
            "stop_times_published": published.stop_times,
            "stop_times_fall_percent": round(_fall_percent(published.stop_times, found.stop_times), 2),
            "trips": found.trips,
            "trips_published": published.trips,
            "trips_fall_percent": round(_fall_percent(published.trips, found.trips), 2),
            "day_fall_percent": days_fall,
            "may_fall_percent": {
                "stop_times": stop_times_fall_percent,
                "trips": trips_fall_percent,
                "day": day_fall_percent,
            },
        },
    )


def _fall_percent(before: int, after: int) -> float:
    """By how many percent ``after`` is below ``before``; 0 where it is not, or where there was nothing to lose."""
    return max(0.0, (before - after) / before * 100) if before else 0.0
