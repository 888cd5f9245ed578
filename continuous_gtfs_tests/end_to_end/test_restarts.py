"""What a restart of the daemon or of a code server loses or repeats: nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from continuous_gtfs import names
from continuous_gtfs_tests.end_to_end.deployment import Deployment, wait_for

pytestmark = pytest.mark.end_to_end


def test_a_killed_daemon_neither_loses_nor_repeats_a_version(deployment: Deployment) -> None:
    schedule = names.schedule_publication("production")
    before = deployment.wait_for_newer(schedule, None)
    live = {
        feed: deployment.wait_for_newer(names.realtime_publication("production", feed), None)
        for feed in ("vehicle_positions", "trip_updates")
    }
    deployment.platform.kill_process("daemon")
    deployment.new_schedule("production")
    deployment.platform.start_process("daemon")
    after = deployment.wait_for_newer(schedule, before)
    for feed, manifest in live.items():
        deployment.wait_for_newer(names.realtime_publication("production", feed), manifest)
    version_id = after.facts["inputs"]["schedule"]["version_id"]
    assert deployment.materialized_versions("production", "schedule").count(version_id) == 1
    asked = Counter(
        run.tags[names.version_tag("schedule")]
        for run in deployment.runs("schedule", "production")
        if names.version_tag("schedule") in run.tags and "dagster/parent_run_id" not in run.tags
    )
    assert asked[version_id] == 1
    for feed in ("vehicle_positions", "trip_updates"):
        repeated = [v for v, n in Counter(deployment.materialized_versions("production", feed)).items() if n > 1]
        assert repeated == []


def test_a_restarted_code_server_carries_on_where_it_was(deployment: Deployment) -> None:
    name = names.realtime_publication("qa", "vehicle_positions")
    live = deployment.wait_for_newer(name, None)
    version = deployment.wait_for_newer(names.schedule_publication("qa"), None)
    runs_before = len(deployment.runs("schedule", "qa"))
    deployment.platform.stop_process("code-realtime")
    deployment.platform.stop_process("code-schedule")
    deployment.platform.start_process("code-realtime")
    deployment.platform.start_process("code-schedule")
    deployment.wait_for_newer(name, deployment.manifest(name) or live)
    process = deployment.cursor("schedule", "qa")["process"]
    wait_for(
        lambda: deployment.cursor("schedule", "qa")["process"] != process or None,
        what="a tick of the new code server",
        timeout_s=90,
    )
    assert len(deployment.runs("schedule", "qa")) == runs_before, "the same version was run again without a reason"
    now = deployment.manifest(names.schedule_publication("qa"))
    assert now is not None
    assert now.label == version.label
