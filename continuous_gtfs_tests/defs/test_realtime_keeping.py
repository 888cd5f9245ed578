"""What a realtime run has published is kept for the archive, after it is out."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from continuous_gtfs import names
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.pack_format import PublishedSnapshot
from continuous_gtfs.artifacts.packs import hour_of, pack_key
from continuous_gtfs.artifacts.published_snapshots import PublishedSnapshots
from continuous_gtfs.defs.realtime_keeping import keep
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.test_realtime_assets import TU, VP, location, now, trip_updates, vehicles

JOB = "realtime_production"


def kept(bench: Bench, feed: str) -> list[tuple[PublishedSnapshot, bytes]]:
    snapshots = PublishedSnapshots(open_store(bench.artifacts.archive_url))
    hours = snapshots.hours("production", feed)
    keys = [key for hour in hours for key in snapshots.keys("production", feed, hour)]
    return [found for key in keys if (found := snapshots.read(key))]


def test_a_run_keeps_what_it_has_published_with_all_it_was_made_from(bench: Bench) -> None:
    versions = {
        VP: bench.archive("production", VP, vehicles(now())),
        TU: bench.archive("production", TU, trip_updates(now())),
    }
    result = bench.run(location(bench), JOB)
    assert result.success
    for feed, version in versions.items():
        ((snapshot, body),) = kept(bench, feed)
        manifest = bench.live(names.realtime_publication("production", feed))
        assert manifest is not None
        assert body == (bench.published / f"realtime/production/{feed}.pb").read_bytes()
        assert (snapshot.version, snapshot.label) == (version, manifest.label)
        assert snapshot.published_at == manifest.published_at
        assert {name: one["version_id"] for name, one in snapshot.facts["inputs"].items()} == {
            name: one.version_id for name, one in versions.items()
        }
        assert snapshot.facts["run_id"] == result.run_id
        assert "age_history" not in " ".join(snapshot.facts)


def test_what_was_refused_or_superseded_is_not_kept(bench: Bench) -> None:
    refused = bench.archive("production", VP, vehicles(now() - timedelta(hours=1)))
    assert not bench.run(location(bench), JOB, tags={names.version_tag(VP): refused.version_id}).success
    assert kept(bench, VP) == []
    older = bench.archive("production", VP, vehicles(now() - timedelta(seconds=20)))
    bench.archive("production", VP, vehicles(now()))
    assert bench.run(location(bench), JOB).success
    assert bench.run(location(bench), JOB, tags={names.version_tag(VP): older.version_id}).success
    assert [snapshot.version.version_id == older.version_id for snapshot, _ in kept(bench, VP)] == [False]


def test_a_sibling_that_did_not_change_is_kept_once(bench: Bench) -> None:
    bench.archive("production", VP, vehicles(now() - timedelta(seconds=20)))
    bench.archive("production", TU, trip_updates(now() - timedelta(seconds=20)))
    assert bench.run(location(bench), JOB).success
    bench.archive("production", TU, trip_updates(now()))
    assert bench.run(location(bench), JOB).success
    assert [len(kept(bench, feed)) for feed in (VP, TU)] == [1, 2]


def test_what_was_published_at_the_end_of_an_hour_and_not_kept_is_kept_by_the_next_run(bench: Bench) -> None:
    last_hour = hour_of(now()) - timedelta(seconds=1)
    bench.archive("production", VP, vehicles(now()), fetched_at=last_hour)
    assert bench.run(location(bench), JOB).success
    store = open_store(bench.artifacts.archive_url)
    ((snapshot, _),) = kept(bench, VP)
    (key,) = store.list("publications/")
    for is_packed in (False, True):
        if is_packed:
            # Its hour was packed before it had been kept.
            store.put_new(pack_key("production", VP, hour_of(last_hour)), b"", content_type="test")
        store.delete(key)
        assert bench.run(location(bench), JOB).success
        assert [found.label for found, _ in kept(bench, VP)] == [snapshot.label]


def test_what_is_live_since_long_ago_is_not_kept_again_once_its_hour_is_packed(bench: Bench) -> None:
    hours_ago = now() - timedelta(hours=3)
    version = bench.archive("production", VP, vehicles(hours_ago), fetched_at=hours_ago)
    body = b"published"
    digest = hashlib.sha256(body).hexdigest()
    snapshot = PublishedSnapshot(
        version=version, label="label", published_at=hours_ago, body_digest=digest, body_bytes=len(body), facts={}
    )
    keep(bench.artifacts, snapshot, body)
    assert len(kept(bench, VP)) == 1
    store = open_store(bench.artifacts.archive_url)
    store.delete(next(store.list("publications/")))
    store.put_new(pack_key("production", VP, hour_of(hours_ago)), b"", content_type="test")
    keep(bench.artifacts, snapshot, body)
    assert kept(bench, VP) == []


def test_an_archive_that_fails_keeps_nothing_from_the_public_and_the_run_says_so(bench: Bench) -> None:
    bench.archive("production", VP, vehicles(now()))
    blocked = bench.published.parent / "archive" / "publications"
    blocked.write_bytes(b"a file where the folder should be")
    result = bench.run(location(bench), JOB)
    assert not result.success
    assert bench.live(names.realtime_publication("production", VP)) is not None
    assert len(result.get_asset_materialization_events()) >= 1
    blocked.unlink()
    assert bench.run(location(bench), JOB).success
    assert len(kept(bench, VP)) == 1


def test_the_archive_and_the_published_store_may_be_one_folder(bench: Bench) -> None:
    bench.artifacts = Artifacts(archive_url=bench.artifacts.published_url, published_url=bench.artifacts.published_url)
    bench.archive("production", VP, vehicles(now()))
    assert bench.run(location(bench), JOB).success
    assert len(kept(bench, VP)) == 1
