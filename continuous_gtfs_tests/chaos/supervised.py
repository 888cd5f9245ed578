"""The platform with a supervisor, which starts again whatever dies, and with hands that kill any of its processes.

The supervisor does as a container engine's restart policy: at once, then after twice as long each time, forgotten after
ten seconds of running, with no regard to what needs what. Nothing here knows why something is killed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from continuous_gtfs.demo import commands
from continuous_gtfs.demo.child import ProcessFailedError
from continuous_gtfs.demo.process_tree import is_alive, members
from continuous_gtfs.demo.processes import Platform
from continuous_gtfs.errors import ContinuousGtfsError
from continuous_gtfs_tests.chaos.timeline import Timeline

RESTARTED = (commands.POSTGRES, commands.CODE_SCHEDULE, commands.CODE_REALTIME, commands.WEBSERVER, commands.DAEMON)
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 60.0
STEADY_AFTER_S = 10.0
LOOKS_EVERY_S = 0.05

WORKER = "run worker"
WARM = "warm process"
BACKEND = "postgres backend"
CONTAINER = " container"
"""After the name of a process: with all it has started, as when the container's first process dies."""
EVERYTHING = "everything"


class SupervisedPlatform(Platform):
    """A platform that heals itself; what it cannot start again is tried for ever.

    Args:
        timeline: Takes what dies and what is started.
        others: As for ``Platform``.
    """

    def __init__(self, state: Path, timeline: Timeline, *, environment: Mapping[str, str], **others: object) -> None:
        super().__init__(state, environment=environment, **others)  # type: ignore[arg-type]
        self._timeline = timeline
        self._waits: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._since: dict[str, float] = {}
        self._held_down: set[str] = set()
        self._is_over = threading.Event()
        self._supervisor: threading.Thread | None = None
        self._hands = threading.RLock()

    def start(self, *, timeout_s: float = 120.0) -> None:
        super().start(timeout_s=timeout_s)
        self._is_over.clear()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._supervisor.start()

    def stop(self) -> None:
        self._is_over.set()
        if self._supervisor is not None:
            self._supervisor.join()
            self._supervisor = None
        super().stop()

    def kill(self, victims: Iterable[str], held: int | None = None) -> list[str]:
        """Kill -9 each victim at once; gives what there was of them.

        Args:
            victims: Names of processes, with ``CONTAINER`` after it for all it has started; ``WORKER``, ``WARM``,
                ``BACKEND``, ``EVERYTHING``.
            held: The pid of the process that is held at a stage: it is the worker that is meant.
        """
        with self._hands:
            chosen = {victim: self._processes_of(victim, held) for victim in victims}
            for process in (process for processes in chosen.values() for process in processes):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
        return [victim for victim, processes in chosen.items() if processes]

    @contextlib.contextmanager
    def held_down(self, name: str) -> Iterator[None]:
        """While this lasts, a process that has died stays dead."""
        self._held_down.add(name)
        try:
            yield
        finally:
            self._held_down.discard(name)

    def suspend(self, name: str, sign: signal.Signals) -> None:
        """SIGSTOP or SIGCONT to a process and all of its."""
        for process in members(self.pid(name)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(sign)

    def revive(self, name: str) -> None:
        """Start at once what was killed and is not supervised, such as the vendor."""
        with self._hands:
            self._clear(name)
            self._launch(name)

    def is_up(self) -> bool:
        """Whether every supervised process runs and answers."""
        with self._hands:
            return all(self._runs(name) and self._is_ready_now(name) for name in RESTARTED if name in self.names)

    def zombies(self) -> list[str]:
        """Dead processes whose parent has not taken their exit code."""
        with self._hands:
            return [
                f"{process.pid} child of {process.ppid()}"
                for name in RESTARTED
                if name in self.names and self._runs(name)
                for process in members(self.pid(name))
                if not is_alive(process) and process.is_running()
            ]

    def _launch(self, name: str) -> None:
        # The vendor's clock is not ours, and stays right when ours is set.
        ours = self.environment
        if name in commands.SERVICES:
            self.environment = {key: value for key, value in ours.items() if key != "LD_PRELOAD"}
        try:
            super()._launch(name)
        finally:
            self.environment = ours

    def _processes_of(self, victim: str, held: int | None) -> Sequence[psutil.Process]:
        match victim:
            case "everything":
                found = [p for name in RESTARTED if name in self.names and self._runs(name) for p in self._tree(name)]
                return found
            case "run worker":
                return [psutil.Process(held)] if held is not None and is_running(held) else []
            case "warm process":
                return [p for p in self._tree(commands.DAEMON) if _is_warm(p)]
            case "postgres backend":
                return [p for p in self._tree(commands.POSTGRES) if _is_backend(p)][:1]
        name = victim.removesuffix(CONTAINER)
        if not self._runs(name):
            return []
        return self._tree(name) if victim.endswith(CONTAINER) else [psutil.Process(self.pid(name))]

    def _tree(self, name: str) -> list[psutil.Process]:
        return members(self.pid(name)) if self._runs(name) else []

    def _runs(self, name: str) -> bool:
        child = self._children.get(name)
        process = self.postgres.process if name == commands.POSTGRES else child.process if child else None
        return process is not None and process.poll() is None

    def _is_ready_now(self, name: str) -> bool:
        try:
            return self._is_ready(name)
        except ProcessFailedError:
            return False

    def _supervise(self) -> None:
        while not self._is_over.wait(LOOKS_EVERY_S):
            now = time.monotonic()
            with self._hands:
                for name in (name for name in RESTARTED if name in self.names):
                    if self._runs(name):
                        if now - self._since.setdefault(name, now) > STEADY_AFTER_S:
                            self._waits.pop(name, None)
                    elif name not in self._held_down:
                        self._restart(name, now)

    def _restart(self, name: str, now: float) -> None:
        if name not in self._due:
            wait = self._waits.get(name, FIRST_WAIT_S)
            self._due[name], self._waits[name] = now + wait, min(2 * wait, LONGEST_WAIT_S)
            self._since.pop(name, None)
            self._timeline.note("died", name)
        if now >= self._due[name]:
            del self._due[name]
            try:
                self._clear(name)
                self._launch(name)
                self._timeline.note("started", name)
            except ContinuousGtfsError as error:
                self._timeline.note("not started", f"{name}: {error}")

    def _clear(self, name: str) -> None:
        if name == commands.POSTGRES:
            if self.postgres.process is not None:
                self._forget(self.postgres.process.pid)
            self.postgres.stop()
        elif (child := self._children.pop(name, None)) is not None and child.process is not None:
            child.process.wait()
            self._forget(child.process.pid)


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended; one that has ended is there until its parent asks for it."""
    try:
        return is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def _is_warm(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        parent = process.parent()
        is_child_of_another = parent is None or not _names_warm(parent)
        return _names_warm(process) and is_child_of_another
    return False


def _names_warm(process: psutil.Process) -> bool:
    return any("warm_process" in word for word in process.cmdline())


def _is_backend(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return "[local]" in " ".join(process.cmdline())
    return False
