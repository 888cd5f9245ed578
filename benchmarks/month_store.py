"""What realtime updates and schedule versions leave in the stores, for the simulated month: written by the real code.

The feeds are those that the template's platform published, with header timestamps of the simulated hour. The stores
should lie in memory: a disk that has to be waited for at each write would make the month a real one.

Not a benchmark of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs import names
from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.packing import Packer
from continuous_gtfs.artifacts.publication import Publication, PublicationObject, Publisher
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.artifacts.transformed import TransformedFeeds
from continuous_gtfs.artifacts.unpacked_hours import spans_to_pack
from continuous_gtfs.defs.realtime_archive import ENTITIES, published_from
from continuous_gtfs.defs.realtime_keeping import published_snapshot
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.versions import FeedVersion

FEEDS = ("vehicle_positions", "trip_updates")
HOUR = timedelta(hours=1)
KEPT_REALTIME_VERSIONS = 30
KEPT_SCHEDULE_VERSIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of both stores together: what is kept for good and the rest, in bytes, and files and folders of the rest.

    Attributes:
        kept: Packs, and schedule versions with what was made of them.
        passing: Everything else: small files of hours that are not packed, published versions, sidecars, pointers.
        files: Of what is passing.
        folders: Those that hold nothing that is kept.
    """

    kept: int
    passing: int
    files: int
    folders: int


class Stores:
    """The stores of one environment."""

    def __init__(self, artifacts: Artifacts, environment: str) -> None:
        self._artifacts = artifacts
        self._environment = environment
        store = open_store(artifacts.archive_url)
        self._store = store
        self._archive = Archive(store)
        self._snapshots = PublishedSnapshots(store)
        self._transformed = TransformedFeeds(store)
        self._publisher = Publisher(open_store(artifacts.published_url))
        self._feeds = {feed: _Feed.live(artifacts, environment, feed) for feed in FEEDS}

    def updates(self, hour: datetime, count: int) -> None:
        """``count`` updates, evenly over the hour: each feed archived, published and kept, as a run does."""
        for number in range(count):
            at = hour + number * HOUR / count
            for name, feed in self._feeds.items():
                self._update(name, feed, at)

    def pack(self, hour: datetime) -> None:
        """As the schedule and its run do six minutes after the hour."""
        kept = published_from(self._artifacts, self._environment, FEEDS)
        spans = spans_to_pack(self._store, self._environment, FEEDS, last=hour, kept=kept)
        packer = Packer(self._store, ENTITIES)
        for first, last in spans:
            hours = [first + number * HOUR for number in range(int((last - first) / HOUR) + 1)]
            for feed in FEEDS:
                packer.pack(self._environment, feed, hours, kept={version for of, version in kept if of == feed})

    def schedule(self, at: datetime) -> None:
        """A new schedule version, transformed and published, with its reports."""
        name = names.schedule_publication(self._environment)
        manifest = self._publisher.current(name)
        assert manifest is not None
        live = FeedVersion.from_dict(manifest.facts["inputs"]["schedule"])
        # Another archive comment: other bytes, the same size.
        body = self._archive.read(live)[:-1] + bytes([at.day])
        digest = hashlib.sha256(body).hexdigest()
        version = replace(live, version_id=digest[:16], content_digest=digest, body_digest=digest, fetched_at=at)
        self._archive.save(replace(version, body_bytes=len(body)), body)
        record = self._transformed.load(self._environment, live.version_id)
        assert record is not None
        made, index = (
            self._transformed.read_bytes(record.feed_digest),
            self._transformed.read_bytes(record.index_digest),
        )
        made, index = made[:-1] + bytes([at.day]), index[:-1] + bytes([at.day])
        feed_digest, index_digest = self._transformed.save_bytes(made), self._transformed.save_bytes(index)
        reports = f"transformed/{self._environment}/{live.version_id}/"
        for key in list(self._store.list(reports)):
            self._transformed.save_report(
                self._environment,
                version.version_id,
                key.removeprefix(reports),
                self._store.read(key),
                content_type="text/html",
            )
        self._transformed.save(
            replace(record, version_id=version.version_id, feed_digest=feed_digest, index_digest=index_digest)
        )
        self._publisher.publish(
            name,
            [
                PublicationObject(extension=item.extension, data=data, content_type=item.content_type)
                for item, data in zip(manifest.objects, (made, index), strict=True)
            ],
            label=f"{version.version_id}-{feed_digest[:12]}",
            order=at.isoformat(timespec="microseconds"),
            manifest={**manifest.facts, "inputs": {"schedule": version.to_dict()}},
            now=at,
            keep_versions=KEPT_SCHEDULE_VERSIONS,
        )

    def size(self) -> Size:
        """Counted file by file, each by the blocks that it takes."""
        kept = passing = files = 0
        folders: set[Path] = set()
        of_kept: set[Path] = set()
        schedules = {version.body_digest for version in self._archive.unpacked(self._environment, "schedule")}
        for url in dict.fromkeys((self._artifacts.archive_url, self._artifacts.published_url)):
            store = open_store(url)
            assert isinstance(store, LocalStore)
            for path in store.root.rglob("*"):
                if path.is_dir():
                    folders.add(path)
                    continue
                taken = path.stat().st_blocks * 512
                if _is_for_good(path.relative_to(store.root).as_posix(), schedules):
                    kept += taken
                    of_kept.update(path.parents)
                else:
                    passing += taken
                    files += 1
        return Size(kept=kept, passing=passing, files=files, folders=len(folders - of_kept))

    def _update(self, name: str, feed: _Feed, at: datetime) -> None:
        feed.message.header.timestamp = int(at.timestamp())
        body = feed.message.SerializeToString()
        digest = hashlib.sha256(body).hexdigest()
        version = FeedVersion(
            environment=self._environment,
            feed=name,
            version_id=f"{int(at.timestamp())}-{digest[:12]}",
            content_digest=digest,
            body_digest=digest,
            body_bytes=len(body),
            fetched_at=at,
            header_timestamp=int(at.timestamp()),
        )
        self._archive.save(version, body)
        feed.published.header.timestamp = int(at.timestamp())
        made = feed.published.SerializeToString()
        publication: Publication = self._publisher.publish(
            names.realtime_publication(self._environment, name),
            [
                PublicationObject(extension="pb", data=made, content_type="application/x-protobuf"),
                PublicationObject(extension="json", data=feed.json + digest.encode(), content_type="application/json"),
            ],
            label=f"{version.version_id}-{digest[:12]}",
            order=[int(at.timestamp()), at.isoformat()],
            manifest={**feed.manifest.facts, "inputs": {**feed.manifest.facts["inputs"], name: version.to_dict()}},
            now=at,
            keep_versions=KEPT_REALTIME_VERSIONS,
        )
        snapshot = published_snapshot(publication, name)
        assert snapshot is not None
        self._snapshots.save(snapshot, made)


@dataclass(slots=True)
class _Feed:
    """What was live when the platform stopped."""

    manifest: Manifest
    message: FeedMessage
    published: FeedMessage
    json: bytes

    @classmethod
    def live(cls, artifacts: Artifacts, environment: str, feed: str) -> _Feed:
        manifest = artifacts.publisher().current(names.realtime_publication(environment, feed))
        assert manifest is not None
        made = {item.extension: artifacts.read_published(item) for item in manifest.objects}
        fetched = FeedVersion.from_dict(manifest.facts["inputs"][feed])
        message, published = FeedMessage(), FeedMessage()
        message.ParseFromString(artifacts.archive().read(fetched))
        published.ParseFromString(made["pb"])
        return cls(manifest, message, published, made["json"])


def _is_for_good(path: str, schedules: set[str]) -> bool:
    parts = path.removeprefix(".metadata/objects/").split("/")
    digest = parts[-1].removeprefix(".").removesuffix(".json")
    if parts[0] in ("transformed", "schedule") or parts[:2] == ["archive", "packs"]:
        return True
    return digest in schedules or (parts[0] == "versions" and "schedule" in parts)


def write_logs(base: Path, run_ids: Iterable[str]) -> None:
    """What a run prints: a folder, and in it three files for its step."""
    for run_id in run_ids:
        folder = base / run_id / "compute_logs"
        folder.mkdir(parents=True)
        for ending in ("out", "err", "complete"):
            (folder / f"step.{ending}").write_text("a line\n" if ending == "err" else "")
