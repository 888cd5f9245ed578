"""UpdateFeedHeader: what the header of every feed says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import Step, StepContext
from continuous_gtfs.realtime.feeds import RealtimeFeeds


@dataclass(frozen=True)
class UpdateFeedHeader(Step[RealtimeFeeds]):
    """Sets fields of the header of every feed.

    Attributes:
        version: ``gtfs_realtime_version``.
        timestamp: POSIX seconds, or ``"now"`` for the time of the run. A new timestamp makes old data look
            fresh to whatever looks at the header later.
    """

    version: str | None = None
    timestamp: int | Literal["now"] | None = None
    name: str = "UpdateFeedHeader"
    files: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.version is None and self.timestamp is None:
            raise StepDefinitionError("UpdateFeedHeader: says nothing to set; give version= or timestamp=")
        if self.version is not None and (not isinstance(self.version, str) or not self.version.strip()):
            raise StepDefinitionError(
                f"UpdateFeedHeader: version={self.version!r} is no text or blank, and no consumer could read the feed"
            )
        if self.timestamp in (None, "now"):
            return
        if not isinstance(self.timestamp, int) or isinstance(self.timestamp, bool) or self.timestamp <= 0:
            raise StepDefinitionError(f'UpdateFeedHeader: timestamp={self.timestamp!r} is no POSIX time, nor "now"')

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        timestamp = int(context.now.timestamp()) if self.timestamp == "now" else self.timestamp
        wanted = {"gtfs_realtime_version": self.version, "timestamp": timestamp}
        for feed_name in feed.names:
            header = feed.header(feed_name)
            changed = {
                field: getattr(header, field)
                for field, value in wanted.items()
                if value is not None and getattr(header, field) != value
            }
            if changed:
                edited = feed.edit(feed_name).header
                for field in changed:
                    setattr(edited, field, wanted[field])
                told = tuple(f"{field} {old} to {wanted[field]}" for field, old in changed.items())
                context.find(Finding("info", "header_updated", ", ".join(told), feed_name, len(told), told))
