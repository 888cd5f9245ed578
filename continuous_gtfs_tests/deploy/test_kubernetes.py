"""The manifests are valid, run this project's own commands, and name nothing that is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster_k8s import K8sRunLauncher

from continuous_gtfs import __version__
from continuous_gtfs.container_health import GRPC_SERVICE
from continuous_gtfs.demo import commands
from continuous_gtfs.instance.launcher import WarmRunLauncher

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
MANIFESTS: list[dict[str, Any]] = [
    manifest for name in KUSTOMIZATION["resources"] for manifest in yaml.safe_load_all((FOLDER / name).read_text())
]
WORKSPACE = "/app/deploy/workspace.yaml"
COMMANDS = {
    "code-schedule": commands.code_server("schedule", host="0.0.0.0", port=4000),
    "code-realtime": commands.code_server("realtime", host="0.0.0.0", port=4000),
    "daemon": commands.daemon(workspace=WORKSPACE),
    "webserver": commands.webserver(host="0.0.0.0", port=3000, workspace=WORKSPACE),
    "migrate": commands.migrate(),
    "metrics": commands.metrics(host="0.0.0.0", port=9464),
}


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    return {manifest["metadata"]["name"]: manifest for manifest in MANIFESTS if manifest["kind"] in kinds}


WORKLOADS = of_kind("Deployment", "Job")


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def settings() -> dict[str, Any]:
    found = yaml.safe_load((FOLDER / "dagster.yaml").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_each_manifest_is_one_of_kubernetes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_every_file_is_applied() -> None:
    others = {"kustomization.yaml", "dagster.yaml", "helm-values.yaml"}
    assert {path.name for path in FOLDER.glob("*.yaml")} - others == set(KUSTOMIZATION["resources"])


def test_each_workload_runs_the_command_of_its_process() -> None:
    assert {name: container(workload)["command"] for name, workload in WORKLOADS.items()} == COMMANDS


def test_the_code_servers_are_found_where_the_workspace_looks() -> None:
    environment = of_kind("ConfigMap")["continuous-gtfs"]["data"]
    services = of_kind("Service")
    for location in ("SCHEDULE", "REALTIME"):
        service = services[environment[f"CONTINUOUS_GTFS_{location}_HOST"]]
        assert service["spec"]["ports"][0]["port"] == int(environment[f"CONTINUOUS_GTFS_{location}_PORT"])
        assert service["spec"]["selector"] == {"app": service["metadata"]["name"]}


def test_the_instance_is_that_of_every_deployment_but_for_the_launcher() -> None:
    here, there = settings(), yaml.safe_load((ROOT / "dagster.yaml").read_text())
    fallback = here["run_launcher"]["config"].pop("fallback")
    starts = [each["run_monitoring"].pop("start_timeout_seconds") for each in (here, there)]
    assert here == there
    assert starts[0] > starts[1], "a job of the cluster may have to wait for a machine"
    assert fallback["module"] == K8sRunLauncher.__module__.partition(".")[0]
    assert fallback["class"] == K8sRunLauncher.__name__


def test_the_launchers_take_their_settings() -> None:
    block = settings()["run_launcher"]["config"]
    for launcher, config in ((WarmRunLauncher, block), (K8sRunLauncher, block["fallback"]["config"])):
        outcome = process_config(resolve_to_config_type(launcher.config_type()), config)
        assert outcome.success, outcome.errors


def test_the_jobs_of_runs_name_what_is_applied() -> None:
    config = settings()["run_launcher"]["config"]["fallback"]["config"]
    assert config["service_account_name"] in of_kind("ServiceAccount")
    assert config["job_namespace"] == KUSTOMIZATION["namespace"]
    assert config["instance_config_map"] in {each["name"] for each in KUSTOMIZATION["configMapGenerator"]}
    assert set(config["env_config_maps"]) <= set(of_kind("ConfigMap"))
    assert KUSTOMIZATION["generatorOptions"]["disableNameSuffixHash"]


def test_the_image_is_one_everywhere_and_its_tag_is_the_version_of_the_package() -> None:
    (image,) = KUSTOMIZATION["images"]
    assert {container(workload)["image"] for workload in WORKLOADS.values()} == {image["name"]}
    told = of_kind("ConfigMap")["continuous-gtfs"]["data"]["DAGSTER_CURRENT_IMAGE"]
    assert told == f"{image['name']}:{image['newTag']}" == f"continuous-gtfs:{__version__}"


def test_a_probe_asks_its_own_process_only() -> None:
    """As the health checks of docker-compose.yml do; a code server is asked by the cluster, without a process."""
    web = {"httpGet": {"path": "/server_info", "port": 3000}}
    code = {"grpc": {"port": 4000, "service": GRPC_SERVICE}}
    daemon = {"exec": {"command": ["python", "-m", "continuous_gtfs.container_health", "process", "dagster-daemon"]}}
    metrics = {"httpGet": {"path": "/healthz", "port": 9464}}
    expected = {"code-schedule": code, "code-realtime": code, "daemon": daemon, "webserver": web, "metrics": metrics}
    for probe in ("startupProbe", "livenessProbe"):
        how = {"periodSeconds", "timeoutSeconds", "failureThreshold"}
        asked = {name: container(workload)[probe] for name, workload in of_kind("Deployment").items()}
        assert {name: {k: v for k, v in told.items() if k not in how} for name, told in asked.items()} == expected


def test_every_pod_gets_every_setting_those_of_runs_too() -> None:
    for workload in WORKLOADS.values():
        assert container(workload)["envFrom"] == [
            {"configMapRef": {"name": "continuous-gtfs"}},
            {"secretRef": {"name": "continuous-gtfs"}},
        ]
    fallback = settings()["run_launcher"]["config"]["fallback"]["config"]
    assert (fallback["env_config_maps"], fallback["env_secrets"]) == (["continuous-gtfs"], ["continuous-gtfs"])


def test_each_container_is_locked_up_and_writes_to_volumes_of_its_own_only() -> None:
    for name, workload in WORKLOADS.items():
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"], name
        locked = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container(workload)["securityContext"] == locked, name
        mounted = {mount["mountPath"] for mount in container(workload)["volumeMounts"]}
        assert mounted == {"/app/dagster_home/dagster.yaml", "/app/dagster_home/storage", "/tmp"}, name


def test_a_daemon_is_known_by_one_name_whichever_pod_it_is_in() -> None:
    """Else a run whose process is gone with the pod would be taken to run elsewhere, and wait for its longest time."""
    daemon = WORKLOADS["daemon"]["spec"]
    assert daemon["template"]["spec"]["hostname"] == "daemon"
    assert (daemon["replicas"], daemon["strategy"]) == (1, {"type": "Recreate"})
