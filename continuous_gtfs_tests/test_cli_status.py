"""`continuous-gtfs status` on real stores and storages."""

from __future__ import annotations

import gc
import json
import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.cli import main
from continuous_gtfs.defs.alerting_facts import declared_publications
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.demo.ports import HOST, Ports
from continuous_gtfs_tests.artifacts.cloud import cloud_server
from continuous_gtfs_tests.artifacts.publishing import numbered_objects
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.pipeline_runs import run_realtime, run_schedule
from continuous_gtfs_tests.documents import operations_lines

FILES = "telemetry: {enabled: false}\n"
POSTGRES = FILES + "storage:\n  postgres:\n    postgres_url:\n      env: CONTINUOUS_GTFS_POSTGRES_URL\n"


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
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, str]]:
    """Settings of a deployment, and the ids of a schedule run, a good realtime run and a refused one.

    Its storage is files; the status of one on PostgreSQL is asked for by the tests of the containers.
    """
    home = tmp_path_factory.mktemp("dagster_home")
    (home / "dagster.yaml").write_text(FILES)
    settings = {
        "DAGSTER_HOME": str(home),
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
    return settings, ids


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
    deployment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = Ports.free().webserver
    (tmp_path / "dagster.yaml").write_text(POSTGRES)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
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


@dataclass
class Healthy:
    """A deployment in which all is well: everything is published, every daemon is alive, nothing has failed."""

    instance: DagsterInstance
    capsys: pytest.CaptureFixture[str]

    def exit_code(self) -> int:
        return self.told()["exit_code"]  # type: ignore[no-any-return]

    def told(self) -> dict[str, Any]:
        code, out, err = call(["status", "--json"], self.capsys)
        told: dict[str, Any] = json.loads(out)
        assert (err, told["exit_code"]) == ("", code)
        return told

    def end_tick(self, name: str, status: TickStatus, at: float) -> None:
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("realtime"), "__repository__")
        origin = RemoteInstigatorOrigin(repository, name)
        kind, selector = InstigatorType.SENSOR, origin.get_selector().get_id()
        if self.instance.get_instigator_state(origin.get_id(), selector) is None:
            state = InstigatorState(origin, kind, InstigatorStatus.RUNNING, SensorInstigatorData())
            self.instance.add_instigator_state(state)
        error = SerializableErrorInfo("the vendor's clock", [], None) if status is TickStatus.FAILURE else None
        self.instance.create_tick(
            TickData(origin.get_id(), name, kind, status, at, error=error, selector_id=selector, end_timestamp=at)
        )


@pytest.fixture(params=["folder", "bucket"])
def healthy(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Healthy]:
    with ExitStack() as stack:
        published = str(tmp_path / "published")
        if request.param == "bucket":
            server = stack.enter_context(cloud_server())
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
            published = f"gs://{server.make_bucket()}/feeds"
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        monkeypatch.setenv("CONTINUOUS_GTFS_PUBLISHED", published)
        (tmp_path / "dagster.yaml").write_text(FILES)
        publisher = Artifacts(archive_url="", published_url=published).publisher()
        for pipeline in ("schedule", "realtime"):
            for one in declared_publications(load_agency(DEFAULT_AGENCY), pipeline):
                publisher.publish(
                    one.name,
                    numbered_objects(1),
                    label="v1",
                    order=[1],
                    manifest={"inputs": {}},
                    now=datetime.now(UTC),
                    keep_versions=5,
                )
        instance = stack.enter_context(DagsterInstance.from_config(str(tmp_path)))
        for daemon in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), daemon, "one"))
        yield Healthy(instance, capsys)


def test_all_is_well_until_a_tick_fails_and_again_once_one_has_not(healthy: Healthy) -> None:
    told = healthy.told()
    assert (told["exit_code"], told["unreadable"]) == (0, {})
    assert {one["state"] for one in told["published"]} == {"fresh"}
    assert len(told["published"]) == 6
    healthy.end_tick("realtime_production_sensor", TickStatus.FAILURE, time.time() - 2)
    told = healthy.told()
    assert told["exit_code"] == 1
    (tick,) = told["failed_ticks"]
    assert (tick["subject"], tick["summary"]) == ("realtime_production_sensor", "the tick failed: the vendor's clock")
    healthy.end_tick("realtime_production_sensor", TickStatus.SKIPPED, time.time() - 1)
    assert healthy.exit_code() == 0


@pytest.mark.parametrize("healthy", ["folder"], indirect=True)
def test_a_daemon_whose_heart_has_stopped_is_a_fault(healthy: Healthy) -> None:
    healthy.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 180, "SENSOR", "one"))
    told = healthy.told()
    assert told["exit_code"] == 1
    assert told["daemons"]["SENSOR"] >= 180


@pytest.mark.parametrize("healthy", ["bucket"], indirect=True)
def test_a_bucket_that_is_gone_is_named(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_PUBLISHED", "gs://there-is-no-such-bucket")
    told = healthy.told()
    assert told["exit_code"] == 2
    (why,) = told["unreadable"].values()
    assert "there-is-no-such-bucket" in why
    assert told["failed_runs"] == []
