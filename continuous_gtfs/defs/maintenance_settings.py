"""How long things are kept: the settings of the hourly maintenance, read from the environment. Knows no agency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from continuous_gtfs.errors import ConfigurationError

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
_SETTINGS = {
    "realtime_success_s": ("CONTINUOUS_GTFS_KEEP_REALTIME_RUNS_HOURS", HOUR_S),
    "realtime_failure_s": ("CONTINUOUS_GTFS_KEEP_FAILED_RUNS_DAYS", DAY_S),
    "others_s": ("CONTINUOUS_GTFS_KEEP_SCHEDULE_RUNS_DAYS", DAY_S),
    "ticks_s": ("CONTINUOUS_GTFS_KEEP_TICKS_DAYS", DAY_S),
    "unnamed_versions_s": ("CONTINUOUS_GTFS_KEEP_UNNAMED_VERSIONS_HOURS", HOUR_S),
}
# What was asked for an hour ago may still be retried, and the sensors look at the last runs.
SHORTEST_S = HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what has ended is kept, in seconds.

    Attributes:
        realtime_success_s: Runs of the realtime pipelines (publishing, packing, validation, replay) and of the
            maintenance that succeeded, with their events; what the sensors reported of realtime feeds; ticks of
            sensors that found something.
        realtime_failure_s: The same runs where they failed or were cancelled; what the sensors reported of checks.
        others_s: All other runs, those of schedules first.
        ticks_s: Ticks of every kind.
        unnamed_versions_s: Version objects beside a publication that no manifest has named for so long: left by a
            publication that was overtaken or that died.
    """

    realtime_success_s: float = 48 * HOUR_S
    realtime_failure_s: float = 14 * DAY_S
    others_s: float = 400 * DAY_S
    ticks_s: float = 30 * DAY_S
    unnamed_versions_s: float = 24 * HOUR_S

    def __post_init__(self) -> None:
        for field in fields(self):
            name, unit = _SETTINGS[field.name]
            seconds = getattr(self, field.name)
            if not (math.isfinite(seconds) and seconds >= SHORTEST_S):
                raise ConfigurationError(f"{name} is {seconds / unit:g}; it must be a number of at least an hour")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Retention:
        """The settings, each as its default where it is not set or empty.

        Raises:
            ConfigurationError: One is no number, or shorter than an hour.
        """
        given = {}
        for field, (name, unit) in _SETTINGS.items():
            text = environment.get(name, "").strip()
            if text:
                try:
                    given[field] = float(text) * unit
                except ValueError:
                    raise ConfigurationError(f"{name} is {text!r}; it must be a number") from None
        return cls(**given)
