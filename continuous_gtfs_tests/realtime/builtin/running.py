"""One realtime step run on feeds written by hand, and a schedule for those that read one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.pipeline.running import run_step
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs_tests.builders import csv_text, feed_zip, small_feed_files

NOW = datetime(2026, 7, 1, 15, 15, tzinfo=UTC)
"""A Wednesday, 08:15 in Seattle: T1 of the small schedule runs since 08:00."""
SEATTLE = ZoneInfo("America/Los_Angeles")

Found = tuple[str, str, str | None, int, tuple[str, ...]]


def seattle(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=SEATTLE).astimezone(UTC)


def run(
    step: Step[RealtimeFeeds],
    *,
    now: datetime = NOW,
    inputs: Mapping[str, object] | None = None,
    **messages: FeedMessage,
) -> tuple[RealtimeFeeds, StepResult]:
    return run_step(step, RealtimeFeeds(messages), now=now, inputs=inputs)


def found(result: StepResult) -> list[Found]:
    return [(f.severity, f.code, f.file, f.count, f.sample) for f in result.findings]


def codes(result: StepResult) -> list[str]:
    return [f.code for f in result.findings]


def index_with(
    *frequencies: str,
    stop_times: tuple[str, ...] = (),
    trips: tuple[str, ...] = (),
    dates_removed: tuple[date, ...] = (),
) -> ScheduleIndex:
    """The index of the small schedule (T1 08:00 to 08:30, T2 09:00 to 09:30, NIGHT 24:30 to 25:10, every day of 2026).

    Args:
        frequencies: Rows ``trip_id,start_time,end_time,headway_secs,exact_times``.
        stop_times: Instead of its own: ``trip_id,arrival_time,departure_time,stop_id,stop_sequence``.
        trips: Instead of its own: ``route_id,service_id,trip_id,direction_id``.
    """
    files = small_feed_files(dates_removed=dates_removed)
    if frequencies:
        files["frequencies.txt"] = csv_text("trip_id,start_time,end_time,headway_secs,exact_times", *frequencies)
    if stop_times:
        files["stop_times.txt"] = csv_text("trip_id,arrival_time,departure_time,stop_id,stop_sequence", *stop_times)
    if trips:
        files["trips.txt"] = csv_text("route_id,service_id,trip_id,direction_id", *trips)
    return ScheduleIndex.from_bytes(build_schedule_index(Feed.from_bytes(feed_zip(files))))


def ids(message: FeedMessage) -> list[str]:
    return [entity.id for entity in message.entity]
