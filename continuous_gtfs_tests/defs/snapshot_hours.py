"""Hours of realtime feeds in the past, archived and published as sensor and runs would have done it then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.pack_format import PublishedSnapshot
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.defs import keys
from continuous_gtfs.versions import FeedVersion
from continuous_gtfs_tests.defs.conftest import Bench

VP, TU = "vehicle_positions", "trip_updates"
LAST_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
PUBLISHED_AFTER = timedelta(milliseconds=300)

Snapshot = Callable[[datetime], bytes]


def partition(hour: datetime) -> str:
    return f"{hour:{keys.HOUR_PARTITION}}"


def as_fetched(body: bytes) -> bytes:
    return body


def fill_hour(
    bench: Bench,
    feeds: dict[str, Snapshot],
    *,
    hour: datetime = LAST_HOUR,
    count: int = 3,
    every_s: float = 20,
    made: Callable[[bytes], bytes] = as_fetched,
    schedule: str = "none published",
) -> dict[str, list[FeedVersion]]:
    """Pairs of versions of ``feeds``, each published as ``made`` says.

    Args:
        schedule: Label of the published schedule then.
    """
    saved: dict[str, list[FeedVersion]] = {feed: [] for feed in feeds}
    for number in range(count):
        at = hour + timedelta(seconds=1 + number * every_s)
        bodies = {feed: snapshot(at - timedelta(seconds=1)) for feed, snapshot in feeds.items()}
        versions = {feed: bench.archive("production", feed, body, at) for feed, body in bodies.items()}
        for feed, version in versions.items():
            saved[feed].append(version)
            keep_published(bench, feed, versions, made(bodies[feed]), schedule)
    return saved


def keep_published(
    bench: Bench, feed: str, inputs: dict[str, FeedVersion], body: bytes, schedule: str = "none published"
) -> PublishedSnapshot:
    """As a run keeps what it has published."""
    version = inputs[feed]
    digest = hashlib.sha256(body).hexdigest()
    snapshot = PublishedSnapshot(
        version=version,
        label=f"{version.version_id}-{digest[:12]}",
        published_at=version.fetched_at + PUBLISHED_AFTER,
        body_digest=digest,
        body_bytes=len(body),
        facts={
            "inputs": {name: one.to_dict() for name, one in inputs.items()},
            "schedule": schedule,
            "steps_at": (version.fetched_at + PUBLISHED_AFTER / 2).isoformat(),
            "run_id": f"run of {version.version_id}",
        },
    )
    PublishedSnapshots(open_store(bench.artifacts.archive_url)).save(snapshot, body)
    return snapshot


def edited(body: bytes, edit: Callable[[FeedMessage], None]) -> bytes:
    """The message with a change."""
    message = FeedMessage.FromString(body)
    edit(message)
    return message.SerializeToString(deterministic=True)
