"""What an agency's ``schedule.py`` is made of: the built-in steps, conditions and ``@step``, under one name."""

from __future__ import annotations

from continuous_gtfs.gtfs.builtin.ids import RewriteIds
from continuous_gtfs.gtfs.builtin.removals import RemoveRoutes, RemoveServices, RemoveStops, RemoveTrips
from continuous_gtfs.gtfs.builtin.rows import ClearField, RemoveRows, UpdateFeedInfo, UpdateFields
from continuous_gtfs.gtfs.builtin.tables import AddRows, MergeTable, ReferenceTable, SortRows
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.where import Where, where
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import StepContext, step

__all__ = [
    "AddRows",
    "ClearField",
    "Feed",
    "Finding",
    "MergeTable",
    "ReferenceTable",
    "RemoveRoutes",
    "RemoveRows",
    "RemoveServices",
    "RemoveStops",
    "RemoveTrips",
    "RewriteIds",
    "SortRows",
    "StepContext",
    "UpdateFeedInfo",
    "UpdateFields",
    "Where",
    "step",
    "where",
]
