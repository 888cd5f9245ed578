"""Snapshots of a feed that nobody parses: bytes, the version they are, and what was published of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.pack_format import EntityColumns, PublishedSnapshot
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.versions import FeedVersion

HOUR = datetime(2026, 3, 1, 8, tzinfo=UTC)
NEXT_HOUR = HOUR + timedelta(hours=1)
FEED = "vehicle_positions"


def rows_of(body: bytes) -> list[dict[str, Any]] | None:
    """A row a word; None for what begins with a question mark."""
    return None if body.startswith(b"?") else [{"id": word} for word in body.decode().split()]


COLUMNS = EntityColumns({"id": "string"}, rows_of)


def version_of(
    body: bytes, fetched_at: datetime, *, environment: str = "production", made_at: datetime | None = None
) -> FeedVersion:
    """As a realtime feed's version is named; made three seconds before it was fetched unless said otherwise."""
    digest = hashlib.sha256(body).hexdigest()
    timestamp = int((made_at or fetched_at - timedelta(seconds=3)).timestamp())
    return FeedVersion(
        environment=environment,
        feed=FEED,
        version_id=f"{timestamp}-{digest[:12]}",
        content_digest=digest,
        body_digest=digest,
        body_bytes=len(body),
        fetched_at=fetched_at,
        header_timestamp=timestamp,
    )


def published_of(version: FeedVersion, body: bytes) -> PublishedSnapshot:
    digest = hashlib.sha256(body).hexdigest()
    return PublishedSnapshot(
        version=version,
        label=f"{version.version_id}-{digest[:12]}",
        published_at=version.fetched_at + timedelta(milliseconds=400),
        body_digest=digest,
        body_bytes=len(body),
        facts={"inputs": {FEED: version.to_dict()}, "run_id": "r1"},
    )


def bodies(count: int) -> Iterator[bytes]:
    """Each nearly the one before it."""
    for number in range(count):
        yield b" ".join(b"vehicle-%d-at-%d" % (vehicle, vehicle * 1000 + number) for vehicle in range(40))


def fill(store: Store, count: int, *, start: datetime = HOUR, every_s: float = 20) -> list[FeedVersion]:
    """An hour as the sensor and the runs leave it: each version, and what was published of it."""
    saved = []
    for number, body in enumerate(bodies(count)):
        version = Archive(store).save(version_of(body, start + timedelta(seconds=number * every_s)), body)
        made = b"made of " + body
        PublishedSnapshots(store).save(published_of(version, made), made)
        saved.append(version)
    return saved
