"""What the two code locations hold, as Dagster sees it."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest
from dagster import AssetCheckKey, DefaultSensorStatus, Definitions

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency, load_steps
from continuous_gtfs.definitions import realtime, schedule
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.realtime_guards import GUARDS_CHECK
from continuous_gtfs.defs.resources import Artifacts, VendorAccess
from continuous_gtfs.defs.schedule_gates import GATES
from continuous_gtfs.defs.schedule_ops import step_op
from continuous_gtfs.errors import ConfigurationError, StepDefinitionError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.pipeline.hashing import code_version
from continuous_gtfs.pipeline.step import step

AGENCY = load_agency(DEFAULT_AGENCY)
ENVIRONMENTS = ["production", "qa"]
ARTIFACTS = Artifacts(archive_url="archive", published_url="published")


@pytest.fixture(scope="module")
def locations() -> dict[str, Definitions]:
    """By pipeline."""
    return {
        name: module.build_definitions(
            agency=AGENCY,
            steps=load_steps(DEFAULT_AGENCY, name),
            artifacts=ARTIFACTS,
            vendor_access=VendorAccess(),
        )
        for name, module in (("schedule", schedule), ("realtime", realtime))
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(("pipeline", "max_runtime_s"), [("schedule", 1800), ("realtime", 120)])
def test_a_job_names_its_pipeline_ends_in_bounded_time_and_runs_in_one_process(
    locations: dict[str, Definitions], pipeline: str, environment: str, max_runtime_s: int
) -> None:
    job = locations[pipeline].resolve_job_def(names.job_name(pipeline, environment))
    assert job.tags[names.PIPELINE_TAG] == f"{pipeline}/{environment}"
    assert job.tags["dagster/max_runtime"] == str(max_runtime_s)
    assert job.executor_def.name == "in_process"


def test_a_retry_of_a_schedule_run_begins_with_the_first_step(locations: dict[str, Definitions]) -> None:
    job = locations["schedule"].resolve_job_def("schedule_production")
    assert job.tags["dagster/retry_strategy"] == "ALL_STEPS"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_gate_blocks(locations: dict[str, Definitions], environment: str) -> None:
    gates = {
        "schedule": [(keys.transformed_feed_key(environment), check) for check in GATES],
        "realtime": [
            (keys.published_realtime_key(environment, feed), GUARDS_CHECK)
            for feed in ("vehicle_positions", "trip_updates")
        ],
    }
    for pipeline, expected in gates.items():
        graph = locations[pipeline].resolve_asset_graph()
        for asset, check in expected:
            assert graph.get_check_spec(AssetCheckKey(asset, check)).blocking, f"{asset} {check}"


@pytest.mark.parametrize("pipeline", ["schedule", "realtime"])
def test_every_sensor_runs_by_itself(locations: dict[str, Definitions], pipeline: str) -> None:
    sensors = list(locations[pipeline].sensors or [])
    assert [sensor.name for sensor in sensors] == [
        *(names.sensor_name(pipeline, e) for e in ENVIRONMENTS),
        names.alerts_sensor_name(pipeline, ENVIRONMENTS[0]),
    ]
    assert {sensor.default_status for sensor in sensors} == {DefaultSensorStatus.RUNNING}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_freshness_is_what_the_agency_declares(locations: dict[str, Definitions], environment: str) -> None:
    expected = {
        keys.pims_key(environment, "vehicle_positions"): ("realtime", timedelta(minutes=5)),
        keys.published_realtime_key(environment, "trip_updates"): ("realtime", timedelta(minutes=5)),
        keys.pims_key(environment, "schedule"): ("schedule", timedelta(days=90)),
        keys.published_schedule_key(environment): ("schedule", timedelta(days=90)),
    }
    for asset, (pipeline, fail_after) in expected.items():
        policy = locations[pipeline].resolve_asset_graph().get(asset).freshness_policy
        assert policy is not None
        assert policy.fail_window.to_timedelta() == fail_after


def test_a_new_version_of_the_package_is_a_change_of_code() -> None:
    steps = load_steps(DEFAULT_AGENCY, "realtime")
    assert code_version(steps, "1.0.0") != code_version(steps, "1.0.1")
    assert code_version(steps, "1.0.0") != code_version((), "1.0.0")


@pytest.mark.parametrize("name", ["store_transformed_feed", "read_production_version", "config"])
def test_a_step_whose_name_no_op_can_have_is_refused_by_name(name: str) -> None:
    @step(files=["stops.txt"], name=name)
    def rule(feed: Feed) -> None: ...

    with pytest.raises(StepDefinitionError, match=f"cannot be named {name}"):
        step_op(rule)


def test_an_unknown_agency_fails_the_location_with_the_setting_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_AGENCY", "no_such_agency")
    with pytest.raises(ConfigurationError, match="CONTINUOUS_GTFS_AGENCY"):
        schedule.defs()


@pytest.mark.parametrize("location", ["schedule", "realtime"])
def test_importing_a_location_reads_no_setting(location: str) -> None:
    code = f"import continuous_gtfs.definitions.{location}"
    finished = subprocess.run(
        [sys.executable, "-c", code], env={"CONTINUOUS_GTFS_AGENCY": "no_such_agency"}, capture_output=True, check=False
    )
    assert finished.returncode == 0, finished.stderr.decode()


@pytest.mark.parametrize("location", ["schedule", "realtime"])
def test_a_location_loads_as_dagster_loads_it_with_every_job(locations: dict[str, Definitions], location: str) -> None:
    repository = locations[location].get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs()}
    assert {names.job_name(location, environment) for environment in ("production", "qa")} <= jobs
