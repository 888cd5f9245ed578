"""The numbers by which a realtime feed is judged; an agency declares them. Data only, and cheap to import."""

from __future__ import annotations

import math
from dataclasses import dataclass

from continuous_gtfs.errors import ConfigurationError

ALERTS = "alerts"


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeThresholds:
    """The numbers behind the realtime guards. None switches a guard off where it is allowed.

    Attributes:
        header_age_s: A feed whose header timestamp is older is not published.
        header_ahead_s: How far the header timestamp may be in the future: two clocks are never the same.
        header_back_s: A feed fetched later than what is live whose header is older by more than this fails; by less it
            is left out quietly, as from a vendor whose servers are some seconds apart. It is never published.
        may_be_empty: Feeds, by name, whose number of entities says nothing: no alert is no fault.
        entities_fall_percent: How much fewer entities there may be than in what is live, less what the schedule lets
            end. None: any number.
        entities_fall_held_s: A fall that lasts longer is taken as true: what is live is by then too old to be worth
            keeping. None: only an operator accepts it.
        duplicate_ids_percent: How many of the entities may be dropped because a later one has their id. They are
            dropped and told in any case. None: any number.
        unknown_trips_percent: How many of the trip_ids may be missing in the published schedule. None: any number.
        unknown_stops_percent: The same for stop_ids.
        least_count: Entities lost, dropped or unknown block from this number on, whatever their share: three vehicles
            of which one is left are an evening.
    """

    header_age_s: float = 90
    header_ahead_s: float = 30
    header_back_s: float = 0
    may_be_empty: frozenset[str] = frozenset({ALERTS})
    entities_fall_percent: float | None = 50
    entities_fall_held_s: float | None = 300
    duplicate_ids_percent: float | None = 10
    unknown_trips_percent: float | None = 50
    unknown_stops_percent: float | None = 50
    least_count: int = 5

    def __post_init__(self) -> None:
        for name in ("header_age_s", "header_ahead_s", "header_back_s"):
            if not _is_number(getattr(self, name)):
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)!r}; give seconds, 0 or more: this guard cannot be switched off"
                )
        if self.entities_fall_held_s is not None and not _is_number(self.entities_fall_held_s):
            raise ConfigurationError(
                f"entities_fall_held_s is {self.entities_fall_held_s!r}; give seconds, 0 or more, or None"
            )
        for name in (
            "entities_fall_percent",
            "duplicate_ids_percent",
            "unknown_trips_percent",
            "unknown_stops_percent",
        ):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value <= 100):
                raise ConfigurationError(f"{name} is {value!r}; give a number from 0 to 100, or None for no limit")
        if type(self.least_count) is not int or self.least_count < 1:
            raise ConfigurationError(f"least_count is {self.least_count!r}; give a whole number from 1")
        if isinstance(self.may_be_empty, str):
            raise ConfigurationError(f"may_be_empty is {self.may_be_empty!r}; give a set of feeds, {{'alerts'}}")
        object.__setattr__(self, "may_be_empty", frozenset(self.may_be_empty))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
