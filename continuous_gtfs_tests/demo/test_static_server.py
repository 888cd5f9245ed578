from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import PublicationObject, Publisher
from continuous_gtfs.artifacts.store import ObjectInfo
from continuous_gtfs.demo.static_server import build_app, serve
from continuous_gtfs.errors import ConfigurationError, StoreError

NAME = "realtime/production/trip_updates"
FEED = b"\x0a\x03feed"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "published")
    publish(store, FEED, "1-a")
    return store


def publish(store: LocalStore, data: bytes, label: str) -> None:
    item = PublicationObject(
        extension="pb", data=data, content_type="application/x-protobuf", cache_control="public, max-age=5"
    )
    Publisher(store).publish(
        NAME,
        objects=(item,),
        label=label,
        order=label,
        manifest={},
        now=datetime(2026, 1, 2, tzinfo=UTC),
        keep_versions=3,
    )


class Reader:
    """Reads from the application as an HTTP client does, without a socket in between."""

    def __init__(self, application: Starlette) -> None:
        self._transport = httpx.ASGITransport(application)

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://published") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(send())

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.request("GET", path, headers)


def test_a_feed_is_sent_with_the_headers_it_was_published_with(store: LocalStore) -> None:
    response = Reader(build_app(store)).get(f"/{NAME}.pb")
    assert response.status_code == 200
    assert response.content == FEED
    assert response.headers["content-type"] == "application/x-protobuf"
    assert response.headers["cache-control"] == "public, max-age=5"
    assert response.headers["etag"] == f'"{hashlib.sha256(FEED).hexdigest()}"'
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("form", ["{0}", "W/{0}", '"other", {0}', "*"])
def test_a_reader_that_has_the_bytes_gets_304_until_they_change(store: LocalStore, form: str) -> None:
    client = Reader(build_app(store))
    known = {"If-None-Match": form.format(client.get(f"/{NAME}.pb").headers["etag"])}
    unchanged = client.get(f"/{NAME}.pb", headers=known)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"]
    publish(store, b"newer", "2-b")
    changed = client.get(f"/{NAME}.pb", headers=known)
    assert (changed.status_code, changed.content) == ((304, b"") if form == "*" else (200, b"newer"))


def test_what_has_no_setting_of_its_own_is_asked_for_again_each_time(store: LocalStore) -> None:
    (store.root / "note.txt").write_text("by hand")
    response = Reader(build_app(store)).get("/note.txt")
    assert response.text == "by hand"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "path",
    [
        "/.metadata/objects/realtime/production/.trip_updates.pb.json",
        "/realtime/production/.hidden",
        "/realtime/../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        "//etc/passwd",
        "/realtime",
        "/realtime/production/",
        "/none",
    ],
)
def test_hidden_files_folders_and_what_lies_outside_are_not_found(store: LocalStore, path: str) -> None:
    (store.root.parent / "secret").write_text("secret")
    (store.root / "realtime/production/.hidden").write_text("secret")
    assert (store.root / ".metadata/objects/realtime/production/.trip_updates.pb.json").is_file()
    response = Reader(build_app(store)).get(path)
    assert response.status_code == 404
    assert "secret" not in response.text


@pytest.mark.parametrize("path", ["/realtime/production/link.txt", "/elsewhere/secret"])
def test_a_link_that_leads_out_of_the_folder_is_not_followed(store: LocalStore, path: str) -> None:
    outside = store.root.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (store.root / "realtime/production/link.txt").symlink_to(outside / "secret")
    (store.root / "elsewhere").symlink_to(outside)
    response = Reader(build_app(store)).get(path)
    assert response.status_code == 404
    assert "secret" not in response.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(store: LocalStore, method: str) -> None:
    assert Reader(build_app(store)).request(method, f"/{NAME}.pb").status_code == 405
    assert store.read(f"{NAME}.pb") == FEED


def test_head_gives_the_headers_alone(store: LocalStore) -> None:
    response = Reader(build_app(store)).request("HEAD", f"/{NAME}.pb")
    assert response.content == b""
    assert response.headers["content-length"] == str(len(FEED))


def test_the_first_page_lists_every_feed_with_its_digest(store: LocalStore) -> None:
    page = Reader(build_app(store)).get("/")
    assert f'href="/{NAME}.pb"' in page.text
    assert f'href="/{NAME}.manifest.json"' in page.text
    assert hashlib.sha256(FEED).hexdigest()[:12] in page.text
    assert "2026-01-02 00:00:00 UTC" in page.text


def test_before_the_first_publication_there_is_a_page_that_says_so(tmp_path: Path) -> None:
    page = Reader(build_app(LocalStore(tmp_path / "none")))
    assert "Nothing has been published yet" in page.get("/").text
    assert not (tmp_path / "none").exists()


class ReplacedMeanwhile(LocalStore):
    """Publishes another version between the look at an object and the reading of it, once."""

    is_replaced = False

    def read(self, key: str) -> bytes:
        if key.endswith(".pb") and not self.is_replaced:
            self.is_replaced = True
            publish(LocalStore(self.root), b"newer", "2-b")
        return super().read(key)


def test_an_object_replaced_while_it_is_sent_never_goes_out_under_the_old_digest(store: LocalStore) -> None:
    response = Reader(build_app(ReplacedMeanwhile(store.root))).get(f"/{NAME}.pb")
    assert response.content == b"newer"
    assert response.headers["etag"] == f'"{hashlib.sha256(b"newer").hexdigest()}"'


class BrokenStore(LocalStore):
    def stat(self, key: str) -> ObjectInfo | None:
        raise StoreError("the disk is gone")


def test_a_store_that_fails_is_unavailable_and_not_a_missing_feed(store: LocalStore) -> None:
    response = Reader(build_app(BrokenStore(store.root))).get(f"/{NAME}.pb")
    assert response.status_code == 503
    assert response.headers["retry-after"]


def test_a_file_in_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="not a folder"):
        serve(tmp_path / "file", host="127.0.0.1", port=1)
