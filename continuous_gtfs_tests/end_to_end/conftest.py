"""One platform of real processes for all end-to-end tests: PostgreSQL, vendor, code servers, daemon, webserver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from continuous_gtfs.demo.processes import Platform
from continuous_gtfs_tests.end_to_end.deployment import Deployment

QUICK_AGENCY = "continuous_gtfs_tests.end_to_end.quick_agency"
REALTIME_EVERY_S = 4.0


# Ends with the last test of this folder: it sets environment variables that no other test should see.
@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    state = tmp_path_factory.mktemp("platform")
    root = Path(__file__).resolve().parents[2]
    platform = Platform(
        state,
        realtime_every_s=REALTIME_EVERY_S,
        environment={"CONTINUOUS_GTFS_AGENCY": QUICK_AGENCY, "PYTHONPATH": str(root)},
    )
    with platform, pytest.MonkeyPatch.context() as environment:
        for name, value in platform.environment.items():
            environment.setenv(name, value)
        with DagsterInstance.from_config(platform.environment["DAGSTER_HOME"]) as instance:
            yield Deployment(platform, instance)


@pytest.fixture(autouse=True)
def _no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "deployment" in request.fixturenames:
        request.getfixturevalue("deployment").clear_faults()
