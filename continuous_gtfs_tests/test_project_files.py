"""Guards the files around the package: the lock, the workspaces, what CI runs, and what no file may hold."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from continuous_gtfs_tests.real_data import ROOT

PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.+!_-]+)")
# A path of one machine, or the address of a package file or index.
MACHINE = re.compile(
    r"(?:^|[^A-Za-z0-9._}-])/(?:home|root|Users|mnt|work)/|https?://\S*(?:/simple\b|/packages/|\.whl\b|\.tgz\b)"
)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return {match[1].lower().replace("_", "-"): match[2] for line in lines if (match := PIN.fullmatch(line))}


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


def test_what_ci_runs_is_what_a_developer_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text())
    steps = workflow["jobs"]["check"]["steps"]
    assert {"run": "make check"} in steps
    assert any(step.get("with", {}).get("python-version") == "3.11" for step in steps)
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o100
    assert re.search(r"^make test$", script.read_text(), re.MULTILINE)
