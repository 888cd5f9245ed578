"""One process of the platform: started, asked whether it is ready, ended with everything it started."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from continuous_gtfs.demo.process_tree import end_trees
from continuous_gtfs.errors import TransientError

CAUSED = "\nThe above exception was the direct cause of the following exception:\n"
TRACEBACK = "Traceback (most recent call last):"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class ProcessFailedError(TransientError):
    """A process of the platform ended by itself, or was late; the message has its last log line."""


@dataclass
class Child:
    """One process with its own session and its own log file.

    Attributes:
        name: As shown and as its log file is named.
        command: What to run.
        environment: The whole of its environment, tokens among it: never shown.
        log: Takes standard output and error; begun anew at each start of the platform.
        is_ready: Whether what needs this process may start; not asked of a task.
        is_task: It is ready when it has ended well, and not before.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    is_ready: Callable[[], bool]
    is_task: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def launch(self) -> int:
        """Start it, without waiting; gives its pid."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                start_new_session=True,
            )
        return self.process.pid

    def check(self) -> None:
        """Raise ProcessFailedError if it was started and has ended, unless it is a task that has ended well."""
        if self.process is not None and self.process.poll() is not None and not self.is_done():
            returncode = self.process.returncode
            said = cause_of_death(self.log) if returncode > 0 else last_line(self.log)
            raise ProcessFailedError(f"{self.name} ended by itself ({_how(returncode)}): {said} (see {self.log})")

    def is_done(self) -> bool:
        """Whether it is a task that has ended well."""
        return self.is_task and self.process is not None and self.process.poll() == 0

    def kill(self) -> None:
        """End it and all it started, at once."""
        if self.process is not None:
            end_trees({self.process.pid: signal.SIGKILL}, grace_s=0)
            self.process.wait()


def last_line(log: Path) -> str:
    """The last line a process wrote, without its colours."""
    return _last_line_of(_read(log))


def cause_of_death(log: Path) -> str:
    """What the exception says that a Python process died of: of a chain, the first, from which the others came."""
    text = _read(log)
    while CAUSED in text:
        cause, _, effect = text.rpartition(CAUSED)
        if effect.count(TRACEBACK) != 1:
            break
        text = cause
    return _last_line_of(text)


def _read(log: Path) -> str:
    try:
        return COLOURS.sub("", log.read_text(errors="replace"))
    except OSError:
        return ""


def _last_line_of(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"


def has_answer(url: str) -> bool:
    """Whether an HTTP server answers, with whatever status below 500."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except OSError:
        return False


def _how(returncode: int) -> str:
    return signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"
