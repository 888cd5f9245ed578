"""Whether a feed answers and whether it moves: what its two checks are to be told. Knows no Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from continuous_gtfs.defs.cursor import FeedMemory
from continuous_gtfs.names import VENDOR_ANSWERS_CHECK, VENDOR_FEED_MOVES_CHECK
from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.versions import FeedVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedHealth:
    """A feed's check has another result than it was last reported with.

    Attributes:
        check: ``vendor_answers`` or ``vendor_feed_moves``.
        is_failing: The feed has begun to fail; else it answered or moved for the first time, or has recovered.
    """

    feed: str
    check: str = VENDOR_ANSWERS_CHECK
    is_failing: bool
    message: str


def note_failure(
    source: FeedSource, memory: FeedMemory, *, kind: str, reason: str, is_permanent: bool, failing_after: int
) -> list[FeedHealth]:
    """A fetch could not tell."""
    memory.count(f"could_not_tell:{kind}")
    memory.failures_in_row += 1
    memory.failure, memory.failure_is_permanent = f"{kind}: {reason}", is_permanent
    is_failing = is_permanent or memory.failures_in_row >= failing_after
    if not is_failing or (memory.reported_failing and memory.reported_kind == kind):
        return []
    memory.reported_failing, memory.reported_kind = True, kind
    return [FeedHealth(feed=source.feed, is_failing=True, message=memory.failure)]


def note_answer(source: FeedSource, memory: FeedMemory, *, now: float) -> list[FeedHealth]:
    """A fetch could tell, and ``memory.version`` is the newest version since; ``now`` in POSIX seconds."""
    memory.failures_in_row, memory.failure, memory.failure_is_permanent = 0, None, False
    told = []
    if memory.reported_failing is not False:
        message = "the vendor answers again" if memory.reported_failing else "the vendor answers"
        memory.reported_failing, memory.reported_kind = False, None
        told.append(FeedHealth(feed=source.feed, is_failing=False, message=message))
    if source.kind is FeedKind.REALTIME and memory.version is not None:
        told += _note_movement(source, memory, memory.version, now)
    return told


def stamp_of(version: FeedVersion) -> str:
    """What a feed moves by: its header timestamp, or the version where the header has none."""
    return str(version.header_timestamp) if version.header_timestamp else version.version_id


def frozen_after_s(source: FeedSource) -> float:
    """For how long a feed must have stood still to be called frozen: what the answers take at the fixed cadence."""
    return source.frozen_after_polls * source.poll_every_s


def frozen_message(header_timestamp: int | None, stood_for_s: float, answers: int) -> str:
    if header_timestamp is None:
        stands = "the same bytes, without a header timestamp,"
    else:
        moment = _utc(header_timestamp)
        stands = f"the same header timestamp {header_timestamp}{f' ({moment})' if moment else ''}"
    return f"frozen at the vendor: {stands} for {stood_for_s:.0f} s in {answers} answers"


def _note_movement(source: FeedSource, memory: FeedMemory, version: FeedVersion, now: float) -> list[FeedHealth]:
    stamp = stamp_of(version)
    if memory.moved_to != stamp:
        is_first = memory.moved_to is None
        memory.moved_to, memory.moved_at, memory.unmoved = stamp, now, 0
        if is_first or memory.reported_frozen is False:
            return []
        message = "the vendor's feed moves again" if memory.reported_frozen else "the vendor's feed moves"
        memory.reported_frozen = False
        return [FeedHealth(feed=source.feed, check=VENDOR_FEED_MOVES_CHECK, is_failing=False, message=message)]
    memory.unmoved += 1
    # Never in the future: a clock that was set back would make every age negative.
    memory.moved_at = min(memory.moved_at, now)
    stood_for_s = now - memory.moved_at
    if memory.unmoved < source.frozen_after_polls or stood_for_s < frozen_after_s(source) or memory.reported_frozen:
        return []
    memory.reported_frozen = True
    message = frozen_message(version.header_timestamp or None, stood_for_s, memory.unmoved)
    return [FeedHealth(feed=source.feed, check=VENDOR_FEED_MOVES_CHECK, is_failing=True, message=message)]


def _utc(header_timestamp: int) -> str:
    try:
        return datetime.fromtimestamp(header_timestamp, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
