"""WarmProcess: the owner's side of the process that forks runs. Starts it, asks it, and knows when it is of no use.

The first runs do not wait for it to become warm: ``launch`` says at once that it is not, as it does whenever something
is wrong with it. Of many runs at once the rest waits: started in another way they would all load the code, and keep the
process that could fork them from its own.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

# A busy machine lets a process that forks many runs at once wait for its turn behind those that it has forked.
ANSWERS_WITHIN_S = 20.0
# So many runs are not kept waiting for a process that is loading the code, and the others for no longer than this.
RUNS_THAT_DO_NOT_WAIT = 4
LOADS_WITHIN_S = 30.0
STOPS_WITHIN_S = 20.0
_log = logging.getLogger("dagster.continuous_gtfs.warm")


class NotWarmError(Exception):
    """The run has not been launched: the process is not there yet, or no longer, or holds old code."""


class WarmProcess:
    """One warm process, started again when it has died or when its code has changed. Used from any thread.

    Args:
        instance: The serialized reference of the Dagster instance.
        modules: The code locations to load.
        environment: Further settings for the process.
        on_died: Told, in a thread of its own, of each run whose process ended by a signal or with an exit code.
        retry_s: How long a process that could not load its code is left alone, unless that code has changed.
    """

    def __init__(
        self,
        instance: str,
        modules: Sequence[str],
        *,
        environment: Mapping[str, str],
        on_died: Callable[[str, int], None],
        retry_s: float = 60.0,
    ) -> None:
        self._instance = instance
        self._modules = tuple(modules)
        self._environment = dict(environment)
        self._on_died = on_died
        self._retry_s = retry_s
        self._lock = threading.Lock()
        self._current: _Process | None = None
        self._dismissed: list[_Process] = []
        self._failed: _Process | None = None
        self._failed_at = 0.0

    @property
    def pid(self) -> int | None:
        """Of the process that would fork the next run; None where there is none yet."""
        current = self._current
        return current.pid if current is not None and current.is_ready else None

    @property
    def has_failed(self) -> bool:
        """Whether the code could not be loaded when that was tried last."""
        current = self._current
        return self._failed is not None if current is None else current.has_ended and not current.was_ready

    def launch(self, run_id: str, tags: Mapping[str, str], *, module: str, job: str) -> int:
        """Have a run of a job forked; gives its pid.

        Args:
            run_id: The run.
            tags: Its tags. A run has those of its job, so a job loaded here with others is other code.
            module: The code location.
            job: The job's name.

        Raises:
            NotWarmError: It was not. The next call may succeed: a process is being started where that can help.
        """
        with self._lock:
            process = self._current
            if process is None or process.has_ended:
                self._start(process)
            elif process.is_ready and process.is_outdated():
                _log.info("the code has changed: a new process is loading it")
                self._dismiss(process)
                self._start(None)
            process = self._current
            if process is not None:
                process.asked_in_vain += not process.is_ready
        if process is not None and process.asked_in_vain > RUNS_THAT_DO_NOT_WAIT:
            process.wait_until_ready(LOADS_WITHIN_S)
        if process is None or not process.is_ready:
            raise NotWarmError("no process has loaded the code yet")
        expected = process.job_tags.get(module, {}).get(job)
        if expected is None or any(tags.get(name) != value for name, value in expected.items()):
            raise NotWarmError(f"the process has loaded other code than that which {job} is asked of")
        return process.launch(run_id)

    def stop(self) -> None:
        """Let the process end when its runs are over, and wait for that a little."""
        with self._lock:
            if self._current is not None:
                self._dismiss(self._current)
            self._current = None
            dismissed, self._dismissed = self._dismissed, []
        deadline = time.monotonic() + STOPS_WITHIN_S
        for process in dismissed:
            process.wait(deadline - time.monotonic())

    def _dismiss(self, process: _Process) -> None:
        process.dismiss()
        self._dismissed = [each for each in self._dismissed if not each.has_ended] + [process]

    def _start(self, before: _Process | None) -> None:
        """Start a process, unless the one before could not load its code a moment ago."""
        self._current = None
        if before is not None and before.was_ready:
            _log.warning("the process that forks runs has ended (%s): another is loading the code", before.how)
        elif before is not None:
            self._failed, self._failed_at = before, time.monotonic()
            _log.warning(
                "no run can be forked, each will be started by its code server: the code cannot be loaded: %s",
                before.how,
            )
        if self._failed is not None:
            if time.monotonic() - self._failed_at < self._retry_s and not self._failed.is_outdated():
                return
            self._failed = None
        try:
            self._current = _Process(self._instance, self._modules, self._environment, self._on_died)
        except OSError as error:
            raise NotWarmError(f"no process can be started: {error}") from error


class _Process:
    def __init__(
        self,
        instance: str,
        modules: Sequence[str],
        environment: Mapping[str, str],
        on_died: Callable[[str, int], None],
    ) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "continuous_gtfs.instance.warm_process"]
        with theirs, ExitStack() as undo:
            undo.callback(ours.close)
            self._child = subprocess.Popen(
                [*command, str(theirs.fileno()), instance, *modules],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )
            undo.pop_all()
        self._channel = ours
        self._on_died = on_died
        self._changed = threading.Condition()
        self._files: Mapping[str, int] | None = None
        self._started: dict[str, int] = {}
        self._failure = ""
        self.job_tags: Mapping[str, Mapping[str, Mapping[str, str]]] = {}
        self.was_ready = False
        self.has_ended = False
        self.asked_in_vain = 0
        threading.Thread(target=self._listen, name="warm-process", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_ready(self) -> bool:
        return self.was_ready and not self.has_ended

    @property
    def how(self) -> str:
        """How it ended."""
        return self._failure or f"exit code {self._child.poll()}"

    def is_outdated(self) -> bool:
        return any(_changed_at(path) != at for path, at in (self._files or {}).items())

    def wait_until_ready(self, seconds: float) -> None:
        """Until it has loaded the code, or has ended, or so many seconds are over."""
        with self._changed:
            self._changed.wait_for(lambda: self.was_ready or self.has_ended, seconds)

    def launch(self, run_id: str) -> int:
        try:
            self._channel.sendall(json.dumps({"run": run_id}).encode() + b"\n")
        except OSError as error:
            raise NotWarmError(str(error)) from error
        with self._changed:
            if self._changed.wait_for(lambda: run_id in self._started or self.has_ended, ANSWERS_WITHIN_S):
                if run_id in self._started:
                    return self._started.pop(run_id)
                raise NotWarmError("it ended before it had forked the run")
            # What does not answer may fork the run later, beside the one that is started instead.
            self._child.kill()
            self._changed.wait_for(lambda: self.has_ended, ANSWERS_WITHIN_S)
            if run_id in self._started:
                return self._started.pop(run_id)
        raise NotWarmError(f"it did not answer in {ANSWERS_WITHIN_S:g} s")

    def dismiss(self) -> None:
        """It ends when its runs are over; their ends are still heard of."""
        try:
            self._channel.shutdown(socket.SHUT_WR)
        except OSError:
            self._child.kill()

    def wait(self, seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self.has_ended, max(0.0, seconds)):
                _log.warning("process %d still has runs", self.pid)

    def _listen(self) -> None:
        try:
            with self._channel, self._channel.makefile("rb") as lines:
                for line in lines:
                    self._take(json.loads(line))
        except (OSError, ValueError, KeyError) as error:
            # It was killed in the middle of a line.
            _log.debug("the channel to process %d broke: %r", self.pid, error)
        finally:
            self._child.wait()
            with self._changed:
                self.has_ended = True
                self._changed.notify_all()

    def _take(self, message: Mapping[str, Any]) -> None:
        if "ended" in message:
            if message["exit_code"] != 0:
                # Telling takes the database; the answer to the next launch must not wait for it.
                told = (message["ended"], message["exit_code"])
                threading.Thread(target=self._on_died, args=told, name="run-died", daemon=True).start()
            return
        with self._changed:
            if "ready" in message:
                self._files, self.job_tags = message["files"], message["job_tags"]
                self.was_ready = True
            elif "failed" in message:
                self._files = message["files"]
                self._failure = message["failed"].strip().splitlines()[-1]
            else:
                self._started[message["started"]] = message["pid"]
            self._changed.notify_all()


def _changed_at(path: str) -> int | None:
    try:
        return Path(path).stat().st_ctime_ns
    except OSError:
        return None
