"""`continuous-gtfs alerts`: the commands of docs/operations.md, on a webhook and a storage of their own."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData

from continuous_gtfs import names
from continuous_gtfs.alerts.problems import Problem, Severity
from continuous_gtfs.cli import main
from continuous_gtfs.defs.alerting import Memory
from continuous_gtfs_tests.alerts.webhook import Webhook, webhook


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["alerts", *arguments])
    # A command leaves nothing to the collector, since its process ends; this one goes on.
    gc.unfreeze()
    said = capsys.readouterr()
    return stopped.value.code, said.out, said.err


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as kept:
        yield kept


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A storage in which one alert sensor has a run and another a disk that it has told of."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        for pipeline, kind, severity in (("schedule", "run", Severity.ERROR), ("realtime", "disk", Severity.WARNING)):
            memory = Memory()
            found = Problem(kind=kind, subject=f"of {pipeline}", severity=severity, summary="it is so", since=0.0)
            memory.ledger.settle([found], now=0.0)
            origin = RemoteInstigatorOrigin(
                RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(pipeline), "__repository__"),
                names.alerts_sensor_name(pipeline, "production"),
            )
            data = SensorInstigatorData(cursor=memory.to_json())
            state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
            instance.add_instigator_state(state)
    return tmp_path


def test_a_test_reaches_each_destination_and_says_which_it_did_not_reach(
    hook: Webhook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_ALERT_URLS", hook.url)
    assert call(capsys, "test") == (0, "destination 1: delivered\n", "")
    assert "nothing is wrong" in hook.bodies[0]["text"]
    monkeypatch.setenv("CONTINUOUS_GTFS_ALERT_URLS", f"http://127.0.0.1:1/very-secret {hook.url} ${{secret:NOWHERE}}")
    code, out, err = call(capsys, "test")
    assert (code, err) == (1, "")
    first, second, third = out.splitlines()
    assert first == "destination 1: not delivered: destination 1 was not reached: ConnectError"
    assert second == "destination 2: delivered"
    assert third.startswith("destination 3: not delivered: ")
    assert "NOWHERE" in third
    assert len(hook.bodies) == 2


def test_without_a_destination_a_test_is_one_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CONTINUOUS_GTFS_ALERT_URLS", raising=False)
    code, out, err = call(capsys, "test")
    assert (code, out) == (2, "")
    assert err.startswith("error: CONTINUOUS_GTFS_ALERT_URLS is blank")


@pytest.mark.usefixtures("home")
def test_a_list_says_what_the_sensors_of_all_locations_have_open(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "list")
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == [
        "error    1970-01-01 00:00:00 UTC  of schedule: it is so",
        "warning  1970-01-01 00:00:00 UTC  of realtime: it is so",
    ]
    code, out, err = call(capsys, "list", "--json")
    assert {one["kind"]: one["severity"] for one in json.loads(out)} == {"run": "error", "disk": "warning"}


def test_a_list_of_nothing_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert call(capsys, "list") == (0, "nothing is open\n", "")
    assert json.loads(call(capsys, "list", "--json")[1]) == []


def test_a_list_without_a_storage_is_one_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    code, out, err = call(capsys, "list")
    assert (code, out) == (2, "")
    assert err.startswith("error: DAGSTER_HOME is not set")
