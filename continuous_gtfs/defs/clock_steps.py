"""A clock that is set back must not put a version before the one that came before it. Knows no Dagster."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from continuous_gtfs.versions import FeedVersion

SET_BACK_AT_MOST = timedelta(days=1)
"""A clock that was further ahead has dated a version so wrongly that a person has to say what is right."""
_NEXT = timedelta(microseconds=1)


def dated_after(version: FeedVersion, held: FeedVersion | None) -> FeedVersion:
    """The version as just fetched, with a ``fetched_at`` that is after that of the version in hand.

    What is published goes by these times. Were a schedule dated an hour ahead, since the clock was, no later one would
    replace it for an hour, and the ones of that hour never, for each is asked for once.
    """
    if held is None or held.version_id == version.version_id:
        return version
    if not version.fetched_at <= held.fetched_at <= version.fetched_at + SET_BACK_AT_MOST:
        return version
    return replace(version, fetched_at=held.fetched_at + _NEXT)
