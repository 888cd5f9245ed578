"""Which version a fetched body is. Also decides whether it is such a feed at all."""

from __future__ import annotations

import hashlib
from datetime import datetime

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.digest import content_digest
from continuous_gtfs.gtfs.zipped import FeedLimits
from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pims.outcomes import Body
from continuous_gtfs.realtime.messages import header_timestamp, parse_feed
from continuous_gtfs.versions import FeedVersion


def identify(source: FeedSource, answer: Body, fetched_at: datetime) -> FeedVersion:
    """The version that ``answer`` is.

    Raises:
        FeedStructureError: Not a zip with a GTFS Schedule feed in it, or one over the limits of its source.
        UnreadableMessageError: Not a FeedMessage.
    """
    body_digest = hashlib.sha256(answer.body).hexdigest()
    if source.kind is FeedKind.SCHEDULE:
        limits = FeedLimits(max_total_bytes=source.max_unzipped_bytes, max_members=source.max_members)
        try:
            digest = content_digest(answer.body, limits=limits)
        except FeedStructureError as error:
            raise FeedStructureError(f"{source.feed_id}: {error}") from error
        version_id, timestamp = digest[:16], None
    else:
        digest = body_digest
        timestamp = header_timestamp(parse_feed(answer.body, name=source.feed_id))
        # Without a timestamp it is a version all the same: the guard on the header says what is wrong with it.
        version_id = f"{timestamp or 0}-{digest[:12]}"
    return FeedVersion(
        environment=source.environment,
        feed=source.feed,
        version_id=version_id,
        content_digest=digest,
        body_digest=body_digest,
        body_bytes=len(answer.body),
        fetched_at=fetched_at,
        header_timestamp=timestamp,
        etag=answer.etag,
        last_modified=answer.last_modified,
    )
