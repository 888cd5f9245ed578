"""The lifecycle rules of the buckets for the archive and for logs."""

from __future__ import annotations

import json

from continuous_gtfs.defs.maintenance_settings import DAY_S, Retention
from continuous_gtfs_tests.real_data import ROOT


def test_no_lifecycle_rule_deletes_and_each_goes_by_the_time_that_the_store_writes() -> None:
    rules = json.loads((ROOT / "deploy" / "gcs" / "lifecycle.json").read_text())["rule"]
    assert rules
    for rule in rules:
        assert rule["action"]["type"] == "SetStorageClass"
        assert rule["condition"]["daysSinceCustomTime"] >= 30


def test_logs_are_deleted_by_age_but_not_before_failed_runs_are() -> None:
    (rule,) = json.loads((ROOT / "deploy" / "gcs" / "lifecycle-logs.json").read_text())["rule"]
    assert rule["action"]["type"] == "Delete"
    assert rule["condition"]["age"] * DAY_S >= Retention().realtime_failure_s
