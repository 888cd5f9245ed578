"""What an agency's ``realtime.py`` is made of: the built-in steps and ``@step``, under one name."""

from __future__ import annotations

from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import StepContext, step
from continuous_gtfs.realtime.builtin.combining import CombineFeeds
from continuous_gtfs.realtime.builtin.dropping import DropStaleVehicles, DropUnknownTrips
from continuous_gtfs.realtime.builtin.entities import ALERTS, PUBLISHED_TRIP_UPDATES, SCHEDULE_INDEX
from continuous_gtfs.realtime.builtin.expired_cancellations import ExpireCancelledTrips
from continuous_gtfs.realtime.builtin.header import UpdateFeedHeader
from continuous_gtfs.realtime.builtin.ids import RenameVehicles, RewriteTripIds
from continuous_gtfs.realtime.builtin.missing_cancellations import InsertMissingCancellations
from continuous_gtfs.realtime.builtin.new_trips import ConvertScheduledToNew
from continuous_gtfs.realtime.builtin.passing import PassThrough
from continuous_gtfs.realtime.builtin.stops import FilterStopsByID
from continuous_gtfs.realtime.feeds import TRIP_UPDATES, VEHICLE_POSITIONS, RealtimeFeeds

__all__ = [
    "ALERTS",
    "PUBLISHED_TRIP_UPDATES",
    "SCHEDULE_INDEX",
    "TRIP_UPDATES",
    "VEHICLE_POSITIONS",
    "CombineFeeds",
    "ConvertScheduledToNew",
    "DropStaleVehicles",
    "DropUnknownTrips",
    "ExpireCancelledTrips",
    "FilterStopsByID",
    "Finding",
    "InsertMissingCancellations",
    "PassThrough",
    "RealtimeFeeds",
    "RenameVehicles",
    "RewriteTripIds",
    "StepContext",
    "UpdateFeedHeader",
    "step",
]
