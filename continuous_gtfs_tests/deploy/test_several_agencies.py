"""Two agencies in one Dagster instance, as docs/operations.md says: each has code servers of its own; both publish."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from continuous_gtfs import names
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.demo import commands
from continuous_gtfs.demo.child import Child
from continuous_gtfs.demo.ports import HOST, Ports, is_listening
from continuous_gtfs.demo.processes import Platform
from continuous_gtfs.instance.forked_run import WORKER_TAG
from continuous_gtfs_tests.documents import OPERATIONS, blocks
from continuous_gtfs_tests.end_to_end.deployment import wait_for
from continuous_gtfs_tests.real_data import ROOT

pytestmark = pytest.mark.end_to_end

SECOND = "capital=continuous_gtfs.agencies.sound_transit"
"""The second agency has the first one's feeds and steps: only its key tells its names from the others'."""
FIRST_PROCESSES = (
    commands.POSTGRES,
    commands.MIGRATE,
    commands.CODE_SCHEDULE,
    commands.CODE_REALTIME,
    commands.SIMULATOR,
)


@contextmanager
def running(child: Child) -> Iterator[None]:
    child.launch()
    try:
        wait_for(lambda: child.check() or child.is_ready(), what=f"{child.name} ready")
        yield
    finally:
        child.kill()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("agencies")
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    (told,) = (body for body in blocks(OPERATIONS, "yaml") if "realtime_capital" in body)
    settings |= yaml.safe_load(told.replace("capital=agencies.capital", SECOND))
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    workspace = yaml.safe_load((ROOT / "deploy" / "workspace.yaml").read_text())
    free = Ports.free()
    ports = {"schedule": free.code_schedule, "realtime": free.code_realtime}
    for pipeline, port in ports.items():
        server = {"location_name": f"{pipeline}_capital", "host": HOST, "port": port}
        workspace["load_from"].append({"grpc_server": server})
    (folder / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    with ExitStack() as stack:
        platform = Platform(
            folder / "state",
            names=FIRST_PROCESSES,
            realtime_every_s=4.0,
            instance_settings=folder / "dagster.yaml",
        )
        stack.enter_context(platform)
        scripts = Path(sys.executable).parent
        environment = {**os.environ, **platform.environment}
        for pipeline, port in ports.items():
            command = commands.code_server(pipeline, host=HOST, port=port)
            command[command.index("--location-name") + 1] = f"{pipeline}_capital"
            stack.enter_context(
                running(
                    Child(
                        name=f"{pipeline}_capital",
                        command=[str(scripts / command[0]), *command[1:]],
                        environment=environment | {"CONTINUOUS_GTFS_AGENCY": SECOND},
                        log=folder / f"{pipeline}.log",
                        is_ready=lambda port=port: is_listening(port),
                    )
                )
            )
        command = commands.daemon(workspace=str(folder / "workspace.yaml"))
        daemon = Child(
            name="daemon",
            command=[str(scripts / command[0]), *command[1:]],
            environment=environment,
            log=folder / "daemon.log",
            is_ready=lambda: True,  # The publications are waited for.
        )
        stack.enter_context(running(daemon))
        yield platform


@pytest.fixture(scope="module")
def instance(platform: Platform) -> Iterator[DagsterInstance]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in platform.environment.items():
            environment.setenv(name, value)
        with DagsterInstance.from_config(platform.environment["DAGSTER_HOME"]) as instance:
            yield instance


def test_both_agencies_publish_and_neither_in_the_others_name(platform: Platform, instance: DagsterInstance) -> None:
    store = LocalStore(Path(platform.environment["CONTINUOUS_GTFS_PUBLISHED"]))

    def live(name: str) -> Manifest | None:
        return Publisher(store).current(name)

    for edition in ("production", "qa", "capital_production", "capital_qa"):
        for name in (names.schedule_publication(edition), names.realtime_publication(edition, "vehicle_positions")):
            manifest = wait_for(lambda name=name: live(name), what=f"{name} published")
            run = instance.get_run_by_id(manifest.facts["run_id"])
            assert run is not None
            assert run.tags[names.PIPELINE_TAG].endswith(f"/{edition}")
            location = run.remote_job_origin.location_name if run.remote_job_origin else ""
            assert location.endswith("_capital") == edition.startswith("capital_")


def test_realtime_runs_of_both_are_forked(instance: DagsterInstance) -> None:
    for edition in ("production", "capital_production"):
        job = RunsFilter(job_name=names.job_name("realtime", edition), statuses=[DagsterRunStatus.SUCCESS])
        # The first ones may come before the code is loaded, and are started by the code server.
        wait_for(
            lambda job=job: [run for run in instance.get_runs(job) if WORKER_TAG in run.tags],
            what=f"a forked run of {edition}",
        )
