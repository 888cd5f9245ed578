"""Every real schedule goes the whole way: reference steps, digest, validation, comparison with itself."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from continuous_gtfs.agencies.sound_transit.schedule import STEPS
from continuous_gtfs.gtfs.diff.feeds import diff_feeds
from continuous_gtfs.gtfs.digest import content_digest
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.validation import validate_feed
from continuous_gtfs.gtfs.zip_writing import write_zip
from continuous_gtfs.pipeline.running import run_steps
from continuous_gtfs_tests.gtfs.test_feed import REAL_FEEDS, REAL_FOLDERS
from continuous_gtfs_tests.real_data import real_data_path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def zipped(path: Path) -> bytes:
    if path.is_file():
        return path.read_bytes()
    return write_zip((file.name, file.read_bytes()) for file in sorted(path.iterdir()))


@pytest.mark.parametrize("name", [*REAL_FEEDS, *REAL_FOLDERS, "bench/hart.zip"])
def test_a_real_schedule_goes_through_every_part(name: str) -> None:
    data = zipped(real_data_path(name))
    feed = Feed.from_bytes(data)
    assert content_digest(feed.to_bytes()) == content_digest(data)
    assert diff_feeds(feed, Feed.from_bytes(data)).is_same
    after, results = run_steps(STEPS, feed, now=NOW)
    assert {result.status for result in results} == {"success"}
    made = after.to_bytes()
    assert (content_digest(made) == content_digest(data)) == (after.changed_since(feed) == frozenset())
    before_report = validate_feed(data, service_date=date(2026, 3, 1))
    assert before_report.validator_version == validate_feed(made, service_date=date(2026, 3, 1)).validator_version
