"""Keeping what a realtime run has published for the archive's packs, once every feed of the run is out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.pack_format import PublishedSnapshot
from continuous_gtfs.artifacts.packs import hour_of, pack_key
from continuous_gtfs.artifacts.publication import Publication
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.defs.realtime_pictures import AGE_HISTORY_FACT
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.versions import FeedVersion

# Of no use in an archive that has every publication.
_NOT_KEPT = {AGE_HISTORY_FACT}
# A run that could not keep what it had published is over by then, retries included.
_RETRIED_FOR = timedelta(minutes=10)


def published_snapshot(publication: Publication, feed: str) -> PublishedSnapshot | None:
    """What to keep of a publication; None where nothing went out.

    What is live already is kept once more: that makes good for a run that died, or failed, before it had kept it.
    """
    manifest = publication.manifest
    version = FeedVersion.from_dict(manifest.facts["inputs"][feed])
    if publication.outcome == "superseded":
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
    """Writes one object to the archive, unless it is there or was packed long ago.

    A run for one feed keeps its unchanged sibling again, for hours on end. Once its hour is packed it is in the pack,
    or was published so lately that it may have come too late for it; then it is added when the hour is packed again.

    Raises:
        StoreError: The archive's store failed. What was published stays published.
    """
    store = open_store(artifacts.archive_url)
    version, now = snapshot.version, datetime.now(UTC)
    if hour_of(version.fetched_at) < hour_of(now) and now - snapshot.published_at > _RETRIED_FOR:
        pack = pack_key(version.environment, version.feed, hour_of(version.fetched_at))
        if store.stat(pack) is not None:
            return
    PublishedSnapshots(store).save(snapshot, body)
