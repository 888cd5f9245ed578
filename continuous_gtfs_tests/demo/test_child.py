from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from continuous_gtfs.demo.child import Child, ProcessFailedError, has_answer, last_line
from continuous_gtfs.demo.ports import Ports

# Logs one chain of exceptions that it got over, then dies of another.
CHAINED = """
import traceback
try:
    try:
        raise KeyError("old")
    except KeyError as error:
        raise ValueError("handled") from error
except ValueError:
    traceback.print_exc()
try:
    try:
        raise RuntimeError("the agency is broken")
    except RuntimeError as error:
        raise OSError("cannot load") from error
except OSError as error:
    raise SystemError("in\\nhere") from error
"""


def python_child(tmp_path: Path, script: str) -> Child:
    return Child(
        name="worker",
        command=[sys.executable, "-c", script],
        environment=dict(os.environ),
        log=tmp_path / "worker.log",
        is_ready=lambda: True,
    )


def test_a_child_that_ended_is_named_with_how_and_with_its_last_line(tmp_path: Path) -> None:
    child = python_child(tmp_path, "print('fine'); print('\\x1b[31mno such table\\x1b[0m\\n'); raise SystemExit(3)")
    child.launch()
    assert child.process is not None
    child.process.wait(10)
    with pytest.raises(ProcessFailedError, match=r"^worker ended by itself \(exit code 3\): no such table \(see "):
        child.check()


def test_a_child_that_was_killed_from_outside_is_named_with_the_signal(tmp_path: Path) -> None:
    child = python_child(tmp_path, "import signal; signal.pause()")
    child.launch()
    child.check()
    assert child.process is not None
    child.process.kill()
    child.process.wait(10)
    with pytest.raises(ProcessFailedError, match=r"SIGKILL\): it wrote nothing"):
        child.check()


def test_of_a_chain_of_exceptions_the_first_is_told_since_the_others_came_from_it(tmp_path: Path) -> None:
    child = python_child(tmp_path, CHAINED)
    child.launch()
    assert child.process is not None
    child.process.wait(10)
    with pytest.raises(ProcessFailedError, match=r"exit code 1\): RuntimeError: the agency is broken \(see"):
        child.check()


def test_a_log_that_is_not_there_is_not_an_error(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none.log") == "it wrote nothing"


def test_nobody_answers_on_a_free_port() -> None:
    assert not has_answer(f"http://127.0.0.1:{Ports.free().webserver}/")


def test_the_environment_with_its_tokens_is_not_shown(tmp_path: Path) -> None:
    child = Child(name="worker", command=[], environment={"TOKEN": "hush"}, log=tmp_path / "log", is_ready=lambda: True)
    assert "hush" not in repr(child)
