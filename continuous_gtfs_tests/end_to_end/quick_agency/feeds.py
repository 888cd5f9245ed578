"""Sound Transit's feeds with a cadence that a test can wait for."""

from __future__ import annotations

from dataclasses import replace

from continuous_gtfs.agencies.agency import RealtimeThresholds
from continuous_gtfs.agencies.sound_transit.feeds import AGENCY as SOUND_TRANSIT
from continuous_gtfs.pims.catalog import FeedKind

AGENCY = replace(
    SOUND_TRANSIT,
    name="quick",
    # A tick ends early enough for its last request: the longer the time-out, the shorter the tick.
    feeds=tuple(
        replace(source, poll_every_s=1.0, timeout_s=30.0 if source.kind is FeedKind.SCHEDULE else 2.0)
        for source in SOUND_TRANSIT.feeds
    ),
    realtime=RealtimeThresholds(header_age_s=15),
)
