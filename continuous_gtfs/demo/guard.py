"""A process that outlives the demo by a moment, to end what a killed demo could not.

It reads lines from its standard input: ``<pid> <signal number>`` for each process that was started,
``<pid> 0`` for one that has ended, ``done`` once all were ended in order. When the input closes without that
last word, the demo has died: every process named is asked to end, then ended by force.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterable
from typing import IO

GRACE_S = 8.0
DONE = "done"


class Guard:
    """The demo's end of the pipe to the guard process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "continuous_gtfs.demo.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # Nothing is held back: what a dead guard did not take must not be tried again at the close.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def watch(self, pid: int, sign: signal.Signals) -> None:
        """From now on end ``pid`` and all it starts, should this process die."""
        self._write(f"{pid} {int(sign)}\n")

    def forget(self, pid: int) -> None:
        """``pid`` and all it started have ended; its number may soon be another's."""
        self._write(f"{pid} 0\n")

    def dismiss(self) -> None:
        """Everything watched has ended: the guard goes without a look back."""
        self._write(f"{DONE}\n")
        self._stdin().close()
        self._process.wait(10)

    def _write(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # A guard that was killed takes only the safety net with it.
            self._stdin().write(line.encode())

    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin


def run(lines: Iterable[str]) -> None:
    """Read until the input ends, then end what was named unless the last word was ``done``."""
    leaders: dict[int, signal.Signals] = {}
    for line in lines:
        if line.strip() == DONE:
            return
        pid, sign = (int(word) for word in line.split())
        if sign:
            leaders[pid] = signal.Signals(sign)
        else:
            leaders.pop(pid, None)
    from continuous_gtfs.demo.process_tree import end_trees

    end_trees(leaders, grace_s=GRACE_S)


if __name__ == "__main__":
    run(sys.stdin)
