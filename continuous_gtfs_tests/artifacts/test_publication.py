from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import PublicationObject, Publisher
from continuous_gtfs.errors import ArchiveCorruptError, ConfigurationError, PublicationConflictError, StoreError
from continuous_gtfs_tests.artifacts.children import children, publish_with_file_size_limit
from continuous_gtfs_tests.artifacts.publishing import (
    NOW,
    WatchedStore,
    assert_live,
    assert_whole,
    number_of,
    numbered_objects,
    publish_numbered,
)

NAME = "realtime/production/trip_updates"


@pytest.fixture
def store(memory_path: Path) -> LocalStore:
    return LocalStore(memory_path / "published")


@pytest.fixture
def publisher(store: LocalStore) -> Publisher:
    return Publisher(store)


def test_nothing_is_live_before_the_first_publication(publisher: Publisher) -> None:
    assert publisher.current(NAME) is None


def test_a_publication_is_at_its_stable_and_its_version_urls(store: LocalStore, publisher: Publisher) -> None:
    publication = publish_numbered(publisher, NAME, 1)
    assert publication.outcome == "published"
    assert publication.manifest == publisher.current(NAME)
    assert_live(store, NAME, 1)
    stable = store.stat(f"{NAME}.pb")
    version = store.stat("realtime/production/versions/trip_updates/v1.pb")
    assert stable is not None
    assert version is not None
    assert (stable.content_type, stable.cache_control) == ("test/pb", "max-age=1")
    assert version.cache_control is not None
    assert "immutable" in version.cache_control


def test_a_newer_publication_takes_over_and_the_older_stays_reachable(store: LocalStore, publisher: Publisher) -> None:
    publish_numbered(publisher, NAME, 1)
    publication = publish_numbered(publisher, NAME, 2)
    assert publication.outcome == "published"
    assert_live(store, NAME, 2)
    assert [release.label for release in publication.manifest.previous] == ["v1"]
    assert number_of(store.read("realtime/production/versions/trip_updates/v1.json")) == 1


def test_an_older_publication_moves_nothing_but_stays_reachable(store: LocalStore, publisher: Publisher) -> None:
    publish_numbered(publisher, NAME, 2)
    before = {key: store.stat(key) for key in store.list("")}
    publication = publish_numbered(publisher, NAME, 1)
    assert publication.outcome == "superseded"
    assert publication.manifest.label == "v2"
    assert_live(store, NAME, 2)
    assert {key: store.stat(key) for key in before} == before
    assert number_of(store.read("realtime/production/versions/trip_updates/v1.pb")) == 1


def test_new_code_for_the_same_input_is_not_older(store: LocalStore, publisher: Publisher) -> None:
    publish_numbered(publisher, NAME, 1, order=7)
    assert publish_numbered(publisher, NAME, 2, order=7).outcome == "published"
    assert_live(store, NAME, 2)


def test_publishing_what_is_live_again_is_unchanged(store: LocalStore, publisher: Publisher) -> None:
    first = publish_numbered(publisher, NAME, 1)
    again = publish_numbered(publisher, NAME, 1)
    assert again.outcome == "unchanged"
    assert again.manifest == first.manifest
    assert_live(store, NAME, 1)


@pytest.mark.parametrize("lost", [f"{NAME}.json", f"{NAME}.pb", "realtime/production/versions/trip_updates/v1.pb"])
def test_publishing_what_is_live_again_brings_back_what_was_lost(
    store: LocalStore, publisher: Publisher, lost: str
) -> None:
    publish_numbered(publisher, NAME, 1)
    store.delete(lost)
    assert publish_numbered(publisher, NAME, 1).outcome == "unchanged"
    assert_live(store, NAME, 1)


def test_publishing_what_is_live_again_undoes_a_hand_in_the_folder(store: LocalStore, publisher: Publisher) -> None:
    publish_numbered(publisher, NAME, 1)
    (store.root / f"{NAME}.pb").write_bytes(b"by hand")
    publish_numbered(publisher, NAME, 1)
    assert_live(store, NAME, 1)


def test_a_vendor_that_goes_back_bars_what_lies_between(store: LocalStore, publisher: Publisher) -> None:
    publish_numbered(publisher, NAME, 1, order=1)
    assert publish_numbered(publisher, NAME, 1, order=3).outcome == "unchanged"
    # A run of the version between, retried late:
    assert publish_numbered(publisher, NAME, 2, order=2).outcome == "superseded"
    assert_live(store, NAME, 1)


def test_a_version_published_before_can_go_live_again(store: LocalStore, publisher: Publisher) -> None:
    publish_numbered(publisher, NAME, 1, order=1)
    publish_numbered(publisher, NAME, 2, order=2)
    publication = publish_numbered(publisher, NAME, 1, order=3)
    assert publication.outcome == "published"
    assert [release.label for release in publication.manifest.previous] == ["v2"]
    assert_live(store, NAME, 1)


def test_a_rollback_holds_against_retries_and_gives_way_to_what_is_newer(
    store: LocalStore, publisher: Publisher
) -> None:
    for number in (1, 2, 3):
        publish_numbered(publisher, NAME, number)
    assert publish_numbered(publisher, NAME, 1, force_older=True).outcome == "published"
    assert_live(store, NAME, 1)
    assert publish_numbered(publisher, NAME, 3).outcome == "superseded"
    assert publish_numbered(publisher, NAME, 2).outcome == "superseded"
    # The rollback itself may be repeated, by name or as a rerun.
    assert publish_numbered(publisher, NAME, 1, force_older=True).outcome == "unchanged"
    assert publish_numbered(publisher, NAME, 1).outcome == "unchanged"
    assert publish_numbered(publisher, NAME, 3).outcome == "superseded"
    assert_live(store, NAME, 1)
    assert publish_numbered(publisher, NAME, 4).outcome == "published"
    assert publish_numbered(publisher, NAME, 4).manifest.rolled_back_from is None
    assert_live(store, NAME, 4)


def test_a_second_rollback_still_remembers_the_newest(store: LocalStore, publisher: Publisher) -> None:
    for number in (1, 2, 3):
        publish_numbered(publisher, NAME, number)
    publish_numbered(publisher, NAME, 2, force_older=True)
    publication = publish_numbered(publisher, NAME, 1, force_older=True)
    assert publication.manifest.rolled_back_from == (3,)
    assert publish_numbered(publisher, NAME, 3).outcome == "superseded"
    assert publish_numbered(publisher, NAME, 3, force_older=True).outcome == "published"
    assert_live(store, NAME, 3)


def test_a_change_of_what_the_order_is_made_of_needs_a_word(store: LocalStore, publisher: Publisher) -> None:
    publish_numbered(publisher, NAME, 1)

    def publish(force_older: bool) -> str:
        return publisher.publish(
            NAME,
            numbered_objects(2),
            label="v2",
            order=["2026-03-01"],
            manifest={"number": 2},
            now=NOW,
            force_older=force_older,
        ).outcome

    with pytest.raises(ConfigurationError, match="force_older"):
        publish(False)
    assert_live(store, NAME, 1)
    assert publish(True) == "published"
    assert_live(store, NAME, 2)


def test_versions_beyond_the_kept_ones_go_one_publication_later(store: LocalStore, publisher: Publisher) -> None:
    for number in range(1, 7):
        publish_numbered(publisher, NAME, number, keep_versions=2)
    manifest = publisher.current(NAME)
    assert manifest is not None
    assert [release.label for release in manifest.previous] == ["v5", "v4"]
    assert [release.label for release in manifest.expired] == ["v3"]
    kept = sorted(f"realtime/production/versions/trip_updates/v{n}.{e}" for n in (3, 4, 5, 6) for e in ("json", "pb"))
    assert list(store.list("realtime/production/versions/")) == kept


def test_a_version_that_cannot_be_deleted_keeps_no_feed_back_and_is_tried_again(store: LocalStore) -> None:
    def refuse(number: int, method: str, key: str) -> None:
        if method == "delete":
            raise StoreError("may not delete")

    stubborn = Publisher(WatchedStore(store, before=refuse))
    for number in range(1, 5):
        assert publish_numbered(stubborn, NAME, number, keep_versions=1).outcome == "published"
    assert_live(store, NAME, 4)
    for number in range(5, 7):
        publish_numbered(Publisher(store), NAME, number, keep_versions=1)
    left = [key.rpartition("/")[2] for key in store.list("realtime/production/versions/")]
    assert left == ["v4.json", "v4.pb", "v5.json", "v5.pb", "v6.json", "v6.pb"]


def test_an_expired_version_that_goes_live_again_is_whole(store: LocalStore, publisher: Publisher) -> None:
    for number in (1, 2, 3):
        publish_numbered(publisher, NAME, number, keep_versions=0)
    for order in (4, 5, 6):
        publish_numbered(publisher, NAME, 2, order=order, keep_versions=0)
        assert_live(store, NAME, 2)
        assert_whole(store, NAME)


def test_a_label_names_one_content(store: LocalStore, publisher: Publisher) -> None:
    publish_numbered(publisher, NAME, 1)
    with pytest.raises(StoreError, match="other bytes"):
        publisher.publish(NAME, numbered_objects(2), label="v1", order=[2], manifest={}, now=NOW)
    assert_live(store, NAME, 1)


def test_publications_of_other_names_do_not_touch_each_other(store: LocalStore, publisher: Publisher) -> None:
    publish_numbered(publisher, NAME, 5)
    publish_numbered(publisher, "realtime/qa/trip_updates", 2)
    publish_numbered(publisher, "realtime/production/trip", 3)
    assert_live(store, NAME, 5)
    assert_live(store, "realtime/qa/trip_updates", 2)
    assert_live(store, "realtime/production/trip", 3)


def test_the_manifest_says_when_in_utc(publisher: Publisher) -> None:
    berlin = datetime.fromisoformat("2026-03-01T13:00:00+01:00")
    publication = publisher.publish(
        NAME, numbered_objects(1), label="v1", order=["1"], manifest={"run_id": "r"}, now=berlin
    )
    assert publication.manifest.published_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert publication.manifest.published_at.utcoffset() == berlin.astimezone(UTC).utcoffset()
    assert publication.manifest.order == ("1",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"objects": ()}, "needs objects"),
        ({"objects": numbered_objects(1) + numbered_objects(1)}, "extension of its own"),
        ({"label": "a/b"}, "label"),
        ({"label": ""}, "label"),
        ({"name": "../outside"}, "object key"),
        ({"order": []}, "order"),
        ({"manifest": {"x": b"bytes"}}, "JSON"),
        ({"keep_versions": -1}, "keep_versions"),
    ],
)
def test_what_cannot_be_published_is_refused_before_anything_is_written(
    store: LocalStore, publisher: Publisher, change: dict[str, object], told: str
) -> None:
    arguments: dict[str, object] = {
        "name": NAME,
        "objects": numbered_objects(1),
        "label": "v1",
        "order": [1],
        "manifest": {},
        "now": NOW,
    }
    with pytest.raises(ConfigurationError, match=told):
        publisher.publish(**(arguments | change))  # type: ignore[arg-type]
    assert list(store.list("")) == []


def test_a_damaged_manifest_stops_publication_and_what_is_live_stays(store: LocalStore, publisher: Publisher) -> None:
    publish_numbered(publisher, NAME, 1)
    (store.root / f"{NAME}.manifest.json").write_bytes(b'{"name": ')
    with pytest.raises(ArchiveCorruptError, match="manifest"):
        publish_numbered(publisher, NAME, 2)
    assert number_of(store.read(f"{NAME}.pb")) == 1


def test_a_device_that_stores_other_bytes_is_found_out_before_anything_is_live(store: LocalStore) -> None:
    def damage(number: int, method: str, key: str) -> None:
        if method == "put_new" and key.endswith("v2.pb"):
            (store.root / key).write_bytes(b"damaged")

    publish_numbered(Publisher(store), NAME, 1)
    with pytest.raises(StoreError, match="read back"):
        publish_numbered(Publisher(WatchedStore(store, after=damage)), NAME, 2)
    assert_live(store, NAME, 1)


@pytest.mark.parametrize("moved", [f"{NAME}.manifest.json", f"{NAME}.pb"])
def test_an_object_that_others_keep_moving_is_given_up_in_the_end(store: LocalStore, moved: str) -> None:
    publish_numbered(Publisher(store), NAME, 1)

    def move(number: int, method: str, key: str) -> None:
        if method == "replace" and key == moved:
            info = store.stat(key)
            assert info is not None
            store.replace(key, store.read(key), if_generation=info.generation, content_type=info.content_type)

    with pytest.raises(PublicationConflictError, match=moved) as conflict:
        publish_numbered(Publisher(WatchedStore(store, before=move)), NAME, 2)
    assert conflict.value.can_rerun_help
    assert publish_numbered(Publisher(store), NAME, 2).outcome in ("published", "unchanged")
    assert_live(store, NAME, 2)


def test_a_full_disk_leaves_the_last_good_publication(store: LocalStore) -> None:
    publish_numbered(Publisher(store), NAME, 1)
    with children() as child:
        message = child.submit(publish_with_file_size_limit, store.root, NAME, 2, 200_000, 50_000).result(timeout=60)
    assert "cannot write" in message
    assert "free space" in message
    assert_live(store, NAME, 1)
    assert publish_numbered(Publisher(store), NAME, 2).outcome == "published"
    assert_live(store, NAME, 2)


def test_the_first_object_follows_before_the_second(store: LocalStore) -> None:
    replaced: list[str] = []

    def note(number: int, method: str, key: str) -> None:
        if method == "replace":
            replaced.append(key)

    publish_numbered(Publisher(WatchedStore(store, after=note)), NAME, 1)
    assert replaced == [f"{NAME}.manifest.json", f"{NAME}.pb", f"{NAME}.json"]


def test_one_object_of_any_extension_is_a_publication(store: LocalStore, publisher: Publisher) -> None:
    item = PublicationObject(extension="zip", data=b"zip", content_type="application/zip")
    publication = publisher.publish("gtfs", [item], label="v1", order="2026", manifest={}, now=NOW)
    assert publication.manifest.objects[0].sha256 == hashlib.sha256(b"zip").hexdigest()
    assert store.read("gtfs.zip") == b"zip"
