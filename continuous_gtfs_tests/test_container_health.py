"""A container's health check says of its own process whether it serves, and why not."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from continuous_gtfs import container_health
from continuous_gtfs.container_health import process_reason, reason
from continuous_gtfs.demo.ports import Ports

UNUSED = str(Ports.free().webserver)


@contextmanager
def server(status: int) -> Iterator[str]:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield str(listening.server_port)
        finally:
            listening.shutdown()
            thread.join()


def listed(folder: Path, number: int, command: list[str], state: str) -> None:
    process = folder / str(number)
    process.mkdir()
    (process / "cmdline").write_bytes(b"\0".join(word.encode() for word in command) + b"\0")
    (process / "stat").write_text(f"{number} (a ) name) {state} 1 1 1")


@pytest.mark.parametrize(("status", "is_healthy"), [(200, True), (404, True), (500, False), (503, False)])
def test_a_web_server_that_answers_is_healthy_unless_it_says_that_it_fails(status: int, is_healthy: bool) -> None:
    with server(status) as port:
        found = reason(["http", port, "/"])
    assert found is None if is_healthy else found == f"status {status}"


def test_a_server_that_does_not_listen_is_not_healthy() -> None:
    assert "no answer" in (reason(["http", UNUSED, "/"]) or "")
    assert reason(["grpc", UNUSED]) == "no answer: UNAVAILABLE"


def test_a_process_is_known_by_the_script_that_it_runs(tmp_path: Path) -> None:
    listed(tmp_path, 7, ["/venv/bin/python", "/venv/bin/dagster-daemon", "run"], "S")
    listed(tmp_path, 8, ["/bin/tini", "--", "dagster-webserver"], "S")
    (tmp_path / "9").mkdir()
    assert process_reason("dagster-daemon", tmp_path) is None
    assert process_reason("dagster-webserver", tmp_path) == "no process dagster-webserver"


@pytest.mark.parametrize("state", ["T", "Z"])
def test_a_process_that_is_stopped_or_has_ended_is_not_healthy(tmp_path: Path, state: str) -> None:
    listed(tmp_path, 7, ["dagster-daemon", "run"], state)
    assert process_reason("dagster-daemon", tmp_path) == f"dagster-daemon does not run: state {state}"


def test_the_machine_s_own_list_is_read() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "told"], stdin=subprocess.PIPE) as process:
        assert process_reason(Path(sys.executable).name) is None
        process.communicate(b"\n")
    assert "no process" in (process_reason("a-script-that-nobody-runs") or "")


def test_as_a_command_it_says_why_and_gives_an_exit_code() -> None:
    command = [sys.executable, "-m", container_health.__name__]
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9"}
    told = subprocess.run([*command, "http", UNUSED, "/"], capture_output=True, text=True, env=environment, check=False)
    assert told.returncode == 1
    assert told.stdout.startswith("unhealthy: no answer")
    wrong = subprocess.run([*command, "everything"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: usage")
