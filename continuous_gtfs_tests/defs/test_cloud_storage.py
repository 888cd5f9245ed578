"""Runs of both locations whose archive and publication are buckets of Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, UrlMetadataValue

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs_tests.artifacts.cloud import CloudServer, cloud_server
from continuous_gtfs_tests.defs.conftest import Bench, failures_of
from continuous_gtfs_tests.defs.test_realtime_assets import location as realtime_location
from continuous_gtfs_tests.defs.test_realtime_assets import vehicles
from continuous_gtfs_tests.defs.test_schedule_assets import NAME as SCHEDULE
from continuous_gtfs_tests.defs.test_schedule_assets import feed
from continuous_gtfs_tests.defs.test_schedule_assets import location as schedule_location

VP = "vehicle_positions"
REALTIME = f"realtime/production/{VP}"


@pytest.fixture(scope="module")
def server() -> Iterator[CloudServer]:
    with cloud_server() as running:
        yield running


@dataclass
class Cloud:
    """The two buckets, their server, and a bench whose stores they are."""

    server: CloudServer
    archive: str
    published: str
    bench: Bench

    def publish_vehicles(self, at: datetime) -> str:
        """Archive a feed, ask for its run; what the failed steps say, empty after success."""
        version = self.bench.archive("production", VP, vehicles(at), at)
        return self.run_for(version.version_id)

    def run_for(self, version_id: str) -> str:
        tags = {names.version_tag(VP): version_id}
        result = self.bench.run(realtime_location(self.bench), "realtime_production", tags=tags)
        told = failures_of(result)
        assert result.success or told, "a failed run says nothing"
        return "" if result.success else told


@pytest.fixture
def cloud(server: CloudServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    archive, published = server.make_bucket(), server.make_bucket()
    artifacts = Artifacts(archive_url=f"gs://{archive}/kept", published_url=f"gs://{published}")
    with DagsterInstance.ephemeral() as instance:
        yield Cloud(server, archive, published, Bench(load_agency(DEFAULT_AGENCY), artifacts, instance, tmp_path))


def test_a_realtime_run_publishes_to_a_bucket_with_the_headers_that_readers_need(cloud: Cloud) -> None:
    assert cloud.publish_vehicles(datetime.now(UTC)) == ""
    manifest = cloud.bench.live(REALTIME)
    assert manifest is not None
    for extension, content_type in (("pb", "application/x-protobuf"), ("json", "application/json")):
        found = cloud.server.describe(cloud.published, f"{REALTIME}.{extension}")
        assert found["cacheControl"] == "public, max-age=1"
        assert found["contentType"] == content_type
        assert not found.get("contentEncoding")
    assert cloud.server.describe(cloud.published, f"{REALTIME}.manifest.json")["cacheControl"] == "no-cache"
    for published in manifest.objects:
        assert "immutable" in cloud.server.describe(cloud.published, published.version_path)["cacheControl"]


def test_a_schedule_run_publishes_to_a_bucket_what_it_read_from_another(cloud: Cloud) -> None:
    version = cloud.bench.archive("production", "schedule", feed())
    result = cloud.bench.run(
        schedule_location(cloud.bench, []), "schedule_production", partition_key=version.version_id
    )
    assert result.success, failures_of(result)
    manifest = cloud.bench.live(SCHEDULE)
    assert manifest is not None
    assert manifest.facts["inputs"]["schedule"]["version_id"] == version.version_id
    assert cloud.server.describe(cloud.published, f"{SCHEDULE}.zip")["contentType"] == "application/zip"


def test_a_run_without_its_archive_fails_by_name_and_the_last_good_feed_stays(cloud: Cloud) -> None:
    at = datetime.now(UTC)
    assert cloud.publish_vehicles(at - timedelta(seconds=10)) == ""
    before = cloud.server.describe(cloud.published, f"{REALTIME}.pb")
    later = cloud.bench.archive("production", VP, vehicles(at, count=4), at)
    cloud.server.remove_bucket(cloud.archive)
    assert f"there is no bucket '{cloud.archive}'" in cloud.run_for(later.version_id)
    assert cloud.server.describe(cloud.published, f"{REALTIME}.pb")["generation"] == before["generation"]


def test_a_run_without_the_published_bucket_fails_by_name(cloud: Cloud) -> None:
    cloud.server.remove_bucket(cloud.published)
    assert f"there is no bucket '{cloud.published}'" in cloud.publish_vehicles(datetime.now(UTC))


def test_a_link_into_a_bucket_is_one_that_a_browser_opens() -> None:
    link = Artifacts(archive_url="gs://kept/agency/", published_url="gs://read").link("reports/a b.html")
    assert isinstance(link, UrlMetadataValue)
    assert link.url == "https://storage.googleapis.com/kept/agency/reports/a%20b.html"
