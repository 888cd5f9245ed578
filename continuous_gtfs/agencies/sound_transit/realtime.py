"""Sound Transit's realtime pipeline: the steps, in the order in which they run."""

from __future__ import annotations

from continuous_gtfs.realtime.steps import FilterStopsByID, UpdateFeedHeader

STATIONS_NOT_YET_OPEN = ("E01", "E01-T1", "E01-T2", "E07", "E07-T1", "E07-T2")
"""Stations and platforms that the vendor already sends but riders may not see yet."""

STEPS = [
    FilterStopsByID(STATIONS_NOT_YET_OPEN),
    UpdateFeedHeader(version="2.0"),
]
