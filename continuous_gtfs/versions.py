"""FeedVersion: one state of one vendor feed, named by its content."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedVersion:
    """One state of one feed, as fetched from the vendor.

    ``version_id`` says *which content*; ``fetched_at`` says *when the vendor was last seen to switch to
    it*, and is what orders versions: a vendor that goes back to an older schedule gives a known
    ``version_id`` with a newer ``fetched_at``.

    Attributes:
        environment: ``production`` or ``qa``.
        feed: ``schedule``, ``vehicle_positions`` or ``trip_updates``.
        version_id: Schedule: the first 16 hex digits of the content digest. Realtime:
            ``<header timestamp>-<first 12 hex digits of the body's SHA-256>``.
        content_digest: SHA-256 (hex) over the canonical content; for realtime over the body.
        body_digest: SHA-256 (hex) of the bytes as fetched; the key of the raw archive.
        body_bytes: Length of the body in bytes.
        fetched_at: UTC.
        header_timestamp: POSIX seconds from the FeedHeader; None for a schedule.
        etag: As the vendor sent it.
        last_modified: As the vendor sent it.
    """

    environment: str
    feed: str
    version_id: str
    content_digest: str
    body_digest: str
    body_bytes: int
    fetched_at: datetime
    header_timestamp: int | None = None
    etag: str | None = None
    last_modified: str | None = None

    @property
    def feed_id(self) -> str:
        """``<environment>/<feed>``, as in the asset key ``pims/<environment>/<feed>``."""
        return f"{self.environment}/{self.feed}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"fetched_at": self.fetched_at.astimezone(UTC).isoformat()}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> FeedVersion:
        """What ``to_dict`` gave; what a newer release has added to it is ignored."""
        known = {name: value for name, value in fields.items() if name in cls.__dataclass_fields__}
        return cls(**(known | {"fetched_at": datetime.fromisoformat(fields["fetched_at"])}))

    def to_json(self) -> bytes:
        return json.dumps(self.to_dict(), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> FeedVersion:
        return cls.from_dict(json.loads(data))
