"""All guards on one feed: which are asked, in which order, of which form of the feed, against what is live."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.realtime.guards.duplicates import UNIQUE_IDS, Duplicates, entity_ids_are_unique
from continuous_gtfs.realtime.guards.entities import (
    FALL,
    HAS_ENTITIES,
    does_not_lose_entities,
    entity_count,
    has_entities,
)
from continuous_gtfs.realtime.guards.header import AGE, AHEAD, BACK, FULL_DATASET, header_age, header_ahead, header_back
from continuous_gtfs.realtime.guards.header import is_full_dataset as full_dataset
from continuous_gtfs.realtime.guards.references import (
    STOPS_KNOWN,
    TRIPS_KNOWN,
    references,
    stop_ids_are_known,
    trip_ids_are_known,
)
from continuous_gtfs.realtime.guards.result import GuardResult, not_asked
from continuous_gtfs.realtime.guards.thresholds import RealtimeThresholds
from continuous_gtfs.realtime.messages import header_timestamp

GUARDS = (FULL_DATASET, AGE, AHEAD, BACK, UNIQUE_IDS, HAS_ENTITIES, FALL, TRIPS_KNOWN, STOPS_KNOWN)

ACCEPTABLE = frozenset({UNIQUE_IDS, HAS_ENTITIES, FALL, TRIPS_KNOWN, STOPS_KNOWN})
"""What an operator may know better. The age of a header and its course are facts, and a part of a feed is no feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFeed:
    """What is live of a feed, as far as its successor is held against it.

    Attributes:
        header_timestamp: POSIX seconds of the vendor's header; None where it had none.
        entities: See ``entity_count``; None where that is not known.
        made_timestamp: POSIX seconds of the header that consumers read, which steps may have written; None where it has
            none or that is not known.
    """

    header_timestamp: int | None
    entities: int | None
    made_timestamp: int | None = None


def judge_feed(
    name: str,
    made: FeedMessage,
    *,
    raw: FeedMessage,
    sources: Collection[FeedMessage] = (),
    duplicates: Duplicates,
    live: LiveFeed | None,
    index: ScheduleIndex | None,
    thresholds: RealtimeThresholds,
    now: datetime,
) -> list[GuardResult]:
    """What each guard says, in the order of ``GUARDS``; those that the agency has switched off are left out.

    Args:
        name: ``vehicle_positions``.
        made: What would be published.
        raw: What the vendor sent. Its header is judged, since a step may have written another; and the one that was
            written too, since it may be that of an older feed.
        sources: What the vendors sent of other feeds that steps append to this one. It may rightly be all there is.
        duplicates: What was dropped to make ``made``.
        live: None where nothing is.
        index: Of the published schedule; None where there is none.
        thresholds: The agency's.
        now: When it would be published.
    """
    # A schedule that has expired cannot tell that no trip runs, nor which trip_ids are right.
    covering = index if index is not None and index.covers(now) else None
    return [
        full_dataset(raw),
        *_dated(made, raw, live, thresholds, now),
        entity_ids_are_unique(
            duplicates, max_percent=thresholds.duplicate_ids_percent, least_count=thresholds.least_count
        ),
        *_counted(name, made, raw, sources, live, covering, thresholds, now),
        *_referred(made, covering, index, thresholds),
    ]


def _dated(
    made: FeedMessage, raw: FeedMessage, live: LiveFeed | None, thresholds: RealtimeThresholds, now: datetime
) -> list[GuardResult]:
    """Age, clock and course of the vendor's header; where that passes, of the one that the steps made."""

    def judged(message: FeedMessage, live_timestamp: int | None) -> list[GuardResult]:
        return [
            header_age(message, now=now, max_age_s=thresholds.header_age_s),
            header_ahead(message, now=now, max_ahead_s=thresholds.header_ahead_s),
            header_back(message, live_timestamp=live_timestamp, max_back_s=thresholds.header_back_s),
        ]

    of_raw = judged(raw, live.header_timestamp if live else None)
    if header_timestamp(made) is None:
        return of_raw
    of_made = judged(made, live.made_timestamp if live else None)
    return [
        replace(own, message=f"in the header that the steps made: {own.message}")
        if vendors.passed and not own.passed
        else vendors
        for vendors, own in zip(of_raw, of_made, strict=True)
    ]


def _counted(
    name: str,
    made: FeedMessage,
    raw: FeedMessage,
    sources: Collection[FeedMessage],
    live: LiveFeed | None,
    index: ScheduleIndex | None,
    thresholds: RealtimeThresholds,
    now: datetime,
) -> list[GuardResult]:
    fall = thresholds.entities_fall_percent
    if name in thresholds.may_be_empty:
        reason = f"{name} may be empty (may_be_empty)"
        return [
            not_asked(HAS_ENTITIES, "entities", None, reason),
            *([] if fall is None else [not_asked(FALL, "%", fall, reason)]),
        ]
    entities, live_entities = entity_count(made), live.entities if live else None
    trips_now = index.trips_running_at(now) if index else None
    # Cancellations that steps carry on or insert are no sign that the vendor's system works.
    came_in = entity_count(raw) + sum(map(entity_count, sources))
    has_some = has_entities(min(entities, came_in), live_entities=live_entities, trips_running=trips_now)
    if came_in < entities:
        has_some = replace(has_some, message=f"as the vendor sent it, {has_some.message}")
    results = [has_some]
    if fall is not None:
        live_at = live.header_timestamp if live else None
        own = header_timestamp(raw)
        results.append(
            does_not_lose_entities(
                entities,
                live_entities=live_entities,
                trips_then=index.trips_running_at(datetime.fromtimestamp(live_at, UTC)) if index and live_at else None,
                trips_now=trips_now,
                since_live_s=own - live_at if own and live_at else None,
                max_fall_percent=fall,
                held_s=thresholds.entities_fall_held_s,
                least_count=thresholds.least_count,
            )
        )
    return results


def _referred(
    made: FeedMessage, covering: ScheduleIndex | None, index: ScheduleIndex | None, thresholds: RealtimeThresholds
) -> list[GuardResult]:
    limits = (
        (TRIPS_KNOWN, thresholds.unknown_trips_percent, trip_ids_are_known),
        (STOPS_KNOWN, thresholds.unknown_stops_percent, stop_ids_are_known),
    )
    if covering is None:
        reason = "no schedule is published" if index is None else "the published schedule does not cover today"
        return [not_asked(guard, "%", limit, reason) for guard, limit, _ in limits if limit is not None]
    if all(limit is None for _, limit, _ in limits):
        return []
    found = references(made)
    return [
        judge(found, covering, max_percent=limit, least_count=thresholds.least_count)
        for _, limit, judge in limits
        if limit is not None
    ]
