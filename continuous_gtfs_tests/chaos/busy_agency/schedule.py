"""The reference agency's schedule steps."""

from __future__ import annotations

from continuous_gtfs.agencies.sound_transit.schedule import STEPS

__all__ = ["STEPS"]
