"""What a sampled validation reads: what is live of the realtime feeds, and the schedule as the validator read it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from continuous_gtfs import names
from continuous_gtfs.artifacts.manifest import Manifest, PublishedObject
from continuous_gtfs.artifacts.store import ObjectNotFoundError
from continuous_gtfs.artifacts.validations import Validations
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.realtime.validation import PreparedSchedule, prepare_schedule, validator_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run validates.

    Attributes:
        live: What is live, by feed.
        schedule: What is live of the schedule.
        at: When the newest of the feeds went out: a sample taken later says the same.
    """

    live: Mapping[str, Manifest]
    schedule: Manifest
    at: datetime

    @property
    def labels(self) -> dict[str, str]:
        """What was judged, in words that differ when any of it does."""
        return {"schedule": self.schedule.label} | {feed: manifest.label for feed, manifest in self.live.items()}


def take_sample(artifacts: Artifacts, environment: str, feeds: Sequence[str]) -> Sample | str:
    """What is live; or in words, why there is nothing to validate."""
    publisher = artifacts.publisher()
    schedule = publisher.current(names.schedule_publication(environment))
    if schedule is None:
        return f"no schedule of {environment} is published to validate realtime feeds against"
    found = {feed: publisher.current(names.realtime_publication(environment, feed)) for feed in feeds}
    live = {feed: manifest for feed, manifest in found.items() if manifest is not None}
    if not live:
        return f"no realtime feed of {environment} is published yet"
    return Sample(live=live, schedule=schedule, at=max(manifest.published_at for manifest in live.values()))


def prepared_schedule(artifacts: Artifacts, store: Validations, live: Manifest) -> tuple[PreparedSchedule, str]:
    """The schedule as the validator reads it, read by it once a version, and what had to be done for it."""
    feed = _object(live.objects, "zip")
    name = f"{feed.sha256[:16]}-{validator_version().replace(' ', '-')}"
    kept = store.prepared(name)
    if kept is not None:
        try:
            return PreparedSchedule.from_bytes(kept), "kept from an earlier sample"
        except FeedStructureError as error:
            why = f"prepared anew: what was kept is {error}"
    else:
        why = "prepared for this version"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "gtfs.zip")
        path.write_bytes(artifacts.read_published(feed))
        schedule = prepare_schedule(path)
    store.save_prepared(name, schedule.to_bytes())
    return schedule, why


def messages_of(artifacts: Artifacts, live: Manifest) -> list[bytes]:
    """What is live, after what was live before it where that is still there."""
    messages = []
    for release in live.previous[:1]:
        try:
            messages.append(artifacts.read_published(_object(release.objects, "pb")))
        except ObjectNotFoundError:
            continue
    return [*messages, artifacts.read_published(_object(live.objects, "pb"))]


def _object(objects: Sequence[PublishedObject], extension: str) -> PublishedObject:
    return next(item for item in objects if item.extension == extension)
