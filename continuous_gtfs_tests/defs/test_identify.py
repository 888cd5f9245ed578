from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from continuous_gtfs.defs.identify import identify
from continuous_gtfs.errors import ConfigurationError, FeedStructureError
from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pims.outcomes import Body
from continuous_gtfs_tests.builders import small_feed

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SCHEDULE = FeedSource(
    environment="production",
    feed="schedule",
    kind=FeedKind.SCHEDULE,
    url="https://pims.example.org/schedule.zip",
    poll_every_s=10,
    timeout_s=10,
    max_bytes=10_000_000,
)


def body(data: bytes) -> Body:
    return Body(body=data, etag='"1"', last_modified=None)


def test_a_schedule_is_the_version_of_its_content() -> None:
    version = identify(SCHEDULE, body(small_feed()), NOW)
    assert version.version_id == version.content_digest[:16]
    assert identify(SCHEDULE, body(small_feed(feed_version="2")), NOW).version_id != version.version_id


def test_a_schedule_that_unzips_to_more_than_its_source_allows_is_refused_whatever_its_ratio() -> None:
    data = small_feed(replaced={"notes.txt": "0" * 3_000_000})
    assert len(data) < 20_000
    assert identify(SCHEDULE, body(data), NOW)
    with pytest.raises(FeedStructureError, match=r"production/schedule: the feed is 3,\d{3},\d{3} bytes unzipped"):
        identify(replace(SCHEDULE, max_unzipped_bytes=2_000_000), body(data), NOW)
    with pytest.raises(FeedStructureError, match="production/schedule: the zip has 9 members; the limit is 8"):
        identify(replace(SCHEDULE, max_members=8), body(data), NOW)


def test_a_limit_of_nothing_is_refused_where_it_is_declared() -> None:
    with pytest.raises(ConfigurationError, match="max_members is 0"):
        replace(SCHEDULE, max_members=0)
