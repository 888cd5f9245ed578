"""Claims that a realtime feed must meet before it is published, each with its number and its threshold.

Pure: what to do about a failed one is the pipeline's business (``defs``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.realtime.messages import header_timestamp

_MILLISECONDS_FROM = 100_000_000_000
"""As seconds this is the year 5138; as milliseconds, 1973."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardResult:
    """One claim about one feed.

    Attributes:
        name: ``header_age`` or ``has_entities``.
        passed: Whether the feed may be published as far as this claim goes.
        value: What was measured; None where it could not be.
        threshold: What it was held against.
        message: One sentence for the reader of a failed run.
    """

    name: str
    passed: bool
    value: float | None
    threshold: float | None
    message: str


def header_age(message: FeedMessage, *, now: datetime, max_age_s: float) -> GuardResult:
    """Whether the header timestamp is at most ``max_age_s`` from ``now``, on either side.

    A timestamp in the future fails beyond the same limit: a feed frozen there would pass as fresh until the
    clock has caught up with it.
    """
    timestamp = header_timestamp(message)
    if timestamp is None:
        return GuardResult(
            name="header_age",
            passed=False,
            value=None,
            threshold=max_age_s,
            message="the header has no timestamp, so nobody can tell how old the feed is",
        )
    age_s = now.timestamp() - timestamp
    if timestamp >= _MILLISECONDS_FROM:
        told = f"header timestamp {timestamp} is no POSIX time in seconds (milliseconds?)"
    elif age_s < 0:
        told = f"the header timestamp is {-age_s:.0f} s in the future"
    else:
        told = f"the header timestamp is {age_s:.0f} s old"
    return GuardResult(
        name="header_age",
        passed=abs(age_s) <= max_age_s,
        value=round(age_s, 3),
        threshold=max_age_s,
        message=f"{told}; at most {max_age_s:g} s may be",
    )


def has_entities(message: FeedMessage, *, published_entities: int | None, trips_running: int | None) -> GuardResult:
    """Whether the feed has an entity, or has none for a good reason. Entities marked as deleted do not count.

    Args:
        published_entities: In what is live now; None where nothing is.
        trips_running: By the published schedule, now; None where there is no schedule to ask. At night, with 0
            running, an empty feed is the truth.
    """
    entities = sum(not entity.is_deleted for entity in message.entity)
    if trips_running is None:
        is_empty_fine = not published_entities
        reason = (
            f"no schedule says whether trips run, and the feed that is live has {published_entities or 'no'} entities"
        )
    else:
        is_empty_fine = trips_running == 0
        reason = f"by the published schedule {trips_running or 'no'} trips run now"
    return GuardResult(
        name="has_entities",
        passed=entities > 0 or is_empty_fine,
        value=entities,
        threshold=0 if is_empty_fine else 1,
        message=f"the feed has {entities or 'no'} entities; {reason}",
    )
