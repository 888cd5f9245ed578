"""Sound Transit's feeds, asked every second; no sampled validation, which would take the cores from the rest."""

from __future__ import annotations

import os
from dataclasses import replace

from continuous_gtfs.agencies.agency import ValidationSampling
from continuous_gtfs.agencies.sound_transit.feeds import AGENCY as SOUND_TRANSIT
from continuous_gtfs.pims.catalog import FeedKind

EDITIONS_VARIABLE = "CONTINUOUS_GTFS_CHAOS_EDITIONS"
"""Names the editions that this agency has, where that is not all of them."""
_EDITIONS = os.environ.get(EDITIONS_VARIABLE, "").split()

AGENCY = replace(
    SOUND_TRANSIT,
    name="busy",
    feeds=tuple(
        replace(source, poll_every_s=1.0, timeout_s=30.0 if source.kind is FeedKind.SCHEDULE else 5.0)
        for source in SOUND_TRANSIT.feeds
        if not _EDITIONS or source.environment in _EDITIONS
    ),
    realtime_validation=ValidationSampling(every_min=None),
)
