from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from continuous_gtfs import __version__
from continuous_gtfs.cli import main
from continuous_gtfs.demo.ports import HOST, Ports


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    code = stopped.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["demo"], ["services"], ["serve"], ["simulate"], ["realtime"], ["compare"]])
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    assert "Usage: continuous-gtfs" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--no-such-option"], "--no-such-option"),
        (["demo", "--port-base", "70000"], "--port-base 70000"),
        (["demo", "--port-base", "many"], "--port-base"),
        (["demo", "--for", "0"], "--for"),
        (["demo", "--replay", "/no/such/folder"], "/no/such/folder"),
        (["demo", "--json", "/no/such/folder/out.json"], "--json /no/such/folder/out.json"),
        (["services", "--replay", "/no/such/folder"], "/no/such/folder"),
        (["simulate", "--scale", "0"], "--scale"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_what_a_user_did_wrong_is_one_line_that_names_it(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = fails(arguments, capsys)
    assert code == 2
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "name",
    [
        "a" * 5000,
        "a/" * 3000,
        "../\x1b[31m\u202e.zip",
        "a\nerror: forged",
        "\udcff",
        "C:\\con.zip",
        "\x9b2J",
        "~/../..",
    ],
)
@pytest.mark.parametrize("command", [["digest"], ["validate"], ["diff", "."], ["schedule", "sound_transit", "--input"]])
def test_whatever_a_file_is_called_the_error_is_one_line_that_moves_nothing(
    command: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = fails([*command, f"schedule={name}" if command[-1] == "--input" else name], capsys)
    assert code == 2
    assert error[:-1].isprintable()
    assert error.startswith("error: ")
    assert error.count("error: ") <= 2
    assert len(error) < 2100


def test_an_unknown_agency_is_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_AGENCY", "no.such.agency")
    code, error = fails(["demo", "--state", str(tmp_path / "state")], capsys)
    assert code == 2
    assert "no.such.agency" in error
    assert not (tmp_path / "state").exists()


def test_a_port_in_use_is_one_line_and_nothing_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = min(Ports.free().webserver, 65000)
    with socket.socket() as other:
        other.bind((HOST, base))
        other.listen()
        code, error = fails(["demo", "--state", str(tmp_path / "state"), "--port-base", str(base)], capsys)
    assert code == 2
    assert f"port {base}" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("missing", ["PIMS_PRODUCTION_TOKEN", "PIMS_QA_TOKEN"])
def test_the_stand_in_without_a_token_says_which_is_missing(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIMS_PRODUCTION_TOKEN", "one-secret")
    monkeypatch.setenv("PIMS_QA_TOKEN", "two-secret")
    monkeypatch.delenv(missing)
    code, error = fails(["simulate", "--port", "0"], capsys)
    assert (code, missing in error, "secret" in error) == (2, True, False)


def test_the_stand_in_runs_as_a_command_and_ends_when_told(tmp_path: Path) -> None:
    tokens = {"PIMS_PRODUCTION_TOKEN": "one", "PIMS_QA_TOKEN": "two"}
    command = [sys.executable, "-c", "from continuous_gtfs.cli import main; main()", "simulate", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **tokens}, cwd=tmp_path) as simulator:
        assert simulator.stdout is not None
        try:
            assert b"http://127.0.0.1:" in simulator.stdout.readline()
        finally:
            simulator.send_signal(signal.SIGTERM)
        assert simulator.wait(20) == 0


def test_help_loads_neither_dagster_nor_pandas_nor_a_server() -> None:
    script = (
        "import sys\n"
        "from continuous_gtfs.cli import cli\n"
        "print(sorted({'dagster', 'pandas', 'uvicorn', 'httpx', 'rich'} & set(sys.modules)))\n"
    )
    seen = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert seen.stdout.strip() == "[]"
