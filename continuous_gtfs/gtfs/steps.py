"""What an agency's ``schedule.py`` is made of: the built-in steps, conditions and ``@step``, under one name."""

from __future__ import annotations

from continuous_gtfs.gtfs.builtin.rows import ClearField, RemoveRows, UpdateFeedInfo, UpdateFields
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.where import Where, where
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import StepContext, step

__all__ = [
    "ClearField",
    "Feed",
    "Finding",
    "RemoveRows",
    "StepContext",
    "UpdateFeedInfo",
    "UpdateFields",
    "Where",
    "step",
    "where",
]
