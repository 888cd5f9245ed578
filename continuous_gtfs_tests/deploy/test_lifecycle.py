"""The lifecycle rules of the archive's bucket."""

from __future__ import annotations

import json

from continuous_gtfs_tests.real_data import ROOT


def test_no_lifecycle_rule_deletes_and_each_goes_by_the_time_that_the_store_writes() -> None:
    rules = json.loads((ROOT / "deploy" / "gcs" / "lifecycle.json").read_text())["rule"]
    assert rules
    for rule in rules:
        assert rule["action"]["type"] == "SetStorageClass"
        assert rule["condition"]["daysSinceCustomTime"] >= 30
