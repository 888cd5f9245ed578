"""The reference agency's realtime steps."""

from __future__ import annotations

from continuous_gtfs.agencies.sound_transit.realtime import STEPS

__all__ = ["STEPS"]
