"""A running platform as the end-to-end tests see it: the vendor's controls, Dagster's storage, what is published."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    DagsterInstance,
    DagsterRun,
    RunsFilter,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from google.transit import gtfs_realtime_pb2 as gtfs_rt

from continuous_gtfs import names
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.defs import keys
from continuous_gtfs.demo.processes import Platform
from continuous_gtfs_tests.alerts.webhook import Webhook
from continuous_gtfs_tests.pims.secret_manager import SecretManager

Value = TypeVar("Value")


def wait_for(condition: Callable[[], Value | None], *, what: str, timeout_s: float = 120.0) -> Value:
    """The first true value of ``condition``; fails the test with ``what`` when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {timeout_s:g} s: {what}")
        time.sleep(0.1)


@dataclass
class Deployment:
    """One platform, its vendor, its storage, where its alerts go and where its secrets come from."""

    platform: Platform
    instance: DagsterInstance
    alerts: Webhook
    secrets: SecretManager

    # the vendor

    def control(self, method: str, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.platform.url('simulator')}/control/{path}",
            data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read() or b"null")

    def set_fault(self, environment: str, feed: str, kind: str, **params: Any) -> None:
        self.control("POST", "faults", edition=environment, feed=feed, kind=kind, count=None, **params)

    def clear_faults(self) -> None:
        self.control("DELETE", "faults")

    def new_schedule(self, environment: str) -> None:
        self.control("POST", "schedule", edition=environment)

    # what is published

    @property
    def published(self) -> Path:
        return Path(self.platform.environment["CONTINUOUS_GTFS_PUBLISHED"])

    def manifest(self, name: str) -> Manifest | None:
        return Publisher(LocalStore(self.published)).current(name)

    def vehicle_positions(self, environment: str) -> gtfs_rt.FeedMessage:
        return self.realtime_feed(environment, "vehicle_positions")

    def realtime_feed(self, environment: str, feed: str) -> gtfs_rt.FeedMessage:
        data = (self.published / f"{names.realtime_publication(environment, feed)}.pb").read_bytes()
        message = gtfs_rt.FeedMessage()
        message.ParseFromString(data)
        return message

    def wait_for_newer(self, name: str, than: Manifest | None, *, timeout_s: float = 120.0) -> Manifest:
        def newer() -> Manifest | None:
            manifest = self.manifest(name)
            is_newer = manifest is not None and (than is None or manifest.label != than.label)
            # The stable files follow the manifest: see docs/decisions/0001.
            return manifest if manifest and is_newer and self.is_followed(manifest) else None

        return wait_for(newer, what=f"{name} published anew", timeout_s=timeout_s)

    def is_followed(self, manifest: Manifest) -> bool:
        """Whether every stable file has the bytes that the manifest names."""
        paths = [(self.published / item.path, item.sha256) for item in manifest.objects]
        return all(path.exists() and sha256(path.read_bytes()).hexdigest() == digest for path, digest in paths)

    # Dagster's storage

    def cursor(self, pipeline: str, environment: str) -> dict[str, Any]:
        wanted = names.sensor_name(pipeline, environment)
        for state in self.instance.all_instigator_state():
            if state.instigator_name == wanted and state.instigator_data is not None:
                return json.loads(getattr(state.instigator_data, "cursor", None) or "{}")
        return {}

    def outcomes(self, environment: str, feed: str) -> dict[str, int]:
        pipeline = "schedule" if feed == "schedule" else "realtime"
        return self.cursor(pipeline, environment).get("feeds", {}).get(feed, {}).get("outcomes", {})

    def runs(self, pipeline: str, environment: str) -> list[DagsterRun]:
        tag = names.pipeline_name(pipeline, environment)
        return list(self.instance.get_runs(RunsFilter(tags={names.PIPELINE_TAG: tag})))

    def materialized_versions(self, environment: str, feed: str) -> list[str]:
        """Version ids of the vendor feed's materializations, oldest first."""
        return [
            str(materialization.metadata["version_id"].value)
            for materialization in self.materializations(keys.pims_key(environment, feed))
        ]

    def materializations(self, key: AssetKey) -> list[AssetMaterialization]:
        """Every materialization of an asset, oldest first."""
        found: list[AssetMaterialization] = []
        page_cursor: str | None = None
        while True:
            page = self.instance.fetch_materializations(key, limit=1000, cursor=page_cursor, ascending=True)
            found += [record.asset_materialization for record in page.records if record.asset_materialization]
            page_cursor = page.cursor
            if not page.has_more:
                return found

    def latest_evaluation(self, key: AssetKey, check: str) -> AssetCheckEvaluation | None:
        """What a check said when it was last evaluated; None where a run is about to say it anew."""
        check_key = AssetCheckKey(key, check)
        record = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([check_key]).get(check_key)
        evaluation = record.evaluation if record else None
        return evaluation if isinstance(evaluation, AssetCheckEvaluation) else None

    def latest_check(self, key: AssetKey, check: str) -> bool | None:
        """Whether the newest evaluation of a check passed; None where there is none."""
        check_key = AssetCheckKey(key, check)
        found = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([check_key])
        record = found.get(check_key)
        return None if record is None else record.status is AssetCheckExecutionRecordStatus.SUCCEEDED
