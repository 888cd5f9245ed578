"""How many requests publishing and archiving in a bucket takes, which wait for which, and which go out together."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.gcs import GcsStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs_tests.artifacts.cloud_proxy import CloudProxy, Fault
from continuous_gtfs_tests.artifacts.publishing import NOW, assert_live, numbered_objects, publish_numbered
from continuous_gtfs_tests.artifacts.snapshots import version_of

NAME = "realtime/production/trip_updates"
MANIFEST = f"{NAME}.manifest.json"
STABLE = [f"{NAME}.json", f"{NAME}.pb"]


def version_keys(number: int) -> list[str]:
    return [f"realtime/production/versions/trip_updates/v{number}.{extension}" for extension in ("json", "pb")]


def test_a_publication_takes_eight_requests_and_each_waits_only_for_what_it_must(proxy: CloudProxy) -> None:
    publisher = Publisher(GcsStore(proxy.server.make_bucket()))
    publish_numbered(publisher, NAME, 1)
    proxy.forget()
    publish_numbered(publisher, NAME, 2)
    assert proxy.kinds() == ["read", "stat", "stat", "upload", "upload", "upload", "upload", "upload"]
    (moved,) = [request for request in proxy.requests if (request.kind, request.key) == ("upload", MANIFEST)]
    before = [request.key for request in proxy.requests if request.kind == "upload" and request.ended <= moved.began]
    after = [request.key for request in proxy.requests if request.kind == "upload" and request.began >= moved.ended]
    assert sorted(before) == version_keys(2)
    assert sorted(after) == STABLE
    assert all(request.ended <= moved.began for request in proxy.requests if request.kind in ("read", "stat"))


def test_a_publication_that_begins_from_what_was_seen_reads_nothing(proxy: CloudProxy) -> None:
    store = GcsStore(proxy.server.make_bucket())
    publisher = Publisher(store)
    publish_numbered(publisher, NAME, 1)
    seen = publisher.look(NAME)
    proxy.forget()
    publisher.publish(NAME, numbered_objects(2), label="v2", order=[2], manifest={"number": 2}, now=NOW, seen=seen)
    assert proxy.kinds() == ["stat", "stat", "upload", "upload", "upload", "upload", "upload"]
    assert_live(store, NAME, 2)


def test_what_was_seen_may_be_out_of_date(proxy: CloudProxy) -> None:
    store = GcsStore(proxy.server.make_bucket())
    publisher = Publisher(store)
    publish_numbered(publisher, NAME, 1)
    seen = publisher.look(NAME)
    publish_numbered(publisher, NAME, 3)
    late = publisher.publish(NAME, numbered_objects(2), label="v2", order=[2], manifest={}, now=NOW, seen=seen)
    assert (late.outcome, late.manifest.label) == ("superseded", "v3")
    again = publisher.publish(NAME, numbered_objects(1), label="v1", order=[1], manifest={}, now=NOW, seen=seen)
    assert (again.outcome, again.manifest.label) == ("superseded", "v3")
    assert_live(store, NAME, 3)


def test_old_versions_go_some_at_a_time_by_a_fresh_look_and_before_the_pointer_moves(proxy: CloudProxy) -> None:
    store = GcsStore(proxy.server.make_bucket())
    publisher = Publisher(store)
    deletions: list[int] = []
    for number in range(1, 10):
        seen = publisher.look(NAME)
        proxy.forget()
        publisher.publish(
            NAME,
            numbered_objects(number),
            label=f"v{number}",
            order=[number],
            manifest={"number": number},
            now=NOW,
            keep_versions=1,
            seen=seen,
        )
        deletions.append(proxy.kinds().count("delete"))
        if deletions[-1]:
            (moved,) = [each for each in proxy.requests if (each.kind, each.key) == ("upload", MANIFEST)]
            looks = [each for each in proxy.requests if each.kind == "read"]
            gone = [each for each in proxy.requests if each.kind == "delete"]
            assert len(proxy.requests) == 16
            assert max(each.ended for each in looks) <= min(each.began for each in gone)
            assert max(each.ended for each in gone) <= moved.began
    assert deletions == [0, 0, 0, 0, 0, 0, 8, 0, 0]
    left = {key.rpartition("/")[2] for key in store.list("realtime/production/versions/")}
    assert left == {f"v{number}.{extension}" for number in (5, 6, 7, 8, 9) for extension in ("json", "pb")}


def test_what_does_not_depend_on_each_other_goes_out_together(proxy: CloudProxy) -> None:
    publisher = Publisher(GcsStore(proxy.server.make_bucket()))
    publish_numbered(publisher, NAME, 1)
    first, last = threading.Barrier(4), threading.Barrier(2)
    together = {("upload", key): first for key in version_keys(2)} | {("stat", key): first for key in STABLE}
    together |= {("upload", key): last for key in STABLE}

    def wait_for_the_others(kind: str, key: str, before: int) -> Fault | None:
        if (kind, key) in together:
            # Breaks, and with it the test, where one of them is sent only after the answer to another.
            together[kind, key].wait(timeout=20)
        return None

    proxy.disturb = wait_for_the_others
    assert publish_numbered(publisher, NAME, 2).outcome == "published"
    assert not first.broken
    assert not last.broken


def test_publishing_again_what_is_live_sends_no_version_again(proxy: CloudProxy) -> None:
    publisher = Publisher(GcsStore(proxy.server.make_bucket()))
    publish_numbered(publisher, NAME, 1)
    proxy.forget()
    assert publish_numbered(publisher, NAME, 1).outcome == "unchanged"
    uploads = sorted(request.key for request in proxy.requests if request.kind == "upload")
    assert uploads == STABLE


def test_a_version_object_that_is_gone_is_put_back_by_publishing_again(proxy: CloudProxy) -> None:
    store = GcsStore(proxy.server.make_bucket())
    publish_numbered(Publisher(store), NAME, 1)
    store.delete(version_keys(1)[0])
    assert publish_numbered(Publisher(store), NAME, 1).outcome == "unchanged"
    assert_live(store, NAME, 1)


def test_archiving_a_version_takes_six_requests(proxy: CloudProxy) -> None:
    archive = Archive(GcsStore(proxy.server.make_bucket()))
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    archive.save(version_of(b"one", noon), b"one")
    second = version_of(b"two", noon + timedelta(seconds=20))
    proxy.forget()
    archive.save(second, b"two")
    # The record of a version that was never seen is missed by a read; the server of the tests tells that from a
    # missing bucket only by a listing.
    assert [kind for kind in proxy.kinds() if kind != "list"] == ["read", "read", "stat", "upload", "upload", "upload"]
    proxy.forget()
    assert archive.read(second) == b"two"
    assert proxy.kinds() == ["read"]
