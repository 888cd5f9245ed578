"""What realtime reads of the schedule pipeline: the index published beside the feed. No table, no pandas."""

from __future__ import annotations

from dataclasses import dataclass

from continuous_gtfs import names
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.errors import ContinuousGtfsError
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex

NONE_PUBLISHED = "none published"
INDEX_EXTENSION = "index"


@dataclass(frozen=True, slots=True)
class PublishedSchedule:
    """The schedule that is live, as far as realtime needs it.

    Attributes:
        label: Of the publication; or in words, why there is no index.
        index: None where none is published or it cannot be read: a bad schedule must not stop realtime.
    """

    label: str
    index: ScheduleIndex | None


def read_published_schedule(artifacts: Artifacts, environment: str) -> PublishedSchedule:
    """The live schedule's index, if there is one that can be read."""
    store = open_store(artifacts.published_url)
    try:
        manifest = Publisher(store).current(names.schedule_publication(environment))
        if manifest is None:
            return PublishedSchedule(NONE_PUBLISHED, None)
        paths = [item.version_path for item in manifest.objects if item.extension == INDEX_EXTENSION]
        if not paths:
            return PublishedSchedule(f"{manifest.label} has no index of this form: publish the schedule again", None)
        return PublishedSchedule(manifest.label, ScheduleIndex.from_bytes(store.read(paths[0])))
    except ContinuousGtfsError as error:
        return PublishedSchedule(f"unreadable: {error}", None)
