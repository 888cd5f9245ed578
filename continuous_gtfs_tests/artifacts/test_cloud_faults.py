"""A bucket whose answers are lost, refused, torn or wrong: each is a right retry or a clear error, and what was good
stays."""

from __future__ import annotations

import gc
import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from continuous_gtfs.artifacts.gcs import GcsStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.artifacts.store import ObjectNotFoundError, OtherBytesError, PreconditionFailedError
from continuous_gtfs.errors import StoreError
from continuous_gtfs_tests.artifacts.cloud_proxy import Answer, CloudProxy, Fault, LostAnswer, OtherAnswer, TornAnswer
from continuous_gtfs_tests.artifacts.publishing import assert_live, publish_numbered
from continuous_gtfs_tests.artifacts.store_contract import TEXT

NAME = "realtime/production/trip_updates"
# The client library leaves the answer that made it try again to the garbage collector, with its connection.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]
LARGE = b"0123456789abcdef" * 600_000


@pytest.fixture
def store(proxy: CloudProxy) -> Iterator[GcsStore]:
    yield GcsStore(proxy.server.make_bucket())
    gc.collect()


def at(kind: str, key: str, fault: Fault, *, times: int = 1) -> Callable[[str, str, int], Fault | None]:
    """Disturb the first requests of this kind to this key."""

    def disturb(of: str, to: str, before: int) -> Fault | None:
        return fault if (of, to) == (kind, key) and before < times else None

    return disturb


def always(fault: Fault) -> Callable[[str, str, int], Fault | None]:
    return lambda kind, key, before: fault


def write_past_the_proxy(proxy: CloudProxy, store: GcsStore, key: str, data: bytes) -> None:
    url = f"{proxy.server.url}/upload/storage/v1/b/{store.bucket}/o?uploadType=media&name={quote(key, safe='')}"
    urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=30).close()


def test_a_creation_whose_answer_is_lost_is_found_to_have_been_done(proxy: CloudProxy, store: GcsStore) -> None:
    proxy.disturb = at("upload", "a", LostAnswer())
    info = store.put_new("a", b"one", content_type=TEXT)
    assert [request.kind for request in proxy.requests] == ["upload", "upload", "stat"]
    assert info == store.stat("a")
    assert store.read("a") == b"one"


def test_a_creation_whose_answer_is_lost_and_that_another_has_overtaken_is_a_lost_race(
    proxy: CloudProxy, store: GcsStore
) -> None:
    first = store.replace("a", b"one", if_generation=None, content_type=TEXT)

    def overtake(kind: str, key: str, before: int) -> Fault | None:
        if kind == "upload" and before == 1:
            return LostAnswer()
        if kind == "upload" and before == 2:
            write_past_the_proxy(proxy, store, "a", b"another's")
        return None

    proxy.disturb = overtake
    with pytest.raises(PreconditionFailedError, match="another writer was first"):
        store.replace("a", b"two", if_generation=first.generation, content_type=TEXT)
    assert store.read("a") == b"another's"


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("upload", "realtime/production/versions/trip_updates/v2.pb"),
        ("upload", f"{NAME}.manifest.json"),
        ("upload", f"{NAME}.json"),
        ("read", f"{NAME}.manifest.json"),
    ],
)
def test_a_publication_goes_on_where_an_answer_is_lost(proxy: CloudProxy, store: GcsStore, kind: str, key: str) -> None:
    publish_numbered(Publisher(store), NAME, 1)
    proxy.forget()
    proxy.disturb = at(kind, key, LostAnswer())
    assert publish_numbered(Publisher(store), NAME, 2).outcome == "published"
    assert sum((request.kind, request.key) == (kind, key) for request in proxy.requests) == 2
    assert_live(store, NAME, 2)


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_is_asked_again(proxy: CloudProxy, store: GcsStore, status: int) -> None:
    proxy.disturb = lambda kind, key, before: Answer(status) if before == 0 else None
    store.put_new("a", b"one", content_type=TEXT)
    assert store.read("a") == b"one"
    assert proxy.kinds() == ["read", "read", "upload", "upload"]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "does not know who asks .*renew the credentials"),
        (403, r"does not allow it \(.*roles/storage.objectUser on bucket"),
        (404, "there is no bucket"),
        (429, "too busy.*look at the network and at Cloud Storage's status page, then run again"),
        (503, "too busy.*look at the network and at Cloud Storage's status page, then run again"),
    ],
)
def test_a_refusal_is_told_by_what_to_do_and_the_last_good_publication_stays(
    proxy: CloudProxy, store: GcsStore, status: int, told: str
) -> None:
    publish_numbered(Publisher(store), NAME, 1)
    impatient = GcsStore(store.bucket, give_up_after_s=0.1)
    for kind, key in (("upload", f"{NAME}.manifest.json"), ("read", f"{NAME}.manifest.json"), ("stat", f"{NAME}.pb")):
        proxy.forget()
        # A listing too: by it a missing object is told from a missing bucket.
        asked = {(kind, key), ("list", "")}
        answer = Answer(status, "too busy" if status in (429, 503) else "refused")
        proxy.disturb = lambda of, to, before: answer if (of, to) in asked else None  # noqa: B023 - called in this turn
        with pytest.raises(StoreError, match=told) as refusal:
            publish_numbered(Publisher(impatient), NAME, 2)
        assert f"gs://{store.bucket}/{key}" in str(refusal.value)
        proxy.disturb = lambda of, to, before: None
        assert_live(store, NAME, 1)
    assert publish_numbered(Publisher(store), NAME, 2).outcome == "published"
    assert_live(store, NAME, 2)


def test_a_body_that_breaks_off_is_read_on_and_is_whole(proxy: CloudProxy, store: GcsStore) -> None:
    store.put_new("a", LARGE, content_type=TEXT)
    proxy.disturb = at("read", "a", TornAnswer(after=5_000_000))
    assert store.read("a") == LARGE
    assert proxy.kinds().count("read") == 2


def test_a_body_that_breaks_off_and_is_replaced_meanwhile_is_one_or_the_other(
    proxy: CloudProxy, store: GcsStore
) -> None:
    store.put_new("a", LARGE, content_type=TEXT)

    def replace_meanwhile(kind: str, key: str, before: int) -> Fault | None:
        if kind != "read":
            return None
        if before == 0:
            return TornAnswer(after=5_000_000)
        if before == 1:
            write_past_the_proxy(proxy, store, "a", b"another's")
        return None

    proxy.disturb = replace_meanwhile
    found = store.read_with_generation("a")
    assert found is not None
    assert found == (b"another's", str(proxy.server.describe(store.bucket, "a")["generation"]))


def test_bytes_that_changed_on_the_way_are_never_handed_out(proxy: CloudProxy, store: GcsStore) -> None:
    store.put_new("a", b"one", content_type=TEXT)
    proxy.disturb = at("read", "a", OtherAnswer(lambda body: b"two"), times=9)
    with pytest.raises(StoreError, match="checksum"):
        store.read("a")


def test_an_upload_of_which_the_server_has_other_bytes_is_no_success(proxy: CloudProxy, store: GcsStore) -> None:
    right = b'"crc32c":"'
    proxy.disturb = at("upload", "a", OtherAnswer(lambda body: body.replace(right, right + b"AAAA", 1)))
    with pytest.raises(OtherBytesError, match="other bytes than were sent"):
        store.put_new("a", b"one", content_type=TEXT)


def test_a_missing_object_is_not_found_however_the_server_says_it(proxy: CloudProxy, store: GcsStore) -> None:
    # As Cloud Storage says it; the server of the tests says no more than "Not Found".
    proxy.disturb = at("read", "a", Answer(404, f"No such object: {store.bucket}/a"))
    with pytest.raises(ObjectNotFoundError, match="there is no such object"):
        store.read("a")
    assert proxy.kinds() == ["read"]


def test_an_upload_in_pieces_names_the_generation_it_replaces_and_is_refused_at_its_end(
    proxy: CloudProxy, store: GcsStore
) -> None:
    first = store.replace("a.zip", b"one", if_generation=None, content_type=TEXT)
    proxy.forget()
    pieces: list[str] = []

    def refuse_the_last(kind: str, key: str, before: int) -> Fault | None:
        if kind == "upload":
            pieces.append(key)
        # The request that begins it, then two pieces: Cloud Storage looks at the precondition with the last.
        return Answer(412, "conditionNotMet") if kind == "upload" and len(pieces) == 3 else None

    proxy.disturb = refuse_the_last
    with pytest.raises(PreconditionFailedError, match="another writer was first"):
        store.replace("a.zip", LARGE, if_generation=first.generation, content_type=TEXT)
    begun = next(request for request in proxy.requests if request.kind == "upload")
    assert begun.query["uploadType"] == "resumable"
    assert begun.query["ifGenerationMatch"] == first.generation
    assert store.read("a.zip") == b"one"


def test_a_piece_whose_answer_is_a_failure_is_sent_again(proxy: CloudProxy, store: GcsStore) -> None:
    count = 0

    def busy(kind: str, key: str, before: int) -> Fault | None:
        nonlocal count
        count += kind == "upload"
        return Answer(503, "busy") if kind == "upload" and count == 2 else None

    proxy.disturb = busy
    store.put_new("a.zip", LARGE, content_type=TEXT)
    assert store.read("a.zip") == LARGE
