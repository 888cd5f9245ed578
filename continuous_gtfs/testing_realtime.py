"""The testing kit for those who write realtime steps: feeds from plain dictionaries, and a schedule to ask.

Running a step and looking at its findings is as in ``continuous_gtfs.testing``.

    >>> from continuous_gtfs.realtime.steps import DropUnknownTrips
    >>> from continuous_gtfs.testing import assert_finding, run_one, small_feed
    >>> feeds = realtime_feeds(trip_updates=[
    ...     {"trip_update": {"trip": {"trip_id": "T1"}}},
    ...     {"trip_update": {"trip": {"trip_id": "T9"}}},
    ... ])
    >>> made, result = run_one(DropUnknownTrips(), feeds, inputs={"schedule_index": schedule_index(small_feed())})
    >>> entities(made, "trip_updates")
    [{'id': '1', 'trip_update': {'trip': {'trip_id': 'T1'}}}]
    >>> assert_finding(result, "unknown_trips_dropped").sample
    ('T9',)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.errors import UnreadableMessageError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.testing import NOW

__all__ = ["entities", "realtime_feeds", "schedule_index"]


def realtime_feeds(*, header: Mapping[str, Any] | None = None, **feeds: Sequence[Mapping[str, Any]]) -> RealtimeFeeds:
    """Feeds by name, each of these entities, with the field names and enum names of the specification.

    Args:
        header: Fields of every header; without them it is of version 2.0 and ``testing.NOW``.
        feeds: An entity without an ``id`` gets its number, from 1.

    Raises:
        UnreadableMessageError: No FeedMessage has such a field or value.
    """
    messages = {}
    for name, described in feeds.items():
        document = {
            "header": {"gtfs_realtime_version": "2.0", "timestamp": int(NOW.timestamp())} | dict(header or {}),
            "entity": [{"id": str(number), **entity} for number, entity in enumerate(described, start=1)],
        }
        try:
            messages[name] = ParseDict(document, FeedMessage())
        except ParseError as error:
            raise UnreadableMessageError(f"{name}: {error}") from None
    return RealtimeFeeds(messages)


def entities(feeds: RealtimeFeeds, name: str) -> list[dict[str, Any]]:
    """The entities of one feed as dictionaries, in their order; 64-bit numbers are text, as in the JSON form."""
    return [MessageToDict(entity, preserving_proto_field_name=True) for entity in feeds.message(name).entity]


def schedule_index(feed: Feed) -> ScheduleIndex:
    """What a step gets as ``context.inputs["schedule_index"]`` when this schedule is published.

    Raises:
        FeedStructureError: A file that the index is made of is missing or cannot be read.
    """
    return ScheduleIndex.from_bytes(build_schedule_index(feed))
