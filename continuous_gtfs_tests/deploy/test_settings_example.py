""".env.example tells of every setting that anything reads, of nothing else, and no secret."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.defs.maintenance_settings import Retention
from continuous_gtfs.demo import commands
from continuous_gtfs.demo.ports import Ports
from continuous_gtfs.demo.settings import platform_environment
from continuous_gtfs_tests.deploy import compose
from continuous_gtfs_tests.real_data import ROOT
from tools.dockerfile import stages

FILE = ROOT / ".env.example"
LINE = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]+)=", re.MULTILINE)
OURS = re.compile(r"(?:CONTINUOUS_GTFS|PIMS|POSTGRES|COMPOSE|DAGSTER)_[A-Z0-9_]+")
# Said by one process to another, or fixed by docker-compose.yml: nobody sets them.
NOT_FOR_OPERATORS = {"CONTINUOUS_GTFS_TABLES_ARE_THERE", "POSTGRES_USER", "POSTGRES_DB"}


def told() -> list[str]:
    return LINE.findall(FILE.read_text())


def literals(path: Path) -> set[str]:
    """The settings that a module names: string literals that are a name and nothing else."""
    constants = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    return {value for value in constants if isinstance(value, str) and OURS.fullmatch(value)}


def read_by_anything() -> set[str]:
    modules = (path for path in (ROOT / "continuous_gtfs").rglob("*.py") if path.name != "setting_names.py")
    found = {name for path in modules for name in literals(path)}
    found |= compose.variables(compose.FILE.read_text())
    for file in ("dagster.yaml", "deploy/workspace.yaml"):
        found |= set(re.findall(r"env: (\w+)", (ROOT / file).read_text()))
    for source in load_agency(DEFAULT_AGENCY).feeds:
        found |= set(re.findall(r"\$\{(?:config|secret):(\w+)", source.url + str(dict(source.headers))))
    return found | {"COMPOSE_PROFILES"}


def test_every_setting_is_told_of_once_and_nothing_that_is_none() -> None:
    names = told()
    assert sorted(read_by_anything() - NOT_FOR_OPERATORS - set(names)) == []
    assert sorted(set(names) - read_by_anything()) == []
    assert len(names) == len(set(names))


def test_every_setting_of_the_demo_is_told_of(tmp_path: Path) -> None:
    tokens = {"PIMS_PRODUCTION_TOKEN": "", "PIMS_QA_TOKEN": ""}
    settings = platform_environment(tmp_path, ports=Ports.from_base(4000), postgres_url="", tokens=tokens)
    assert set(settings) - set(told()) == set()


def test_it_holds_no_secret() -> None:
    values = compose.read_env(FILE)
    secrets = [name for name in values if re.search("TOKEN|PASSWORD|SECRET|KEY$", name)]
    assert len(secrets) >= 3
    assert {values[name] for name in secrets} == {""}


def test_every_setting_reaches_the_services_that_read_it() -> None:
    """A setting stands in ``.env`` and nowhere else: what is not passed on would be ignored without a word."""
    given = {name: f"{name.lower()}-given" for name in compose.read_env(FILE)}
    services = compose.services(given)
    substituted = compose.variables(compose.FILE.read_text()) | {"COMPOSE_PROFILES"}
    for code in (commands.CODE_SCHEDULE, commands.CODE_REALTIME, commands.DAEMON):
        environment = services[code].environment
        assert [name for name in given if name not in substituted and environment.get(name) != given[name]] == [], code
    shown = "".join(str(service.raw) for service in services.values())
    assert [name for name in substituted & set(given) if given[name] not in shown] == ["COMPOSE_PROFILES"]


def test_what_is_not_filled_in_is_as_if_it_were_not_there() -> None:
    """A blank reaches a process as an empty string, not as nothing."""
    blank = {name: value for name, value in compose.read_env(FILE).items() if not value}
    assert Retention.from_environment(blank) == Retention()
    environment = compose.services(blank | {"CONTINUOUS_GTFS_VERSION": "1"})[commands.DAEMON].environment
    assert environment["CONTINUOUS_GTFS_ARCHIVE"] == "/data/archive"
    assert environment["CONTINUOUS_GTFS_POSTGRES_URL"].startswith("postgresql://dagster:")


def test_what_operators_of_containers_need_not_set_is_set() -> None:
    """The names that stand in a comment at the end of the file."""
    rest = [name for name in told() if name not in compose.read_env(FILE) and name != "CONTINUOUS_GTFS_CONTROL_TOKEN"]
    assert len(rest) >= 7
    image = {
        pair.partition("=")[0]
        for line in stages(ROOT / "Dockerfile")[-1]
        if line.name == "ENV"
        for pair in line.text.split()
    }
    environment = compose.services(compose.read_env(FILE) | {"CONTINUOUS_GTFS_VERSION": "1"})[
        commands.DAEMON
    ].environment
    assert sorted(set(rest) - image - set(environment)) == []


@pytest.mark.parametrize("line", FILE.read_text().splitlines())
def test_docker_compose_reads_each_line_as_it_stands(line: str) -> None:
    """A comment behind a value, or a blank around the sign, would become part of it."""
    assert line == "" or line.startswith("# ") or re.fullmatch(r"[A-Z][A-Z0-9_]*=[^\s#'\"]*", line)
