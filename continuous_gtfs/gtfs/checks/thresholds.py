"""The numbers by which a schedule is judged; an agency declares them. Data only, and cheap to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from continuous_gtfs.errors import ConfigurationError

NoticeRule = int | Literal["ignore", "block"]
"""What an agency says of a notice code: up to so many may be there, never blocks, or blocks as an error does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleThresholds:
    """The numbers behind the schedule's gates; "falls" are against what is published.

    Attributes:
        notices: By code of the validator, what is let pass: a number of notices, ``"ignore"`` for a code that never
            blocks, ``"block"`` for a warning that is to block as an error does.
        covers_next_days: Trips must run on this many days from the day the version was fetched; 0 asks nothing.
        days_without_trips: How many of these days may be without a trip.
        stop_times_fall_percent: How much fewer stop times there may be.
        trips_fall_percent: How much fewer trips there may be.
        day_fall_percent: How much fewer trips there may be on any of the next ``compared_days``.
        compared_days: How many days are compared one by one.
    """

    notices: Mapping[str, NoticeRule] = field(default_factory=dict)
    covers_next_days: int = 7
    days_without_trips: int = 0
    stop_times_fall_percent: float = 20
    trips_fall_percent: float = 20
    day_fall_percent: float = 20
    compared_days: int = 14

    def __post_init__(self) -> None:
        for code, rule in self.notices.items():
            if rule not in ("ignore", "block") and not (type(rule) is int and rule >= 0):
                raise ConfigurationError(
                    f'notices: {code} is {rule!r}; give a number of notices to let pass, "ignore" or "block"'
                )
        for name in ("covers_next_days", "days_without_trips", "compared_days"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it cannot be below 0")
        for name in ("stop_times_fall_percent", "trips_fall_percent", "day_fall_percent"):
            if not 0 <= getattr(self, name) <= 100:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be between 0 and 100")
