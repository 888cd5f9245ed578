"""What must hold at the end of a chaos run is told where it does not, and nothing is told where it does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import DagsterInstance
from sqlalchemy import text

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.defs.external_assets import version_materialization
from continuous_gtfs.versions import FeedVersion
from continuous_gtfs_tests.chaos import invariants
from continuous_gtfs_tests.chaos.observer import EDITIONS


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(LocalStore(tmp_path))


def kept(archive: Archive) -> FeedVersion:
    body = b"1"
    digest = hashlib.sha256(body).hexdigest()
    version = FeedVersion(
        environment="qa",
        feed="trip_updates",
        version_id="1",
        content_digest=digest,
        body_digest=digest,
        body_bytes=len(body),
        fetched_at=datetime(2026, 3, 1, tzinfo=UTC),
        header_timestamp=1,
    )
    return archive.save(version, body)


def report(instance: DagsterInstance, version: FeedVersion) -> None:
    instance.report_runless_asset_event(version_materialization(version, is_partitioned=False))


def test_a_version_that_is_reported_once_is_nothing_to_tell(instance: DagsterInstance, archive: Archive) -> None:
    report(instance, kept(archive))
    assert list(invariants.archive_is_whole(archive, instance, EDITIONS)) == []


def test_a_version_that_is_reported_twice_is_told(instance: DagsterInstance, archive: Archive) -> None:
    version = kept(archive)
    report(instance, version)
    report(instance, version)
    assert list(invariants.archive_is_whole(archive, instance, EDITIONS)) == [
        "qa/trip_updates: 1 was reported 2 times as new"
    ]


def test_a_report_that_was_cut_in_two_is_rightly_made_again(instance: DagsterInstance, archive: Archive) -> None:
    version = kept(archive)
    report(instance, version)
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        connection.execute(text("DELETE FROM asset_event_tags"))
    report(instance, version)
    assert list(invariants.archive_is_whole(archive, instance, EDITIONS)) == []
    assert invariants.count_runs(instance, EDITIONS)["reports that were cut in two and made again"] == 1
