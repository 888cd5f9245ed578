"""The pictures on the page of a published realtime feed, and the ages behind one of them, carried by the manifest.

The manifest is read and written at each publication anyway, so the chart of six hours costs no query. Not here: how
they are drawn (``realtime.pictures``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from dagster import MarkdownMetadataValue, MetadataValue
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.realtime.age_history import AgeHistory
from continuous_gtfs.realtime.pictures import age_chart, vehicle_map
from continuous_gtfs.versions import FeedVersion

AGE_HISTORY_FACT = "age_history"


def age_history(live: Manifest | None) -> AgeHistory:
    """What a manifest knows of the ages at publication; empty for one that was written before it knew of them."""
    return AgeHistory.from_text(live.facts.get(AGE_HISTORY_FACT)) if live is not None else AgeHistory()


def grown_age_history(live: Manifest | None, version: FeedVersion, *, now: datetime) -> AgeHistory:
    """The history with the publication of a version that goes out now."""
    history = age_history(live)
    if version.header_timestamp is None:
        return history
    return history.with_publication(at=now, age_s=now.timestamp() - version.header_timestamp)


def pictures(message: FeedMessage, live: Manifest, *, now: datetime) -> Mapping[str, MarkdownMetadataValue]:
    """By name of the metadata: a chart of ages, and a map where the feed has vehicles; less than 1 kB each."""
    drawn = {"age_chart": age_chart(age_history(live), now=now)}
    if any(entity.HasField("vehicle") for entity in message.entity):
        drawn["vehicle_map"] = vehicle_map(message)
    return {name: MetadataValue.md(picture.markdown()) for name, picture in drawn.items()}
