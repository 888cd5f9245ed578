"""Sound Transit's realtime pipeline: the steps, in the order in which they run."""

from __future__ import annotations

from continuous_gtfs.realtime.steps import ExpireCancelledTrips, FilterStopsByID, UpdateFeedHeader

STATIONS_NOT_YET_OPEN = ("E01", "E01-T1", "E01-T2", "E07", "E07-T1", "E07-T2")
"""Stations and platforms that the vendor already sends but riders may not see yet; the schedule leaves them out too."""

STEPS = [
    # A trip update of which nothing is left would be invalid: a scheduled trip needs at least one stop time update.
    FilterStopsByID(STATIONS_NOT_YET_OPEN, empty_trip_update="drop"),
    ExpireCancelledTrips(),
    UpdateFeedHeader(version="2.0"),
]
