"""docker-compose.yml as Docker Compose reads it, as far as this project uses it: variables, env files, services."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from continuous_gtfs_tests.real_data import ROOT

FILE = ROOT / "docker-compose.yml"
# ${NAME}, ${NAME:-default}, ${NAME:?message}; a default may hold variables.
VARIABLE = re.compile(r"\$\{(\w+)(?:(:-|:\?)((?:[^{}]|\$\{\w+\})*))?\}")
NAME = re.compile(r"\$\{(\w+)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class UnsetError(Exception):
    """A variable that the file insists on is not set."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service, its variables filled in.

    Attributes:
        environment: What ``env_file`` and ``environment`` give it, the latter winning.
        volumes: Path inside to the volume's name.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    needs: dict[str, str]
    health: list[str] | None
    stop_signal: str
    stop_grace_s: float
    volumes: dict[str, str]
    tmpfs: list[str]
    profiles: list[str]
    raw: dict[str, Any]


def variables(text: str) -> set[str]:
    """The variables that the file takes from its surroundings."""
    return set(NAME.findall(text))


def read_env(path: Path) -> dict[str, str]:
    """An env file: ``NAME=VALUE`` lines and comments."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def services(env: Mapping[str, str], file: Path = FILE) -> dict[str, Service]:
    """Every service with the variables of ``env``, which also stands for the file ``.env``.

    Raises:
        UnsetError: One that is required is missing or empty.
    """
    loaded = yaml.safe_load(file.read_text())
    return {name: _service(name, _fill(raw, env), env) for name, raw in loaded["services"].items()}


def _service(name: str, raw: dict[str, Any], env: Mapping[str, str]) -> Service:
    volumes = [volume.split(":") for volume in raw.get("volumes", [])]
    return Service(
        name=name,
        command=raw["command"],
        environment={**(env if raw.get("env_file") == ".env" else {}), **raw.get("environment", {})},
        needs={needed: how["condition"] for needed, how in raw.get("depends_on", {}).items()},
        health=raw["healthcheck"]["test"][1:] if "healthcheck" in raw else None,
        stop_signal=raw.get("stop_signal", "SIGTERM"),
        stop_grace_s=seconds(raw.get("stop_grace_period", "10s")),
        volumes={parts[1]: parts[0] for parts in volumes},
        tmpfs=[entry.partition(":")[0] for entry in raw.get("tmpfs", [])],
        profiles=raw.get("profiles", []),
        raw=raw,
    )


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(ms|s|m)", text)
    assert match, text
    return int(match[1]) * UNITS[match[2]]


def _fill(value: Any, env: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(each, env) for key, each in value.items()}
    if isinstance(value, list):
        return [_fill(each, env) for each in value]
    return VARIABLE.sub(lambda match: _value(match, env), value) if isinstance(value, str) else value


def _value(match: re.Match[str], env: Mapping[str, str]) -> str:
    name, how, text = match.groups()
    if env.get(name):
        return env[name]
    if how == ":?":
        raise UnsetError(f"{name}: {text}")
    return VARIABLE.sub(lambda inner: _value(inner, env), text or "")
