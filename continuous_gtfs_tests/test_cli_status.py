"""`continuous-gtfs status` on real stores and storages."""

from __future__ import annotations

import gc
import json
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.cli import main
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.demo.ports import HOST, Ports
from continuous_gtfs.demo.postgres import EmbeddedPostgres
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.pipeline_runs import run_realtime, run_schedule
from continuous_gtfs_tests.documents import operations_lines

POSTGRES = "storage:\n  postgres:\n    postgres_url:\n      env: CONTINUOUS_GTFS_POSTGRES_URL\n"


def call(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    # A command leaves nothing to the collector, since its process ends; this one goes on.
    gc.unfreeze()
    code = stopped.value.code
    assert isinstance(code, int)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Settings of a deployment on PostgreSQL, and the ids of a schedule run, a good realtime run and a refused one."""
    home = tmp_path_factory.mktemp("dagster_home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + POSTGRES)
    with tempfile.TemporaryDirectory(prefix="pg-") as name, EmbeddedPostgres(Path(name) / "data") as url:
        settings = {
            "DAGSTER_HOME": str(home),
            "CONTINUOUS_GTFS_POSTGRES_URL": url,
            "CONTINUOUS_GTFS_ARCHIVE": str(home / "archive"),
            "CONTINUOUS_GTFS_PUBLISHED": str(home / "published"),
        }
        with pytest.MonkeyPatch.context() as environment:
            for setting, value in settings.items():
                environment.setenv(setting, value)
            with DagsterInstance.from_config(str(home)) as instance:
                artifacts = Artifacts(archive_url=str(home / "archive"), published_url=str(home / "published"))
                bench = Bench(load_agency(DEFAULT_AGENCY), artifacts, instance, home / "published")
                ids = {
                    "schedule": run_schedule(bench).run_id,
                    "realtime": run_realtime(bench).run_id,
                    "refused": run_realtime(bench, age_s=500).run_id,
                }
        yield settings, ids


@pytest.fixture
def deployment(written: tuple[dict[str, str], dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    settings, ids = written
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return ids


def test_it_says_what_is_live_from_which_versions_and_what_failed(
    deployment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(["status", "--json"], capsys)
    told: dict[str, Any] = json.loads(out)
    assert (code, err, told["exit_code"], told["unreadable"]) == (1, "", 1, {})
    published = {one["name"]: one for one in told["published"]}
    schedule = published["schedule/production/gtfs"]
    assert (schedule["state"], schedule["run_id"]) == ("fresh", deployment["schedule"])
    assert list(schedule["inputs"]) == ["schedule"]
    vehicles = published["realtime/production/vehicle_positions"]
    assert (vehicles["state"], vehicles["run_id"]) == ("fresh", deployment["realtime"])
    assert vehicles["header_timestamp"] > 0
    assert set(vehicles["inputs"]) == {"vehicle_positions", "trip_updates"}
    assert published["schedule/qa/gtfs"]["state"] == "never published"
    assert [(run["run_id"], run["is_newest"]) for run in told["failed_runs"]] == [(deployment["refused"], True)]
    assert any("guards_hold" in check["subject"] for check in told["failed_checks"])
    assert set(told["daemons"].values()) == {None}


def test_the_commands_of_the_operations_page_tell_the_same_as_text(
    deployment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    text, as_json = operations_lines("What is live")
    code, out, err = call(shlex.split(text)[1:], capsys)
    assert (code, err) == (1, "")
    assert "schedule/production/gtfs: fresh, published " in out
    assert f"run {deployment['schedule']}" in out
    assert "schedule/qa/gtfs: never published" in out
    assert f"  {deployment['refused'][:8]} realtime/production " in out
    assert "no fresh heartbeat: " in out
    code, out, err = call(shlex.split(as_json)[1:], capsys)
    assert (code, err, json.loads(out)["exit_code"]) == (1, "", 1)


def test_without_a_database_it_says_what_the_store_holds(
    deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = Ports.free().webserver
    monkeypatch.setenv("CONTINUOUS_GTFS_POSTGRES_URL", f"postgresql://someone:hush-hush@{HOST}:{port}/dagster")
    code, out, err = call(["status"], capsys)
    assert (code, err) == (2, "")
    assert "schedule/production/gtfs: fresh" in out
    assert "database cannot be read: " in out
    assert str(port) in out
    assert "hush-hush" not in out
    assert "failed runs" not in out


def test_without_a_store_it_says_what_the_database_holds(
    deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CONTINUOUS_GTFS_PUBLISHED")
    code, out, err = call(["status"], capsys)
    assert (code, err) == (2, "")
    assert "CONTINUOUS_GTFS_PUBLISHED" in out
    assert f"  {deployment['refused'][:8]} realtime/production " in out
