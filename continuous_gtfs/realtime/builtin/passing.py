"""PassThrough: the step of an agency whose feeds go out as they came in."""

from __future__ import annotations

from dataclasses import dataclass

from continuous_gtfs.pipeline.step import Step, StepContext
from continuous_gtfs.realtime.feeds import RealtimeFeeds

_NO_FEEDS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PassThrough(Step[RealtimeFeeds]):
    """Changes nothing."""

    name: str = "PassThrough"
    files: frozenset[str] | None = _NO_FEEDS

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        context.log(f"{', '.join(feed.names) or 'no feed'}: passed through as fetched")
