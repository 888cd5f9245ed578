"""What is done to the vendor's realtime feeds, in this order."""

from __future__ import annotations

from continuous_gtfs.realtime.steps import ExpireCancelledTrips, FilterStopsByID

from .stations import NOT_YET_OPEN, PLATFORMS_NOT_YET_OPEN

STEPS = [
    FilterStopsByID((*NOT_YET_OPEN, *PLATFORMS_NOT_YET_OPEN), empty_trip_update="drop"),
    ExpireCancelledTrips(),
]
