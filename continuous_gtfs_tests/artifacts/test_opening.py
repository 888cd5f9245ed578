from __future__ import annotations

from pathlib import Path

import pytest

from continuous_gtfs.artifacts.gcs import GcsStore
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.store import validate_key
from continuous_gtfs.errors import ConfigurationError, StoreError


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}", "FILE://{}"])
def test_a_folder_is_opened_by_path_or_file_url(tmp_path: Path, form: str) -> None:
    store = open_store(form.format(tmp_path / "store"))
    assert isinstance(store, LocalStore)
    assert store.root == tmp_path / "store"


def test_a_file_url_may_have_escaped_letters(tmp_path: Path) -> None:
    store = open_store((tmp_path / "my store").as_uri())
    assert isinstance(store, LocalStore)
    assert store.root == tmp_path / "my store"


def test_a_relative_path_is_taken_from_where_the_store_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("published")
    monkeypatch.chdir("/")
    store.put_new("a", b"one", content_type="text/plain")
    assert (tmp_path / "published/a").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("ftp://host/folder", "'ftp'"),
        ("https://host/folder", "'https'"),
        ("file://host/folder", "three slashes"),
        ("file:///folder?x=1", "three slashes"),
        ("gs://", "names no bucket"),
        ("gs:/bucket", "names no bucket"),
        ("gs://Not A Bucket/a", "names no bucket"),
        ("gs://bucket/../a", "object key"),
    ],
)
def test_a_url_that_no_store_serves_is_a_configuration_error(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("gs://my-bucket", "my-bucket", ""),
        ("gs://my-bucket/", "my-bucket", ""),
        ("gs://my-bucket/agency/archive/", "my-bucket", "agency/archive/"),
        ("GS://my-bucket/a#b?c", "my-bucket", "a#b?c/"),
    ],
)
def test_a_bucket_is_opened_by_its_url_and_not_asked(url: str, bucket: str, prefix: str) -> None:
    store = open_store(url)
    assert isinstance(store, GcsStore)
    assert (store.bucket, store.prefix) == (bucket, prefix)


def test_a_refused_key_is_permanent_and_a_failed_store_is_not() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        validate_key("../a")
    assert not refusal.value.can_rerun_help
    assert StoreError.can_rerun_help
