"""Version objects that no manifest names: which go, when, and that no publication loses one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import Publication, PublicationObject, Publisher
from continuous_gtfs.artifacts.unnamed_versions import MEMORY_KEY, SweptVersions, sweep_unnamed_versions

NAME = "realtime/production/alerts"
KEEP_S = 3600.0


class Stores:
    """A published store, and the place where sweeps remember."""

    def __init__(self, folder: Path) -> None:
        self.published = LocalStore(folder / "published")
        self.memory = LocalStore(folder / "archive")

    def publish(self, number: int, *, keep: int = 2, publisher: Publisher | None = None) -> Publication:
        item = PublicationObject(extension="pb", data=f"feed {number}".encode(), content_type="text/plain")
        return (publisher or Publisher(self.published)).publish(
            NAME, [item], label=f"v{number}", order=number, manifest={}, now=datetime.now(UTC), keep_versions=keep
        )

    def sweep(self, now: float, *, is_dry_run: bool = False) -> SweptVersions:
        return sweep_unnamed_versions(self.published, self.memory, now=now, keep_s=KEEP_S, is_dry_run=is_dry_run)

    def versions(self) -> list[str]:
        folder = self.published.root / "realtime/production/versions/alerts"
        return sorted(path.stem for path in folder.iterdir())


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path)


def test_what_was_overtaken_goes_when_it_has_had_no_name_for_long_enough(stores: Stores) -> None:
    stores.publish(5)
    assert stores.publish(4).outcome == "superseded"
    assert stores.versions() == ["v4", "v5"]
    assert (stores.sweep(1000.0).waiting, stores.versions()) == (1, ["v4", "v5"])
    assert stores.sweep(1000.0 + KEEP_S - 1).count == 0
    dry = stores.sweep(1000.0 + KEEP_S, is_dry_run=True)
    assert (dry.count, dry.bytes, stores.versions()) == (1, len(b"feed 4"), ["v4", "v5"])
    swept = stores.sweep(1000.0 + KEEP_S)
    assert (swept.count, swept.bytes, swept.waiting) == (1, len(b"feed 4"), 0)
    assert stores.versions() == ["v5"]
    assert stores.memory.read(MEMORY_KEY) == b"{}"


def test_what_is_live_was_live_or_has_just_expired_stays(stores: Stores) -> None:
    for number in range(1, 5):
        stores.publish(number, keep=2)
    for now in (0.0, KEEP_S, 2 * KEEP_S):
        assert stores.sweep(now).count == 0
    assert stores.versions() == ["v1", "v2", "v3", "v4"]


def test_a_clock_that_was_set_back_begins_the_wait_anew(stores: Stores) -> None:
    stores.publish(5)
    stores.publish(4)
    stores.sweep(1_000_000.0)
    assert stores.sweep(500.0).waiting == 1
    assert stores.sweep(500.0 + KEEP_S).count == 1


def test_without_a_manifest_that_can_be_read_nothing_goes(stores: Stores) -> None:
    stores.publish(5)
    stores.publish(4)
    stores.sweep(0.0)
    manifest = stores.published.root / f"{NAME}.manifest.json"
    whole = manifest.read_bytes()
    manifest.write_text("{")
    swept = stores.sweep(KEEP_S)
    assert (swept.count, len(swept.unreadable)) == (0, 1)
    manifest.unlink()
    assert stores.sweep(2 * KEEP_S).count == 0
    manifest.write_bytes(whole)
    assert stores.versions() == ["v4", "v5"]


class Interrupted(LocalStore):
    """A store in which something happens just before, or just after, an object is deleted."""

    def __init__(self, root: Path, *, before: Callable[[], object], after: Callable[[], object]) -> None:
        super().__init__(root)
        self._before, self._after = before, after

    def delete(self, key: str) -> None:
        self._before()
        super().delete(key)
        self._after()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_publication_that_names_the_object_at_that_very_moment_keeps_it(stores: Stores, moment: str) -> None:
    stores.publish(5)
    stores.publish(4)
    stores.sweep(0.0)

    def roll_back() -> None:
        plain = Publisher(LocalStore(stores.published.root))
        item = PublicationObject(extension="pb", data=b"feed 4", content_type="text/plain")
        plain.publish(NAME, [item], label="v4", order=4, manifest={}, now=datetime.now(UTC), force_older=True)

    def nothing() -> None: ...

    stores.published = Interrupted(
        stores.published.root,
        before=roll_back if moment == "before" else nothing,
        after=roll_back if moment == "after" else nothing,
    )
    assert stores.sweep(KEEP_S).count == 0
    live = Publisher(stores.published).current(NAME)
    assert live is not None
    assert live.label == "v4"
    assert stores.published.read(live.objects[0].version_path) == b"feed 4"
