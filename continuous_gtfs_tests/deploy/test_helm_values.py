"""The values for Dagster's own chart give the same platform as the manifests.

The chart is not at hand: what its ``templates/configmap-instance.yaml`` and ``deployment-user.yaml`` make of the values
is written down here.
"""

from __future__ import annotations

import copy
from typing import Any

import dagster
import kubernetes_validate
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config_schema
from dagster_k8s import K8sRunLauncher

from continuous_gtfs import __version__
from continuous_gtfs.demo import commands
from continuous_gtfs_tests.deploy.test_kubernetes import FOLDER, KUSTOMIZATION, WORKLOADS, container, of_kind, settings

FILE = FOLDER / "helm-values.yaml"
VALUES: dict[str, Any] = yaml.safe_load(FILE.read_text())
CODE_SERVERS: dict[str, dict[str, Any]] = {
    each["name"]: each for each in VALUES["dagster-user-deployments"]["deployments"]
}
BY_THE_CHART = {"storage", "run_launcher", "compute_logs", "telemetry"}


def instance() -> dict[str, Any]:
    """The ``dagster.yaml`` that the chart writes, for a release of the name ``dagster``."""
    database = {
        "postgres_db": {
            "username": VALUES["postgresql"]["postgresqlUsername"],
            "password": {"env": "DAGSTER_PG_PASSWORD"},
            "hostname": VALUES["postgresql"]["postgresqlHost"],
            "db_name": VALUES["postgresql"]["postgresqlDatabase"],
            "port": 5432,
        }
    }
    module = "dagster_postgres"
    made = {
        "scheduler": {"module": "dagster.core.scheduler", "class": "DagsterDaemonScheduler"},
        "run_storage": {"module": f"{module}.run_storage", "class": "PostgresRunStorage", "config": database},
        "event_log_storage": {"module": f"{module}.event_log", "class": "PostgresEventLogStorage", "config": database},
        "schedule_storage": {
            "module": f"{module}.schedule_storage",
            "class": "PostgresScheduleStorage",
            "config": database,
        },
        "run_launcher": VALUES["runLauncher"]["config"]["customRunLauncher"],
        "compute_logs": VALUES["computeLogManager"]["config"]["customComputeLogManager"],
        "telemetry": VALUES["telemetry"],
        **VALUES["additionalInstanceConfig"],
    }
    return copy.deepcopy(made)


def deployment(values: dict[str, Any]) -> dict[str, Any]:
    """The deployment that the chart makes of a code server, as far as the values tell of it."""
    ran = ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", str(values["port"]), *values["dagsterApiGrpcArgs"]]
    only = {
        "name": "dagster-user-deployments",
        "image": f"{values['image']['repository']}:{values['image']['tag']}",
        "imagePullPolicy": values["image"]["pullPolicy"],
        "args": ran,
        "envFrom": [
            *({"configMapRef": each} for each in values["envConfigMaps"]),
            *({"secretRef": each} for each in values["envSecrets"]),
        ],
        "securityContext": values["securityContext"],
        "resources": values["resources"],
        "startupProbe": {key: value for key, value in values["startupProbe"].items() if key != "enabled"},
        "livenessProbe": values["livenessProbe"],
    }
    labels = {"deployment": values["name"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": values["name"]},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"securityContext": values["podSecurityContext"], "containers": [only]},
            },
        },
    }


def test_the_chart_is_that_of_the_pinned_dagster() -> None:
    assert f"--version {dagster.__version__} " in FILE.read_text()


def test_the_instance_is_one_that_dagster_takes() -> None:
    outcome = process_config(resolve_to_config_type(dagster_instance_config_schema()), instance())
    assert outcome.success, outcome.errors


def test_the_instance_is_that_of_the_manifests_but_for_what_the_chart_writes_itself() -> None:
    there = settings()
    assert VALUES["additionalInstanceConfig"] == {k: v for k, v in there.items() if k not in BY_THE_CHART}
    written = instance()
    assert written["run_launcher"]["config"]["fallback"]["config"].pop("postgres_password_secret") == "continuous-gtfs"
    assert written["run_launcher"] == there["run_launcher"]
    assert written["compute_logs"] == {"config": {}} | there["compute_logs"]
    assert written["telemetry"] == there["telemetry"]
    # What stands in additionalInstanceConfig must not be written a second time.
    daemon = VALUES["dagsterDaemon"]
    assert [daemon[name]["enabled"] for name in ("runCoordinator", "runMonitoring", "runRetries")] == [False] * 3
    assert [daemon[name]["useThreads"] for name in ("sensors", "schedules")] == [False] * 2
    assert VALUES["retention"] == {"enabled": False}


def test_the_launcher_of_the_cluster_takes_its_settings() -> None:
    config = VALUES["runLauncher"]["config"]["customRunLauncher"]["config"]["fallback"]["config"]
    outcome = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), config)
    assert outcome.success, outcome.errors
    assert config["postgres_password_secret"] == VALUES["global"]["postgresqlSecretName"]
    assert config["service_account_name"] == VALUES["serviceAccount"]["name"]
    assert config["dagster_home"] == VALUES["global"]["dagsterHome"]
    assert f"--namespace {config['job_namespace']} " in FILE.read_text()
    assert config["job_namespace"] == KUSTOMIZATION["namespace"]


@pytest.mark.parametrize("name", ["schedule", "realtime"])
def test_a_code_server_is_that_of_the_manifests(name: str) -> None:
    made = deployment(CODE_SERVERS[name])
    kubernetes_validate.validate(made, "1.33", strict=True)
    here, there = container(made), container(WORKLOADS[f"code-{name}"])
    expected = commands.code_server(name, host="0.0.0.0", port=4000)
    assert (here["args"][:3], sorted(here["args"])) == (expected[:3], sorted(expected))
    for same in ("envFrom", "resources"):
        assert here[same] == there[same]
    for probe in ("startupProbe", "livenessProbe"):
        assert here[probe]["exec"]["command"] == ["python", "-m", "continuous_gtfs.container_health", "grpc", "4000"]


def test_the_daemon_is_told_of_its_image_and_asked_as_in_the_manifests() -> None:
    daemon = VALUES["dagsterDaemon"]
    image = f"continuous-gtfs:{__version__}"
    assert {f"{each['repository']}:{each['tag']}" for each in images()} == {image}
    assert daemon["env"] == [{"name": "DAGSTER_CURRENT_IMAGE", "value": image}]
    there = container(WORKLOADS["daemon"])
    assert daemon["resources"] == there["resources"]
    for probe in ("startupProbe", "livenessProbe"):
        assert daemon[probe]["exec"] == there[probe]["exec"]
    assert {each["name"] for each in daemon["envConfigMaps"]} <= set(of_kind("ConfigMap"))


def images() -> list[dict[str, str]]:
    others = [VALUES[part]["image"] for part in ("dagsterWebserver", "dagsterDaemon")]
    return [*others, *(each["image"] for each in CODE_SERVERS.values())]
