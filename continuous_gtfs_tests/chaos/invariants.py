"""What must hold once all is quiet: of the archive, the publications, the runs, the machine.

Each function gives sentences on what does not hold, none where all does. They read; nothing is mended here.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import psutil
from dagster import AssetKey, AssetMaterialization, DagsterInstance, DagsterRunStatus, EventLogRecord
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from continuous_gtfs import names
from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.cursor import Cursor
from continuous_gtfs.errors import ContinuousGtfsError
from continuous_gtfs_tests.chaos.observer import REALTIME_FEEDS

FEEDS = {"schedule": ("schedule",), "realtime": REALTIME_FEEDS}
LEFTOVER_AFTER_S = 150.0
TICKED_WITHIN_S = 90.0


def publication_of(edition: str, feed: str) -> str:
    return names.schedule_publication(edition) if feed == "schedule" else names.realtime_publication(edition, feed)


def archive_is_whole(archive: Archive, instance: DagsterInstance, editions: Sequence[str]) -> Iterator[str]:
    """Every version has its bytes; every version that was reported or asked for is archived."""
    for edition in editions:
        for feed in ("schedule", *REALTIME_FEEDS):
            known = {version.version_id: version for version in archive.versions(edition, feed)}
            for version in known.values():
                try:
                    archive.read(version)
                except ContinuousGtfsError as error:
                    yield f"{edition}/{feed}: {error}"
            reports = reports_of(instance, edition, feed)
            yield from (f"{edition}/{feed}: {each} was reported and is not archived" for each in {*reports} - {*known})
            yield from (
                f"{edition}/{feed}: {each} was reported {n} times as new"
                for each, n in reports.items()
                if n > 1 and n - half_reported(instance, edition, feed, each) > 1
            )
            tag = names.version_tag(feed)
            asked = {
                run.tags[tag]
                for run in instance.get_runs()
                if run.tags.get(names.PIPELINE_TAG, "").endswith(edition) and tag in run.tags
            }
            yield from (f"{edition}/{feed}: a run asks for {each}, which is not archived" for each in asked - {*known})


def nothing_is_lost(archive: Archive, store: LocalStore, editions: Sequence[str]) -> Iterator[str]:
    """The newest archived version of each feed is live, or something newer is."""
    for edition in editions:
        for feed in ("schedule", *REALTIME_FEEDS):
            live = Publisher(store).current(publication_of(edition, feed))
            versions = archive.versions(edition, feed)
            if live is None or not versions:
                yield f"{edition}/{feed}: {len(versions)} versions archived, live is {live and live.label}"
                continue
            newest = max(versions, key=lambda v: (v.header_timestamp or 0, v.fetched_at))
            inputs = live.facts["inputs"][feed]
            if (newest.header_timestamp or 0, newest.fetched_at.isoformat()) > (
                inputs.get("header_timestamp") or 0,
                inputs["fetched_at"],
            ):
                yield f"{edition}/{feed}: {newest.version_id} is lost: {inputs['version_id']} is live"


def publications_are_whole(store: LocalStore, editions: Sequence[str]) -> Iterator[str]:
    """Each stable object is that of its manifest, and everything a manifest names is there with its digest."""
    for edition in editions:
        for feed in ("schedule", *REALTIME_FEEDS):
            name = publication_of(edition, feed)
            live = Publisher(store).current(name)
            if live is None:
                continue
            for release in (live.current, *live.previous):
                for item in release.objects:
                    paths = [item.version_path, *([item.path] if release is live.current else [])]
                    for path in paths:
                        try:
                            digest = hashlib.sha256(store.read(path)).hexdigest()
                        except ContinuousGtfsError as error:
                            yield f"{name}: {error}"
                            continue
                        if digest != item.sha256:
                            yield f"{name}: {path} has digest {digest[:12]} and its manifest says {item.sha256[:12]}"


def nothing_is_published_twice(instance: DagsterInstance, editions: Sequence[str]) -> Iterator[str]:
    """By the event log: a label was made live once; the same one again is told as unchanged."""
    for edition in editions:
        for feed in ("schedule", *REALTIME_FEEDS):
            key = (
                keys.published_schedule_key(edition)
                if feed == "schedule"
                else keys.published_realtime_key(edition, feed)
            )
            labels = Counter(
                str(each.metadata["live_label"].value)
                for each in materializations(instance, key)
                if "outcome" in each.metadata and each.metadata["outcome"].value == "published"
            )
            yield from (f"{edition}/{feed}: {label} was published {n} times" for label, n in labels.items() if n > 1)


def no_run_is_stuck(instance: DagsterInstance, limit_s: float) -> Iterator[str]:
    """Every run is over, and none took longer than ``limit_s``."""
    for record in instance.get_run_records():
        run, created = record.dagster_run, record.create_timestamp.timestamp()
        ended = record.end_time or (record.update_timestamp.timestamp() if run.is_finished else time.time())
        if ended - created > limit_s:
            state = "is" if not run.is_finished else "ended as"
            yield f"run {run.run_id} of {run.job_name} {state} {run.status.value} after {ended - created:.0f} s"


def unfinished(instance: DagsterInstance) -> list[str]:
    return [
        f"{run.run_id} of {run.job_name} is {run.status.value}" for run in instance.get_runs() if not run.is_finished
    ]


def no_slot_is_held(instance: DagsterInstance) -> Iterator[str]:
    """Nothing is claimed in a pool while no run is under way."""
    storage = instance.event_log_storage
    for pool in storage.get_concurrency_keys():
        info = storage.get_concurrency_info(pool)
        busy = [slot.run_id for slot in info.claimed_slots if _is_over(instance, slot.run_id)]
        if busy or info.pending_steps:
            yield f"pool {pool}: slots of {busy} are claimed, {len(info.pending_steps)} steps wait"


def sensors_tick(instance: DagsterInstance, editions: Sequence[str]) -> Iterator[str]:
    """Each sensor has ticked well lately and its cursor can be read."""
    found = {state.instigator_name: state for state in instance.all_instigator_state()}
    for pipeline, feeds in FEEDS.items():
        for edition in editions:
            name = names.sensor_name(pipeline, edition)
            state = found.get(name)
            if state is None:
                yield f"{name}: has no state"
                continue
            try:
                Cursor.from_json(getattr(state.instigator_data, "cursor", None), feeds)
            except ContinuousGtfsError as error:
                yield f"{name}: {error}"
            ticks: list[InstigatorTick] = list(
                instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=5)
            )
            good = [t for t in ticks if t.status in (TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.STARTED)]
            if not any(time.time() - tick.timestamp < TICKED_WITHIN_S for tick in good):
                yield f"{name}: no good tick in {TICKED_WITHIN_S:g} s: {[t.status.value for t in ticks]}"


def nothing_is_left_over(*stores: Store) -> Iterator[str]:
    """What a killed writer left half written in a folder is swept by those that come after it."""
    for store in (store for store in stores if isinstance(store, LocalStore)):
        for path in (store.root / ".metadata" / "incoming").glob("*"):
            age = time.time() - path.stat().st_mtime
            if age > LEFTOVER_AFTER_S:
                yield f"{path} was left {age:.0f} s ago"


def orphans(marker: str) -> list[str]:
    """Processes that still carry ``marker`` in their environment after everything was stopped."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != psutil.Process().pid and marker in process.environ().values():
                found.append(f"process {process.pid} outlived the platform: {' '.join(process.cmdline())[:120]}")
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def reports_of(instance: DagsterInstance, edition: str, feed: str) -> Counter[str]:
    """By version of a feed, how often it was reported as new."""
    return Counter(version_of(each) for each in materializations(instance, keys.pims_key(edition, feed)))


def half_reported(instance: DagsterInstance, edition: str, feed: str, version: str) -> int:
    """How many reports of a version were cut in two: they are in the event log and not in the index of assets.

    Dagster writes one after the other. Who died in between has told nobody, and it is right to report again.
    """
    key = keys.pims_key(edition, feed)
    return sum(
        not instance.event_log_storage.get_event_tags_for_asset(key, filter_event_id=record.storage_id)
        for record in _records(instance, key)
        if record.asset_materialization and version_of(record.asset_materialization) == version
    )


def materializations(instance: DagsterInstance, key: AssetKey) -> list[AssetMaterialization]:
    """All of an asset, oldest first."""
    return [record.asset_materialization for record in _records(instance, key) if record.asset_materialization]


def _records(instance: DagsterInstance, key: AssetKey) -> Iterator[EventLogRecord]:
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(key, limit=1000, cursor=cursor, ascending=True)
        yield from page.records
        cursor = page.cursor
        if not page.has_more:
            return


def version_of(materialization: AssetMaterialization) -> str:
    return str(materialization.metadata["version_id"].value)


def count_runs(instance: DagsterInstance, editions: Sequence[str]) -> dict[str, int]:
    statuses = Counter(run.status for run in instance.get_runs())
    return {
        "runs": sum(statuses.values()),
        "runs that failed": statuses[DagsterRunStatus.FAILURE],
        "reports that were cut in two and made again": sum(
            half_reported(instance, edition, feed, version)
            for edition in editions
            for feed in ("schedule", *REALTIME_FEEDS)
            for version, n in reports_of(instance, edition, feed).items()
            if n > 1
        ),
        "runs that were retried by Dagster": sum("dagster/parent_run_id" in run.tags for run in instance.get_runs()),
    }


def _is_over(instance: DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished
