"""What realtime reads of the schedule pipeline: the index published beside the feed. No table, no pandas."""

from __future__ import annotations

from dataclasses import dataclass

from continuous_gtfs import names
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex

INDEX_EXTENSION = "index.json.gz"


@dataclass(frozen=True, slots=True)
class PublishedSchedule:
    """The schedule that is live, as far as realtime needs it."""

    label: str
    index: ScheduleIndex


def read_published_schedule(artifacts: Artifacts, environment: str) -> PublishedSchedule | None:
    """The live schedule's index; None before the first schedule is published."""
    store = open_store(artifacts.published_url)
    manifest = Publisher(store).current(names.schedule_publication(environment))
    if manifest is None:
        return None
    path = next(item.version_path for item in manifest.objects if item.extension == INDEX_EXTENSION)
    return PublishedSchedule(manifest.label, ScheduleIndex.from_bytes(store.read(path)))
