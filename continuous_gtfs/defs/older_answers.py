"""An answer older than the version in hand: a replica that lags, or a vendor that was set back. Knows no Dagster.

Vendors serve one feed from several machines, and now and then one of them answers with the version before. Taken for a
new one it would push aside a version that waits for a run, be published by nobody, and teach a rhythm that the vendor
does not have. A vendor that was really set back stays back, and then the guard on the header is to say so.
"""

from __future__ import annotations

from continuous_gtfs.defs.cursor import FeedMemory
from continuous_gtfs.versions import FeedVersion

BELIEVED_AFTER = 5
"""So many answers in a row must be older to be the vendor's truth,"""
BELIEVED_AFTER_S = 60.0
"""and for so long: a replica that lags by less has caught up with the version in hand by then."""
# A header further ahead of the clock than this is a fault; what is older than it is most likely right.
_PLAUSIBLY_AHEAD_S = 30.0


def is_to_be_left_alone(memory: FeedMemory, version: FeedVersion, *, now: float) -> bool:
    """Whether what a realtime feed answered is older than the version in hand, and not yet the vendor's truth.

    Args:
        memory: Of the feed, as it was before this answer.
        version: What was answered.
        now: POSIX seconds.
    """
    if not is_older(version, memory.version):
        return False
    is_long = memory.older_in_row > 0 and now - memory.older_since >= BELIEVED_AFTER_S
    return not (is_long and memory.older_in_row + 1 >= BELIEVED_AFTER)


def is_older(version: FeedVersion, held: FeedVersion | None) -> bool:
    """Whether the header of ``version`` is older than that of ``held``.

    Never where either has no timestamp (a schedule has none), nor where that of ``held`` lay in the future.
    """
    if held is None or not version.header_timestamp or not held.header_timestamp:
        return False
    is_plausible = held.header_timestamp <= held.fetched_at.timestamp() + _PLAUSIBLY_AHEAD_S
    return is_plausible and version.header_timestamp < held.header_timestamp


def note_older(memory: FeedMemory, *, now: float) -> None:
    """An older answer was left alone."""
    # Never in the future: a clock that was set back would put the belief off for as long.
    memory.older_since = min(memory.older_since, now) if memory.older_in_row else now
    memory.older_in_row += 1
