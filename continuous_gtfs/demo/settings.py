"""The environment of a platform in a state folder: what its processes read, kept in ``<state>/env``."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import continuous_gtfs
from continuous_gtfs.agencies.agency import DEFAULT_AGENCY
from continuous_gtfs.demo.ports import HOST, Ports
from continuous_gtfs.errors import ConfigurationError

TOKEN_NAMES = ("PIMS_PRODUCTION_TOKEN", "PIMS_QA_TOKEN")


def project_folder() -> Path:
    """The folder of ``dagster.yaml`` and ``deploy/``: the one around the package, or the working directory.

    Raises:
        ConfigurationError: Neither is a checkout of the project.
    """
    for folder in (Path(continuous_gtfs.__file__).resolve().parent.parent, Path.cwd()):
        if (folder / "dagster.yaml").is_file() and (folder / "deploy" / "workspace.yaml").is_file():
            return folder
    raise ConfigurationError("no dagster.yaml and deploy/workspace.yaml here: run from a checkout of the project")


def platform_environment(state: Path, *, ports: Ports, postgres_url: str, tokens: Mapping[str, str]) -> dict[str, str]:
    """What every process reads from its environment. The agency may be chosen from outside."""
    vendor = f"http://{HOST}:{ports.simulator}"
    return {
        "CONTINUOUS_GTFS_AGENCY": os.environ.get("CONTINUOUS_GTFS_AGENCY", DEFAULT_AGENCY),
        # The vendor of the demo is a process of this machine.
        "CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS": HOST,
        "CONTINUOUS_GTFS_ARCHIVE": str(state / "archive"),
        "CONTINUOUS_GTFS_PUBLISHED": str(state / "published"),
        "CONTINUOUS_GTFS_POSTGRES_URL": postgres_url,
        "CONTINUOUS_GTFS_SCHEDULE_HOST": HOST,
        "CONTINUOUS_GTFS_SCHEDULE_PORT": str(ports.code_schedule),
        "CONTINUOUS_GTFS_REALTIME_HOST": HOST,
        "CONTINUOUS_GTFS_REALTIME_PORT": str(ports.code_realtime),
        "DAGSTER_HOME": str(state / "dagster_home"),
        # A code server that is told to end waits this long for long polls, which nobody listens to any more.
        "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "1",
        "PIMS_PRODUCTION_URL": f"{vendor}/production",
        "PIMS_QA_URL": f"{vendor}/qa",
        **tokens,
    }


def tokens_of(state: Path) -> dict[str, str]:
    """The vendor tokens of this state folder: those of its ``env`` file, or new random ones."""
    known = read_environment(state / "env")
    return {name: known.get(name) or secrets.token_urlsafe(24) for name in TOKEN_NAMES}


def read_environment(path: Path) -> dict[str, str]:
    """The settings of an ``env`` file as ``write_environment`` writes it; none where there is no file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}


def write_environment(path: Path, environment: Mapping[str, str]) -> None:
    """Write an ``env`` file for ``set -a; . FILE``. It holds tokens: only its owner may read it."""
    lines = ["# Written by continuous-gtfs. For a shell: set -a; . this file; set +a"]
    lines += [f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items())]
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with open(part, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as output:
        output.write("\n".join(lines) + "\n")
    part.replace(path)


def prepare_state(state: Path, instance_settings: Path | None = None) -> None:
    """Make the folders of a state and copy the instance settings, the project's unless told, into its DAGSTER_HOME."""
    try:
        for name in ("logs", "dagster_home", "archive", "published"):
            (state / name).mkdir(parents=True, exist_ok=True)
        settings = instance_settings or project_folder() / "dagster.yaml"
        shutil.copyfile(settings, state / "dagster_home" / "dagster.yaml")
    except OSError as error:
        raise ConfigurationError(f"cannot use the state folder {state}: {error.strerror}") from error
