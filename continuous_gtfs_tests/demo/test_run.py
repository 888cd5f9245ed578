"""The demo as a user has it: the command in its own process, all of the platform's processes below it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.demo.process_tree import is_alive
from continuous_gtfs.demo.static_server import live_manifests

pytestmark = pytest.mark.end_to_end

COMMAND = [sys.executable, "-c", "from continuous_gtfs.cli import main; main()"]
# A schedule, vehicle positions and trip updates, of production and of QA.
PUBLICATIONS = 6
# Of a machine that is busy with much else.
TIMEOUT_S = 300


@pytest.fixture
def state() -> Iterator[Path]:
    """A short path: pytest's own may be too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        yield Path(name) / "state"


def start(*arguments: str, log: Path, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )


def free_base() -> int:
    """The first of five free ports in a row."""
    from continuous_gtfs.demo.ports import Ports, is_free

    while True:
        base = min(Ports.free().webserver, 65000)
        if all(is_free(base + offset) for offset in range(5)):
            return base


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_the_demo_publishes_every_feed_ends_on_ctrl_c_and_leaves_only_its_state(state: Path) -> None:
    log, out = state.with_name("demo.log"), state.with_name("out.json")
    base = free_base()
    arguments = ("--state", str(state), "--port-base", str(base), "--json", str(out), "--realtime-every", "4")
    demo = start("demo", *arguments, log=log)
    try:
        store = LocalStore(state / "published")
        deadline = time.monotonic() + TIMEOUT_S
        while len(live_manifests(store)) < PUBLICATIONS and demo.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        started = below(demo.pid)
        assert len(started) >= 7, log.read_text()
    finally:
        demo.send_signal(signal.SIGINT)
        code = demo.wait(60)

    text = log.read_text()
    assert code == 0, text
    for offset in range(3):
        assert f"http://127.0.0.1:{base + offset}/" in text
    assert [process for process in started if is_alive(process)] == []

    summary = json.loads(out.read_text())
    assert summary["succeeded"] is True
    assert summary["failures"] == []
    assert len(summary["feeds"]) == PUBLICATIONS
    for feed in summary["feeds"].values():
        assert 0 < feed["first_publication_s"] < TIMEOUT_S
        assert feed["published"]["objects"]
        assert feed["versions_seen"]
        assert (feed["age_at_publication"] is None) == (feed["pipeline"].startswith("schedule/"))
    assert summary["age_at_publication"]["holds"] is not False
    assert set(summary["runs"]) == {
        f"{pipeline}_{environment}" for pipeline in ("schedule", "realtime") for environment in ("production", "qa")
    }

    tokens = [line.split("=", 1)[1] for line in (state / "env").read_text().splitlines() if "TOKEN=" in line]
    assert len(tokens) == 2
    kept = [path for path in state.rglob("*") if path.is_file() and path.name != "env"]
    assert [path for path in kept for token in tokens if token.encode() in path.read_bytes()] == []


def test_a_dead_process_ends_the_demo_with_its_name_and_its_last_word(state: Path) -> None:
    log, out = state.with_name("demo.log"), state.with_name("out.json")
    broken = state.with_name("broken_agency")
    broken.mkdir()
    (broken / "__init__.py").write_text("")
    (broken / "feeds.py").write_text("from continuous_gtfs.agencies.sound_transit.feeds import AGENCY\n")
    (broken / "schedule.py").write_text("raise RuntimeError('this agency is broken')\n")
    (broken / "realtime.py").write_text("from continuous_gtfs.agencies.sound_transit.realtime import STEPS\n")
    environment = {"CONTINUOUS_GTFS_AGENCY": "broken_agency", "PYTHONPATH": str(state.parent)}
    arguments = ("--state", str(state), "--port-base", str(free_base()), "--json", str(out))
    demo = start("demo", *arguments, log=log, environment=environment)
    try:
        assert demo.wait(TIMEOUT_S) == 1
    finally:
        demo.kill()
    (line,) = [line for line in log.read_text().splitlines() if line.startswith("failed: ")]
    assert "code-schedule" in line
    assert "this agency is broken" in line
    assert json.loads(out.read_text())["failures"] == [line.removeprefix("failed: ")]
