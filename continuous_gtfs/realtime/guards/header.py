"""The guards that look at the header alone: how old it is, on which clock, whether it goes on, what it announces."""

from __future__ import annotations

from datetime import datetime

from google.transit.gtfs_realtime_pb2 import FeedHeader, FeedMessage

from continuous_gtfs.realtime.guards.result import GuardResult, not_asked
from continuous_gtfs.realtime.messages import header_timestamp

FULL_DATASET = "is_full_dataset"
AGE = "header_age_is_within_limit"
AHEAD = "header_is_not_in_the_future"
BACK = "header_does_not_go_back"

# As seconds, 100,000,000,000 is the year 5138; as milliseconds, 1973. Likewise for the others.
_TOO_FINE = ((10**17, "nanoseconds"), (10**14, "microseconds"), (10**11, "milliseconds"))


def is_full_dataset(message: FeedMessage) -> GuardResult:
    """Whether the feed is whole. What is missing in a DIFFERENTIAL one has not changed; a consumer that gets it at a
    stable URL takes it for gone. The spec leaves the behaviour of DIFFERENTIAL open (reference.md, FeedHeader).
    """
    is_whole = message.header.incrementality == FeedHeader.FULL_DATASET
    return GuardResult(
        guard=FULL_DATASET,
        passed=is_whole,
        value=message.header.incrementality,
        threshold=FeedHeader.FULL_DATASET,
        unit="incrementality",
        message="the feed is a FULL_DATASET"
        if is_whole
        else (
            "header.incrementality is DIFFERENTIAL: the feed says only what has changed, and consumers would take the "
            "rest for gone; ask the vendor for FULL_DATASET"
        ),
    )


def header_age(message: FeedMessage, *, now: datetime, max_age_s: float) -> GuardResult:
    """Whether the header timestamp is at most ``max_age_s`` old; it must be there, in seconds.

    A timestamp in the future passes here, see ``header_ahead``.
    """
    timestamp = header_timestamp(message)
    unit = _finer_unit(timestamp)
    if timestamp is None:
        age_s, told = None, "the header has no timestamp, so nobody can tell how old the feed is"
    elif unit:
        age_s, told = None, f"the header timestamp {timestamp} is in {unit}; the spec wants POSIX seconds"
    else:
        age_s = round(now.timestamp() - timestamp, 3)
        told = f"the header timestamp is {max(0, age_s):.0f} s old; at most {max_age_s:g} s may be"
    return GuardResult(
        guard=AGE,
        passed=age_s is not None and age_s <= max_age_s,
        value=age_s,
        threshold=max_age_s,
        unit="s",
        message=told,
    )


def header_ahead(message: FeedMessage, *, now: datetime, max_ahead_s: float) -> GuardResult:
    """Whether the header timestamp is at most ``max_ahead_s`` in the future.

    A feed frozen in the future would pass as fresh until the clock has caught up with it.
    """
    timestamp = header_timestamp(message)
    if timestamp is None or _finer_unit(timestamp):
        return not_asked(AHEAD, "s", max_ahead_s, f"see {AGE}")
    ahead_s = round(timestamp - now.timestamp(), 3)
    return GuardResult(
        guard=AHEAD,
        passed=ahead_s <= max_ahead_s,
        value=ahead_s,
        threshold=max_ahead_s,
        unit="s",
        message=f"the header timestamp is {ahead_s:.0f} s in the future; at most {max_ahead_s:g} s may be"
        if ahead_s > 0
        else "the header timestamp is not in the future",
    )


def header_back(message: FeedMessage, *, live_timestamp: int | None, max_back_s: float) -> GuardResult:
    """Whether time goes on from what is live. For a feed that was fetched later than what is live.

    Args:
        live_timestamp: Header of what is live, POSIX seconds; None where nothing is, or it had none.
        max_back_s: What is older by no more passes. Published it is not: a reader's clock never goes back.
    """
    timestamp = header_timestamp(message)
    if timestamp is None or live_timestamp is None:
        reason = f"see {AGE}" if timestamp is None else "nothing is published yet"
        return not_asked(BACK, "s", max_back_s, reason)
    back_s = max(0, live_timestamp - timestamp)
    return GuardResult(
        guard=BACK,
        passed=back_s <= max_back_s,
        value=back_s,
        threshold=max_back_s,
        unit="s",
        message=(
            f"the feed has gone back in time: the header timestamp {timestamp} is {back_s} s older than the one that "
            f"is live, and it was fetched later; at most {max_back_s:g} s may be"
        )
        if back_s
        else "the header is no older than the one that is live",
    )


def _finer_unit(timestamp: int | None) -> str | None:
    """What a timestamp that cannot be seconds is in; None for seconds."""
    return next((unit for start, unit in _TOO_FINE if timestamp is not None and timestamp >= start), None)
