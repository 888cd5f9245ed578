"""What schedules were transformed to: what goes, when, and that no run loses bytes that it refers to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from continuous_gtfs import names
from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.old_transformed import SweptTransformed, sweep_transformed
from continuous_gtfs.artifacts.publication import PublicationObject, Publisher
from continuous_gtfs.artifacts.transformed import TransformedFeed, TransformedFeeds, blob_key
from continuous_gtfs.versions import FeedVersion

DAY_S = 86400.0
KEEP_S, UNUSED_S = 400 * DAY_S, DAY_S
NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
NAME = names.schedule_publication("production")


class Stores:
    def __init__(self, folder: Path) -> None:
        self.archive = LocalStore(folder / "archive")
        self.published = LocalStore(folder / "published")
        self.transformed = TransformedFeeds(self.archive)

    def transform(
        self, version_id: str, *, days_old: float, made: str = "feed", run_id: str = "run"
    ) -> TransformedFeed:
        """A version fetched so many days ago, its transformation and a report on it."""
        body = version_id.encode()
        digest = hashlib.sha256(body).hexdigest()
        version = FeedVersion(
            environment="production",
            feed="schedule",
            version_id=version_id,
            content_digest=digest,
            body_digest=digest,
            body_bytes=len(body),
            fetched_at=datetime.fromtimestamp(NOW - days_old * DAY_S, UTC),
        )
        Archive(self.archive).save(version, body)
        record = TransformedFeed(
            environment="production",
            version_id=version_id,
            feed_digest=self.transformed.save_bytes(f"{made} of {version_id}".encode()),
            feed_bytes=1,
            zip_writer="zip",
            index_digest=self.transformed.save_bytes(f"index {made} of {version_id}".encode()),
            code_version="code",
            step_hashes={},
            step_results=[],
            run_id=run_id,
        )
        self.transformed.save_report("production", version_id, "report.html", b"<p>", content_type="text/html")
        self.transformed.save(record)
        return record

    def publish(self, version_id: str, order: int) -> None:
        item = PublicationObject(extension="zip", data=version_id.encode(), content_type="application/zip")
        Publisher(self.published).publish(
            NAME, [item], label=f"{version_id}-0123456789ab", order=order, manifest={}, now=datetime.now(UTC)
        )

    def sweep(self, now: float = NOW, *, is_dry_run: bool = False) -> SweptTransformed:
        return sweep_transformed(
            self.archive, self.published, now=now, keep_s=KEEP_S, unused_s=UNUSED_S, is_dry_run=is_dry_run
        )

    def sweep_twice(self) -> SweptTransformed:
        assert self.sweep().objects == 0
        assert self.sweep(NOW + UNUSED_S - 1).objects == 0
        return self.sweep(NOW + UNUSED_S)

    def whole(self, *version_ids: str) -> bool:
        """Whether all of these can still be published."""
        records = [self.transformed.load("production", version_id) for version_id in version_ids]
        return all(
            record is not None
            and self.transformed.read_bytes(record.feed_digest)
            and self.transformed.read_bytes(record.index_digest)
            for record in records
        )

    def keys(self) -> list[str]:
        return [key for key in self.archive.list("transformed/") if "/blobs/" not in key]


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path)


def test_an_old_version_loses_record_reports_and_bytes_and_stays_in_the_archive(stores: Stores) -> None:
    old = stores.transform("old", days_old=500)
    stores.transform("new", days_old=300)
    dry = stores.sweep(NOW, is_dry_run=True)
    assert (dry.objects, dry.versions) == (0, 0)
    swept = stores.sweep_twice()
    assert (swept.versions, swept.objects) == (1, 2), "its record and its report"
    assert swept.bytes > len(b"<p>")
    assert stores.keys() == ["transformed/production/new.json", "transformed/production/new/report.html"]
    # Its bytes are referred to by nothing from then on, and wait in turn.
    assert stores.sweep(NOW + 1.5 * UNUSED_S).objects == 0
    assert stores.sweep(NOW + 2.5 * UNUSED_S).objects == 2
    assert stores.archive.stat(blob_key(old.feed_digest)) is None
    assert stores.whole("new")
    version = Archive(stores.archive).find("production", "schedule", "old")
    assert version is not None
    assert Archive(stores.archive).read(version) == b"old"


def test_what_the_manifest_lists_stays_however_old(stores: Stores) -> None:
    for number, version_id in enumerate(("first", "second", "third")):
        stores.transform(version_id, days_old=900 - number)
        stores.publish(version_id, number)
    assert stores.sweep_twice().objects == 0
    assert stores.whole("first", "second", "third")


def test_bytes_that_a_later_run_has_replaced_go(stores: Stores) -> None:
    before = stores.transform("version", days_old=1, made="earlier feed")
    stores.transform("version", days_old=1, made="later feed")
    assert stores.sweep_twice().objects == 2
    assert stores.archive.stat(blob_key(before.feed_digest)) is None
    assert stores.whole("version")


def test_an_old_version_that_was_transformed_again_waits_anew(stores: Stores) -> None:
    stores.transform("old", days_old=500)
    stores.sweep()
    stores.transform("old", days_old=500, run_id="another run")
    assert stores.sweep(NOW + UNUSED_S).objects == 0
    assert stores.whole("old")


def test_while_a_record_cannot_be_read_no_bytes_go(stores: Stores) -> None:
    stores.transform("version", days_old=1, made="earlier feed")
    stores.transform("version", days_old=1, made="later feed")
    (stores.archive.root / "transformed/production/version.json").write_text("{")
    swept = stores.sweep_twice()
    assert (swept.objects, len(swept.unreadable)) == (0, 1)
    assert "transformed/production/version.json" in swept.unreadable[0]


def test_what_the_archive_has_lost_is_not_removed(stores: Stores) -> None:
    stores.transform("old", days_old=500)
    (stores.archive.root / "versions/production/schedule/old.json").unlink()
    assert stores.sweep_twice().objects == 0
    assert stores.whole("old")


class Interrupted(LocalStore):
    """A store in which something happens just before an object is deleted, or just after."""

    def __init__(self, root: Path, *, before: Callable[[], object], after: Callable[[], object]) -> None:
        super().__init__(root)
        self._before, self._after = before, after

    def delete(self, key: str) -> None:
        self._before()
        super().delete(key)
        self._after()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_makes_the_same_bytes_at_that_very_moment_keeps_them(stores: Stores, moment: str) -> None:
    stores.transform("version", days_old=1, made="earlier feed")
    stores.transform("version", days_old=1, made="later feed")
    stores.sweep()
    plain = Stores(stores.archive.root.parent)

    def transform() -> None:
        plain.transform("version", days_old=1, made="earlier feed")

    def nothing() -> None: ...

    stores.archive = Interrupted(
        stores.archive.root,
        before=transform if moment == "before" else nothing,
        after=transform if moment == "after" else nothing,
    )
    stores.sweep(NOW + UNUSED_S)
    assert plain.whole("version")
