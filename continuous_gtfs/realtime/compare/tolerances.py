"""How far two values may lie apart and still count as the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from continuous_gtfs.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """What rounding and the moment of a request do to the same content. A value at the limit counts as the same.

    Attributes:
        header_timestamp_s: Seconds between the timestamps of the two headers.
        timestamp_s: Seconds between the timestamps of an entity: when it was measured.
        prediction_s: Seconds between predicted times, delays and uncertainties.
        position_m: Metres between two positions. The default is more than a step of a 32-bit float, which is 1.7 m
            at 180 degrees.
        bearing_deg: Degrees between two bearings, over north where that is shorter.
        speed_m_s: Metres a second.
        odometer_m: Metres.
        stale_after_s: How many seconds older than its header a vehicle must be to count as stale. Not a tolerance of
            level 2: it says which vehicles level 3 leaves out.
    """

    header_timestamp_s: float = 30
    timestamp_s: float = 30
    prediction_s: float = 0
    position_m: float = 2
    bearing_deg: float = 1
    speed_m_s: float = 0.1
    odometer_m: float = 1
    stale_after_s: float = 300

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(f"tolerance {field.name}={value}: give 0 or more")


DEFAULT = Tolerances()

EXACT = Tolerances(
    header_timestamp_s=0, timestamp_s=0, prediction_s=0, position_m=0, bearing_deg=0, speed_m_s=0, odometer_m=0
)
"""Every value counts: for two feeds that were made from the same input."""
