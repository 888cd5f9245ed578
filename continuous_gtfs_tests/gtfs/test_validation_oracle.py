"""The validator against an independent port of the canonical one: the same notices, the same counts."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from continuous_gtfs.gtfs.validation import validate_feed
from continuous_gtfs_tests.builders import csv_text, feed_zip, small_feed_files

DAY = date(2026, 6, 1)
FILES = small_feed_files()


def edited(name: str, old: str, new: str) -> dict[str, str]:
    assert old in FILES[name]
    return FILES | {name: FILES[name].replace(old, new)}


DEFECTS = {
    "none": FILES,
    "a trip of a route that is not there": edited("trips.txt", "007,DAY,T1", "GONE,DAY,T1"),
    "a trip twice": FILES | {"trips.txt": FILES["trips.txt"] + csv_text("007,DAY,T1,North End,0,")},
    "a time that is none": edited("stop_times.txt", "08:15:00,08:15:00", "8h,8h"),
    "a stop before its predecessor": edited("stop_times.txt", "08:15:00,08:15:00", "07:15:00,07:15:00"),
    "a colour by name": edited("routes.txt", "003366", "blue"),
    "a column that is missing": edited("stops.txt", "stop_lat", "lat"),
    "a file that is missing": {name: text for name, text in FILES.items() if name != "agency.txt"},
    "a stop off the globe": edited("stops.txt", "47.620000", "147.62"),
    "a row with too many cells": FILES | {"agency.txt": FILES["agency.txt"].rstrip("\n") + ",one,too,many\n"},
    "a stop that is gone": edited("stops.txt", "N,North End,47.640000,-122.330000,0,\n", ""),
    "a URL that is none": edited("agency.txt", "https://small", "small"),
}


def notices_of_oracle(feed: bytes, folder: Path) -> dict[str, dict[str, int]]:
    """By severity and code, how many notices the port reports."""
    (folder / "feed.zip").write_bytes(feed)
    command = [Path(sys.executable).with_name("gtfs-validator"), "-i", "feed.zip", "-o", "out"]
    subprocess.run([*command, "-d", DAY.isoformat(), "-c", "US"], cwd=folder, check=True, capture_output=True)
    notices = json.loads((folder / "out" / "report.json").read_text())["notices"]
    return {
        severity: {n["code"]: n["totalNotices"] for n in notices if n["severity"] == severity.upper()}
        for severity in ("error", "warning", "info")
    }


@pytest.mark.parametrize("defect", DEFECTS)
def test_both_validators_say_the_same_of(defect: str, tmp_path: Path) -> None:
    feed = feed_zip(DEFECTS[defect])
    report = validate_feed(feed, service_date=DAY, country_code="US")
    assert report.counts == notices_of_oracle(feed, tmp_path)
    assert bool(report.errors) is (defect != "none")
