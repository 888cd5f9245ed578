"""Runs of both locations whose archive and publication are buckets of Cloud Storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, UrlMetadataValue

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.packs import pack_key
from continuous_gtfs.defs.maintenance import maintain
from continuous_gtfs.defs.maintenance_settings import Retention
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs_tests.artifacts.cloud import CloudServer, cloud_server
from continuous_gtfs_tests.artifacts.cloud_proxy import cloud_proxy
from continuous_gtfs_tests.defs.conftest import Bench, failures_of
from continuous_gtfs_tests.defs.snapshot_hours import LAST_HOUR, TU, fill_hour, partition
from continuous_gtfs_tests.defs.test_realtime_assets import location as realtime_location
from continuous_gtfs_tests.defs.test_realtime_assets import trip_updates, vehicles
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


def test_a_past_hour_is_packed_in_a_bucket_and_its_small_files_go(cloud: Cloud) -> None:
    feeds = {VP: vehicles, TU: trip_updates}
    versions = fill_hour(cloud.bench, feeds)
    for name, snapshot in feeds.items():
        # What the pointers name stays as a small file.
        cloud.bench.archive("production", name, snapshot(datetime.now(UTC)))
    location = realtime_location(cloud.bench)
    result = cloud.bench.run(location, names.archive_job_name("production"), partition_key=partition(LAST_HOUR))
    assert result.success, failures_of(result)
    store = open_store(cloud.bench.artifacts.archive_url)
    left = set(store.list(""))
    assert {pack_key("production", name, LAST_HOUR) for name in feeds} <= left
    assert not [key for key in left if key.startswith("publications/")]
    assert len(left) == 2 + 2 * 3
    archive = cloud.bench.artifacts.archive()
    for name, snapshot in feeds.items():
        second = versions[name][1]
        assert archive.find("production", name, second.version_id) == second
        assert archive.read(second) == snapshot(LAST_HOUR + timedelta(seconds=20))


def test_the_maintenance_removes_from_a_bucket_what_no_manifest_names_and_nothing_else(cloud: Cloud) -> None:
    at = datetime.now(UTC)
    assert cloud.publish_vehicles(at - timedelta(seconds=10)) == ""
    published = open_store(cloud.bench.artifacts.published_url)
    named = set(published.list(""))
    published.put_new("realtime/production/versions/vehicle_positions/left.pb", b"left", content_type="test")
    for hours in (0, 25):
        later = (at + timedelta(hours=hours)).timestamp()
        report = maintain(cloud.bench.instance, cloud.bench.artifacts, Retention(), now=later)
        assert report.failures == []
    assert set(published.list("")) == named
    assert cloud.publish_vehicles(at) == ""


def test_a_pair_of_feeds_is_read_and_published_without_asking_for_anything_twice(cloud: Cloud) -> None:
    with cloud_proxy(cloud.server) as proxy:
        for age_s in (20, 0):
            at = datetime.now(UTC) - timedelta(seconds=age_s)
            pair = {VP: vehicles(at), TU: trip_updates(at)}
            versions = {name: cloud.bench.archive("production", name, body, at) for name, body in pair.items()}
            tags = {names.version_tag(name): version.version_id for name, version in versions.items()}
            os.environ["STORAGE_EMULATOR_HOST"] = proxy.url
            proxy.forget()
            result = cloud.bench.run(realtime_location(cloud.bench), "realtime_production", tags=tags)
            os.environ["STORAGE_EMULATOR_HOST"] = cloud.server.url
            assert result.success, failures_of(result)
    # Each feed: its record and bytes, the manifest, and eight requests to publish and to keep it; and the schedule.
    reads = [request.key for request in proxy.requests if request.kind == "read"]
    assert len(reads) == len(set(reads)) == 2 * 3 + 1
    uploads = [request.key for request in proxy.requests if request.kind == "upload"]
    assert len(uploads) == len(set(uploads)) == 2 * (2 + 1 + 2 + 1)
    assert proxy.kinds().count("stat") == 2 * 2
