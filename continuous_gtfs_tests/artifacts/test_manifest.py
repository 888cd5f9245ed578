from __future__ import annotations

from datetime import UTC, datetime

import pytest

from continuous_gtfs.artifacts.manifest import (
    Manifest,
    Order,
    PublishedObject,
    Release,
    is_older,
    normalized_order,
    version_key,
)
from continuous_gtfs.errors import ArchiveCorruptError, ConfigurationError


def release(label: str, order: Order) -> Release:
    item = PublishedObject(
        extension="pb",
        path="realtime/vp.pb",
        version_path=f"realtime/versions/vp/{label}.pb",
        sha256="ab" * 32,
        bytes=3,
        content_type="application/x-protobuf",
    )
    return Release(label=label, order=order, published_at=datetime(2026, 3, 1, 12, tzinfo=UTC), objects=(item,))


def test_a_manifest_survives_its_stored_form() -> None:
    manifest = Manifest(
        name="realtime/vp",
        current=release("c", (3, "2026-03-01T12:00:00+00:00")),
        facts={"inputs": [{"digest": "ab"}], "run_id": None},
        previous=(release("b", (2, "x")),),
        expired=(release("a", (1, "x")),),
        rolled_back_from=(9, "x"),
    )
    assert Manifest.from_json("realtime/vp", manifest.to_json()) == manifest


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"name": "x", "rolled_back_from": null}'])
def test_what_is_no_manifest_is_named_and_not_taken_for_an_absent_one(data: bytes) -> None:
    with pytest.raises(ArchiveCorruptError, match=r"realtime/vp\.manifest\.json is not a manifest"):
        Manifest.from_json("realtime/vp", data)


@pytest.mark.parametrize("fact", [object(), b"bytes", float("nan"), {1, 2}])
def test_a_fact_without_a_json_form_is_refused(fact: object) -> None:
    manifest = Manifest(name="realtime/vp", current=release("a", (1,)), facts={"fact": fact})
    with pytest.raises(ConfigurationError, match="realtime/vp: a fact has no JSON form"):
        manifest.to_json()


def test_orders_compare_part_by_part() -> None:
    assert is_older((1, "b"), (2, "a"))
    assert is_older((1, "a"), (1, "b"))
    assert not is_older((1, "b"), (1, "b"))
    assert normalized_order("2026-03-01") == ("2026-03-01",)
    assert normalized_order([5, "x"]) == (5, "x")


def test_orders_of_different_kinds_say_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="force_older"):
        is_older((1,), ("2026-03-01",))


@pytest.mark.parametrize("order", [[], [None], [True], [float("nan")], [[1]], [1, None]])
def test_an_order_that_orders_nothing_is_refused(order: list[object]) -> None:
    with pytest.raises(ConfigurationError, match="order"):
        normalized_order(order)  # type: ignore[arg-type]


@pytest.mark.parametrize(("label", "extension"), [("", "pb"), ("a/b", "pb"), ("..", "pb"), ("a", "../pb"), ("a", "")])
def test_a_label_and_an_extension_are_one_part_of_a_path(label: str, extension: str) -> None:
    with pytest.raises(ConfigurationError):
        version_key("realtime/vp", label, extension)


def test_version_objects_lie_beside_the_stable_one() -> None:
    assert version_key("schedule/qa/gtfs", "v1", "zip") == "schedule/qa/versions/gtfs/v1.zip"
    assert version_key("gtfs", "v1", "zip") == "versions/gtfs/v1.zip"
