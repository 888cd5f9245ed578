"""Keeping what a realtime run has published for the archive's packs, once every feed of the run is out."""

from __future__ import annotations

from datetime import datetime

from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.pack_format import PublishedSnapshot
from continuous_gtfs.artifacts.packs import hour_of
from continuous_gtfs.artifacts.publication import Publication
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.defs.realtime_pictures import AGE_HISTORY_FACT
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.versions import FeedVersion

# Of no use in an archive that has every publication.
_NOT_KEPT = {AGE_HISTORY_FACT}


def published_snapshot(publication: Publication, feed: str, *, now: datetime) -> PublishedSnapshot | None:
    """What to keep of a publication; None where nothing went out, or what is live has long been kept.

    A run for one feed publishes its unchanged sibling again, which is kept once more only while its hour cannot have
    been packed: then it is one look, and makes good for a run that died before it kept it.
    """
    manifest = publication.manifest
    version = FeedVersion.from_dict(manifest.facts["inputs"][feed])
    is_of_this_hour = hour_of(version.fetched_at) == hour_of(now)
    if publication.outcome == "superseded" or (publication.outcome == "unchanged" and not is_of_this_hour):
        return None
    published = next(item for item in manifest.objects if item.extension == "pb")
    return PublishedSnapshot(
        version=version,
        label=manifest.label,
        published_at=manifest.published_at,
        body_digest=published.sha256,
        body_bytes=published.bytes,
        facts={name: fact for name, fact in manifest.facts.items() if name not in _NOT_KEPT},
    )


def keep(artifacts: Artifacts, snapshot: PublishedSnapshot, body: bytes) -> None:
    """Writes one object to the archive.

    Raises:
        StoreError: The archive's store failed. What was published stays published.
    """
    PublishedSnapshots(open_store(artifacts.archive_url)).save(snapshot, body)
