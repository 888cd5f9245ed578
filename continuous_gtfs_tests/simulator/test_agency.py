"""The generated agency as its callers see it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from continuous_gtfs.simulator.agency import GeneratedAgency

DIGESTS = """
import hashlib
from datetime import date, datetime, UTC
from continuous_gtfs.simulator.agency import GeneratedAgency
agency, now = GeneratedAgency(seed=4), datetime(2026, 10, 28, 20, tzinfo=UTC)
for data in (
    agency.schedule_zip(revision=1, service_start=date(2026, 10, 28)),
    agency.vehicle_positions(now, "qa"),
    agency.trip_updates(now, "production"),
):
    print(hashlib.sha256(data).hexdigest())
"""


def test_feeds_do_not_depend_on_the_hash_seed_or_the_timezone_of_the_process() -> None:
    def digests(hash_seed: str, timezone: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": timezone}
        ran = subprocess.run(
            [sys.executable, "-c", DIGESTS], env=environment, capture_output=True, text=True, check=True
        )
        return ran.stdout

    first = digests("1", "UTC")
    assert len(first.split()) == 3
    assert digests("2", "Asia/Tokyo") == first


def test_a_larger_scale_has_more_vehicles_and_the_same_trips_besides() -> None:
    now = datetime(2026, 10, 28, 20, tzinfo=UTC)
    one = {state.trip.trip_id for state in GeneratedAgency(seed=1).states(now)}
    four = {state.trip.trip_id for state in GeneratedAgency(seed=1, scale=4).states(now)}
    assert one < four
    assert len(four) > 1.5 * len(one)


def test_a_scale_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="scale must be at least 1, not 0"):
        GeneratedAgency(scale=0)
