"""Beside forked runs Dagster's Kubernetes launcher starts all others: a job each, which it looks at and ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster import DagsterRunStatus
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData

from continuous_gtfs.instance.forked_run import WORKER_TAG
from continuous_gtfs.instance.launcher import WarmRunLauncher
from continuous_gtfs_tests.instance.api_server import ApiServer, api_server
from continuous_gtfs_tests.instance.station import PROJECT, Station, wait_for

IMAGE = "continuous-gtfs:2026.11.1"


@pytest.fixture(autouse=True)
def _image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of code servers and daemon alike, as everywhere; set before a station starts its code server."""
    monkeypatch.setenv("DAGSTER_CURRENT_IMAGE", IMAGE)


@pytest.fixture
def cluster() -> Iterator[ApiServer]:
    with api_server() as server:
        yield server


def launcher_of(station: Station, cluster: ApiServer, *, modules: list[str], **more: Any) -> WarmRunLauncher:
    """The launcher of the ``run_launcher`` block of the cluster's own dagster.yaml, in front of this cluster."""
    block = yaml.safe_load((PROJECT / "deploy" / "kubernetes" / "dagster.yaml").read_text())["run_launcher"]
    config = block["config"] | {"modules": modules} | more
    config["fallback"]["config"] |= {
        "load_incluster_config": False,
        "kubeconfig_file": str(cluster.write_kubeconfig(station.folder / "kubeconfig")),
    }
    data = ConfigurableClassData(block["module"], block["class"], yaml.safe_dump(config))
    launcher = data.rehydrate(as_type=WarmRunLauncher)
    launcher.register_instance(station.instance)
    return launcher


def launch(station: Station, launcher: WarmRunLauncher, job: str) -> Any:
    run = station.create(job)
    with station.workspace.create_request_context() as workspace:
        launcher.launch_run(LaunchRunContext(run, workspace))
    return run


def test_a_run_of_another_module_is_a_job_that_is_looked_at_and_ended(
    station: Station, cluster: ApiServer, tmp_path: Path
) -> None:
    launcher = launcher_of(station, cluster, modules=["another_module"])
    run = launch(station, launcher, "say_job")
    (job,) = cluster.jobs.values()
    kubernetes_validate.validate(job, "1.33", strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == IMAGE, "that of the code server"
    assert run.run_id in " ".join(container["args"])
    told = [next(iter(each.values()))["name"] for each in container["envFrom"]]
    assert told == ["continuous-gtfs", "continuous-gtfs"], "the settings, and the secrets"
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {
        "/app/dagster_home/dagster.yaml",
        "/app/dagster_home/storage",
        "/tmp",
    }
    assert container["resources"]["limits"] == {"memory": "4Gi"}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["serviceAccountName"] == "continuous-gtfs"
    assert WORKER_TAG not in station.run(run).tags

    station.instance.report_run_canceling(station.run(run))
    assert launcher.check_run_worker_health(station.run(run)).status is WorkerStatus.RUNNING
    cluster.status = {"failed": 1}
    assert launcher.check_run_worker_health(station.run(run)).status is WorkerStatus.FAILED
    assert launcher.terminate(run.run_id)
    assert cluster.deleted == [job["metadata"]["name"]]
    station.instance.report_run_canceled(station.run(run))


def test_a_run_of_its_own_modules_is_forked_or_started_by_the_code_server_and_is_no_job(
    station: Station, cluster: ApiServer
) -> None:
    station.warm_up()
    launcher = launcher_of(station, cluster, modules=[station.module])
    forked = station.ended(launch(station, launcher, "say_job"))
    assert (forked.status, WORKER_TAG in forked.tags) == (DagsterRunStatus.SUCCESS, True)
    station.launcher.dispose()
    served = station.ended(launch(station, launcher, "say_job"))
    assert (served.status, WORKER_TAG in served.tags) == (DagsterRunStatus.SUCCESS, False)
    # A code server's run is nothing that the cluster can tell about.
    assert launcher.check_run_worker_health(served).status is WorkerStatus.RUNNING
    assert not cluster.jobs
    launcher.dispose()


def test_a_location_with_settings_of_its_own_is_forked_from_a_process_that_has_them(
    station: Station, cluster: ApiServer
) -> None:
    said = station.file.read_text().replace('SAYS = "hello"', 'SAYS = os.environ.get("SAYS", "hello")')
    station.file.write_text(said)
    launcher = launcher_of(station, cluster, modules=[station.module], locations={"tests": {"SAYS": "capital"}})

    def forked() -> bool:
        return WORKER_TAG in station.ended(launch(station, launcher, "say_job")).tags

    wait_for(forked, what="a forked run")
    assert station.said().startswith("capital ")
    assert launcher.warm_pid is None
    launcher.dispose()
