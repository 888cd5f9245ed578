from __future__ import annotations

import gzip
import hashlib
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from continuous_gtfs.artifacts.gcs import GcsStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.errors import ConfigurationError, StoreError
from continuous_gtfs_tests.artifacts.cloud import CloudServer
from continuous_gtfs_tests.artifacts.publishing import assert_live, assert_whole, publish_numbered
from continuous_gtfs_tests.artifacts.store_contract import TEXT, StoreContract


class TestGcsStore(StoreContract):
    @pytest.fixture
    def store(self, cloud: CloudServer) -> Store:
        return GcsStore(cloud.make_bucket())


class TestGcsStoreBelowAPrefix(StoreContract):
    @pytest.fixture
    def store(self, cloud: CloudServer) -> Store:
        return GcsStore(cloud.make_bucket(), "agency/archive")


def test_an_object_carries_what_servers_and_lifecycle_rules_ask_for(cloud: CloudServer) -> None:
    bucket = cloud.make_bucket()
    GcsStore(bucket, "feeds").put_new("a.pb", b"one", content_type="test/one", cache_control="public, max-age=1")
    found = cloud.describe(bucket, "feeds/a.pb")
    assert (found["contentType"], found["cacheControl"]) == ("test/one", "public, max-age=1")
    assert found["customTime"]
    assert found["metadata"]["sha256"] == hashlib.sha256(b"one").hexdigest()
    assert not found.get("contentEncoding")


def test_a_large_object_goes_up_in_pieces_and_comes_back_whole(cloud: CloudServer) -> None:
    store = GcsStore(cloud.make_bucket())
    large = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(600_000))
    first = store.replace("a.zip", large, if_generation=None, content_type=TEXT, cache_control="max-age=5")
    assert store.read("a.zip") == large
    assert store.stat("a.zip") == first


def test_bytes_that_are_a_gzip_are_not_unpacked(cloud: CloudServer) -> None:
    store = GcsStore(cloud.make_bucket())
    packed = gzip.compress(b"one")
    store.put_new("a.gz", packed, content_type="application/gzip")
    assert store.read("a.gz") == packed


def test_an_object_that_a_person_put_there_is_digested(cloud: CloudServer) -> None:
    bucket = cloud.make_bucket()
    request = urllib.request.Request(
        f"{cloud.url}/upload/storage/v1/b/{bucket}/o?uploadType=media&name=a.txt",
        data=b"by hand",
        headers={"Content-Type": "text/plain"},
    )
    urllib.request.urlopen(request, timeout=30).close()
    info = GcsStore(bucket).stat("a.txt")
    assert info is not None
    assert (info.size, info.sha256) == (7, hashlib.sha256(b"by hand").hexdigest())
    GcsStore(bucket).replace("a.txt", b"two", if_generation=info.generation, content_type=TEXT)
    assert GcsStore(bucket).read("a.txt") == b"two"


def test_a_missing_bucket_is_an_error_of_every_method_and_no_empty_store(cloud: CloudServer) -> None:
    bucket = cloud.make_bucket()
    store = GcsStore(bucket)
    store.put_new("a", b"one", content_type=TEXT)
    cloud.remove_bucket(bucket)
    for attempt in (
        lambda: store.put_new("a", b"one", content_type=TEXT),
        lambda: store.replace("a", b"one", if_generation=None, content_type=TEXT),
        lambda: store.read("a"),
        lambda: store.stat("a"),
        lambda: store.delete("a"),
        lambda: list(store.list("")),
    ):
        with pytest.raises(StoreError, match=f"there is no bucket '{bucket}'") as refusal:
            attempt()
        assert type(refusal.value) is StoreError


def test_a_server_that_does_not_answer_is_given_up_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    with pytest.raises(StoreError, match=r"cannot read gs://some-bucket/a: .*run again") as refusal:
        GcsStore("some-bucket", give_up_after_s=0.1).read("a")
    assert refusal.value.can_rerun_help


def test_no_credentials_are_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nonexistent")
    with pytest.raises(ConfigurationError, match="no credentials for Cloud Storage"):
        GcsStore("some-bucket").stat("a")


def test_of_racing_publications_the_newest_stays(cloud: CloudServer) -> None:
    store = GcsStore(cloud.make_bucket())
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: publish_numbered(Publisher(store), "feeds/vp", number), [3, 1, 4, 2, 6, 5]))
    assert_live(store, "feeds/vp", 6)
    assert_whole(store, "feeds/vp")


def test_of_creators_that_find_the_same_bytes_all_succeed(cloud: CloudServer) -> None:
    store = GcsStore(cloud.make_bucket())
    with ThreadPoolExecutor(4) as threads:
        infos = list(threads.map(lambda _: store.put_new("a", b"one", content_type=TEXT), range(4)))
    assert len({info.generation for info in infos}) == 1
