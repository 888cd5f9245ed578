"""A new version appears at the vendor, a sensor sees it, a run transforms it, consumers get it."""

from __future__ import annotations

import hashlib
import io
import itertools
import zipfile

import pytest
from dagster import DagsterRunStatus

from continuous_gtfs import names
from continuous_gtfs_tests.end_to_end.deployment import Deployment, wait_for

pytestmark = pytest.mark.end_to_end

ENVIRONMENTS = ["production", "qa"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_schedule_version_is_published_with_a_manifest_that_names_where_it_came_from(
    deployment: Deployment, environment: str
) -> None:
    name = names.schedule_publication(environment)
    manifest = deployment.wait_for_newer(name, None)
    data = (deployment.published / f"{name}.zip").read_bytes()
    assert hashlib.sha256(data).hexdigest() == manifest.objects[0].sha256
    stops = zipfile.ZipFile(io.BytesIO(data)).read("stops.txt").decode()
    assert "E01-T1" not in stops, "a station that is not open yet went out"
    facts = manifest.facts
    version = facts["inputs"]["schedule"]
    assert deployment.instance.has_dynamic_partition(f"schedule_{environment}_versions", version["version_id"])
    assert version["version_id"] in deployment.materialized_versions(environment, "schedule")
    run = deployment.instance.get_run_by_id(facts["run_id"])
    assert run is not None
    assert run.tags[names.version_tag("schedule")] == version["version_id"]
    assert run.tags[names.TRIGGER_TAG] in {"new_version", "never_run"}
    assert facts["step_hashes"]
    assert facts["code_version"] == run.tags[names.CODE_VERSION_TAG]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("feed", ["vehicle_positions", "trip_updates"])
def test_each_realtime_version_goes_out_as_protobuf_and_json(
    deployment: Deployment, environment: str, feed: str
) -> None:
    name = names.realtime_publication(environment, feed)
    first = deployment.wait_for_newer(name, None)
    second = deployment.wait_for_newer(name, first)
    assert second.order > first.order
    message = deployment.realtime_feed(environment, feed)
    assert message.header.timestamp >= int(second.order[0])
    assert len(message.entity) >= 4
    text = (deployment.published / f"{name}.json").read_text()
    assert '"gtfs_realtime_version": "2.0"' in text or '"gtfs_realtime_version":"2.0"' in text
    assert "E01" not in {v.vehicle.stop_id for v in message.entity}


def test_a_new_schedule_version_replaces_the_published_one(deployment: Deployment) -> None:
    name = names.schedule_publication("production")
    before = deployment.wait_for_newer(name, None)
    deployment.new_schedule("production")
    after = deployment.wait_for_newer(name, before)
    assert after.facts["inputs"]["schedule"]["version_id"] != before.facts["inputs"]["schedule"]["version_id"]
    assert (deployment.published / before.objects[0].version_path).exists(), "the earlier version stays at its own URL"


def test_a_pair_of_realtime_feeds_is_one_run(deployment: Deployment) -> None:
    def pairs() -> list[str]:
        runs = deployment.runs("realtime", "production")
        return [run.run_id for run in runs if run.tags.get(names.CHANGED_TAG) == "trip_updates,vehicle_positions"]

    assert wait_for(lambda: len(pairs()) >= 3, what="three runs that carry both feeds")


def test_runs_of_one_pipeline_never_overlap(deployment: Deployment) -> None:
    def finished() -> bool:
        runs = deployment.runs("realtime", "production")
        return sum(run.status is DagsterRunStatus.SUCCESS for run in runs) >= 3

    wait_for(finished, what="three finished runs")
    records = deployment.instance.get_run_records()
    spans = sorted(
        (record.start_time, record.end_time)
        for record in records
        if record.dagster_run.tags.get(names.PIPELINE_TAG) == "realtime/production"
        and record.start_time is not None
        and record.end_time is not None
    )
    assert len(spans) >= 3
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
