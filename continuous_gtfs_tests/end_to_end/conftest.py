"""One platform of real processes for all end-to-end tests: PostgreSQL, vendor, code servers, daemon, webserver.

Its QA token and the place of its alerts come from a stand-in for Secret Manager, the production token from the
environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from continuous_gtfs.demo.processes import Platform
from continuous_gtfs_tests.alerts.webhook import webhook
from continuous_gtfs_tests.end_to_end.deployment import Deployment
from continuous_gtfs_tests.end_to_end.quick_agency.realtime import FAILS_SETTING
from continuous_gtfs_tests.pims.secret_manager import secret_manager

QUICK_AGENCY = "continuous_gtfs_tests.end_to_end.quick_agency"
REALTIME_EVERY_S = 4.0


# Ends with the last test of this folder: it sets environment variables that no other test should see.
@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    state = tmp_path_factory.mktemp("platform")
    root = Path(__file__).resolve().parents[2]
    with webhook() as alerts, secret_manager(ALERT_HOOK=[alerts.url.encode()]) as secrets:
        platform = Platform(
            state,
            realtime_every_s=REALTIME_EVERY_S,
            environment={
                "CONTINUOUS_GTFS_AGENCY": QUICK_AGENCY,
                "CONTINUOUS_GTFS_ALERT_URLS": "warning=${secret:ALERT_HOOK}",
                "CONTINUOUS_GTFS_SECRETS": "gcp:p-1",
                "SECRET_MANAGER_EMULATOR_HOST": secrets.endpoint,
                FAILS_SETTING: str(state / "step_fails"),
                "PYTHONPATH": str(root),
            },
        )
        secrets.values["PIMS_QA_TOKEN"] = [platform.environment["PIMS_QA_TOKEN"].encode()]
        with platform, pytest.MonkeyPatch.context() as environment:
            for name, value in platform.environment.items():
                environment.setenv(name, value)
            with DagsterInstance.from_config(platform.environment["DAGSTER_HOME"]) as instance:
                yield Deployment(platform, instance, alerts, secrets)


@pytest.fixture(autouse=True)
def _no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "deployment" in request.fixturenames:
        request.getfixturevalue("deployment").clear_faults()
