"""The reference agency's realtime steps, so that a run costs what it costs there."""

from __future__ import annotations

from continuous_gtfs.agencies.sound_transit.realtime import STEPS

__all__ = ["STEPS"]
