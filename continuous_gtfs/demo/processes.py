"""The platform as processes on this machine: their order, readiness and end. Shows and judges nothing.

    platform = Platform(state, ports=Ports.free(), realtime_every_s=2.0, schedule_every_s=None, replay=None,
                        names=commands.ALL, environment={}, simulator_options=())
    with platform:                        # start() ... stop()
        platform.stop_process("daemon")   # or kill_process: no time to say good-bye
        platform.start_process("daemon")  # returns once it is ready
        platform.check()                  # raises ProcessFailedError if one ended by itself
        platform.url("simulator"), platform.environment["PIMS_QA_TOKEN"], platform.pid("daemon")

``names`` may be a part of ``commands.ALL``; what is left out is not started and not waited for. Nothing is
left running if this process is killed: see ``guard``.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from continuous_gtfs.demo import commands
from continuous_gtfs.demo.child import Child, ProcessFailedError, has_answer
from continuous_gtfs.demo.guard import Guard
from continuous_gtfs.demo.ports import HOST, Ports, is_listening
from continuous_gtfs.demo.postgres import EmbeddedPostgres
from continuous_gtfs.demo.process_tree import end_trees
from continuous_gtfs.demo.settings import (
    platform_environment,
    prepare_state,
    project_folder,
    tokens_of,
    write_environment,
)
from continuous_gtfs.errors import ConfigurationError, ContinuousGtfsError

START_TIMEOUT_S = 120.0
POLL_S = 0.05
PORT_OF = {
    commands.WEBSERVER: "webserver",
    commands.PUBLISHED: "published",
    commands.SIMULATOR: "simulator",
    commands.CODE_SCHEDULE: "code_schedule",
    commands.CODE_REALTIME: "code_realtime",
}
NEEDS = {
    commands.MIGRATE: (commands.POSTGRES,),
    commands.CODE_SCHEDULE: (commands.MIGRATE,),
    commands.CODE_REALTIME: (commands.MIGRATE,),
    commands.WEBSERVER: (commands.MIGRATE,),
    commands.DAEMON: (commands.MIGRATE, commands.CODE_SCHEDULE, commands.CODE_REALTIME, commands.SIMULATOR),
}
# A daemon that is asked to end takes its workspace down under the ticks in progress, which then fail for no fault of
# theirs. Ended at once it leaves them unfinished, which is what it knows how to carry on from.
STOP_SIGNAL = {commands.DAEMON: signal.SIGKILL}
# A code server waits for long polls that nobody listens to any more; runs are its children and end within this too, or
# are cut off and known to be so by their monitoring. Whoever wants them to end first waits before stopping.
GRACE_S = 3.0
STOP_ORDER = (
    (commands.DAEMON,),
    (commands.WEBSERVER, commands.CODE_SCHEDULE, commands.CODE_REALTIME),
    (commands.PUBLISHED, commands.SIMULATOR),
)


class StartStoppedError(ContinuousGtfsError):
    """The start was given up because somebody asked for it."""


class Platform:
    """All processes of one state folder.

    Args:
        state: Takes everything that is kept; one platform at a time.
        ports: Any free ones unless given.
        realtime_every_s: How often the stand-in vendor has a new realtime version.
        schedule_every_s: How often it has a new schedule version; only on demand when None.
        replay: A folder of captures for the stand-in vendor to serve in place of the generated agency.
        names: Which processes, see ``commands.ALL``.
        environment: Settings that differ from those of ``settings.platform_environment``.
        simulator_options: Further options of ``continuous-gtfs simulate``.
        instance_settings: A ``dagster.yaml`` in place of the project's.
        on_event: Told what has started and what is ready, for showing: ``on_event("postgres", "ready")``.
        should_stop: Asked while starting; once it says so, the start is given up.
    """

    def __init__(
        self,
        state: Path,
        *,
        ports: Ports | None = None,
        realtime_every_s: float = 20.0,
        schedule_every_s: float | None = None,
        replay: Path | None = None,
        names: Sequence[str] = commands.ALL,
        environment: Mapping[str, str] | None = None,
        simulator_options: Sequence[str] = (),
        instance_settings: Path | None = None,
        on_event: Callable[[str, str], None] = lambda name, event: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.state = state.resolve()
        self.ports = ports or Ports.free()
        self.names = tuple(name for name in commands.ALL if name in names)
        self.postgres = EmbeddedPostgres(self.state / "postgres", log=self.log(commands.POSTGRES))
        self.environment: Mapping[str, str] = platform_environment(
            self.state, ports=self.ports, postgres_url=self.postgres.url(), tokens=tokens_of(self.state)
        ) | dict(environment or {})
        self._vendor_options = _vendor_options(realtime_every_s, schedule_every_s, replay, simulator_options)
        self._instance_settings = instance_settings
        self._on_event = on_event
        self._should_stop = should_stop
        self._children: dict[str, Child] = {}
        self._guard: Guard | None = None
        self._lock: IO[str] | None = None

    def log(self, name: str) -> Path:
        return self.state / "logs" / f"{name}.log"

    def url(self, name: str) -> str:
        """Where a process listens, e.g. ``url("webserver")``; without a slash at the end."""
        return f"http://{HOST}:{getattr(self.ports, PORT_OF[name])}"

    def pid(self, name: str) -> int:
        process = self.postgres.process if name == commands.POSTGRES else self._children[name].process
        if process is None:
            raise ProcessFailedError(f"{name} is not running")
        return process.pid

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start every process as soon as what it needs is ready; returns when all are ready.

        Raises:
            ConfigurationError: A port or the state folder is in use; nothing was started.
            ProcessFailedError: One ended, or was not ready in time. What had been started is stopped.
            StartStoppedError: ``should_stop`` said so; likewise.
        """
        self.ports.check_free(tuple(PORT_OF[name] for name in self.names if name in PORT_OF))
        prepare_state(self.state, self._instance_settings)
        self._take_lock()
        try:
            for name in self.names:
                self.log(name).write_bytes(b"")
            write_environment(self.state / "env", self.environment)
            self._guard = Guard()
            self._start(self.names, timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything in order: first what asks for runs, then what runs them, last the database."""
        for group in STOP_ORDER:
            self._end([name for name in group if name in self._children])
        self._end_postgres()
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def start_process(self, name: str, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start one process that was stopped or has ended, and wait until it is ready."""
        self._start((name,), timeout_s)

    def stop_process(self, name: str) -> None:
        """End one process and what it started, in good order."""
        if name == commands.POSTGRES:
            self._end_postgres()
        else:
            self._end([name])

    def kill_process(self, name: str) -> None:
        """End one process and what it started at once, as a crash would."""
        pid = self.pid(name)
        self._children.pop(name).kill()
        self._forget(pid)

    def check(self) -> None:
        """Raise ProcessFailedError for the first process that ended by itself."""
        if self.postgres.process is not None:
            self.postgres.check()
        for child in self._children.values():
            child.check()

    def __enter__(self) -> Platform:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, names: Sequence[str], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        waiting, starting = list(names), list[str]()
        while waiting or starting:
            if self._should_stop():
                raise StartStoppedError("stopped while starting")
            for name in [name for name in waiting if self._may_start(name, {*waiting, *starting})]:
                waiting.remove(name)
                starting.append(name)
                self._launch(name)
            self.check()
            for name in [name for name in starting if self._is_ready(name)]:
                starting.remove(name)
                self._on_event(name, "ready")
            if time.monotonic() > deadline:
                late = ", ".join([*starting, *waiting])
                raise ProcessFailedError(f"not ready in {timeout_s:g} s: {late} (see {self.state / 'logs'})")
            time.sleep(POLL_S)

    def _may_start(self, name: str, not_ready: set[str]) -> bool:
        return not any(need in not_ready for need in NEEDS.get(name, ()))

    def _launch(self, name: str) -> None:
        self._on_event(name, "starting")
        if name == commands.POSTGRES:
            self._watch(self.postgres.launch().pid, signal.SIGINT)
            return
        child = self._children[name] = Child(
            name=name,
            command=self._command(name),
            environment={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
            log=self.log(name),
            is_ready=lambda: self._answers(name),
            is_task=name in commands.TASKS,
        )
        self._watch(child.launch(), signal.SIGTERM)

    def _is_ready(self, name: str) -> bool:
        if name == commands.POSTGRES:
            return self.postgres.is_ready()
        child = self._children[name]
        if not child.is_task:
            return child.is_ready()
        if child.is_done():
            self._forget(self.pid(name))
            del self._children[name]
            return True
        return False

    def _answers(self, name: str) -> bool:
        if name in (commands.CODE_SCHEDULE, commands.CODE_REALTIME):
            return is_listening(getattr(self.ports, PORT_OF[name]))  # it listens only once its code is loaded
        if name == commands.WEBSERVER:
            return has_answer(self.url(name) + "/server_info")
        return name not in PORT_OF or has_answer(self.url(name))

    def _command(self, name: str) -> list[str]:
        workspace = str(project_folder() / "deploy" / "workspace.yaml")
        match name:
            case commands.MIGRATE:
                command = commands.migrate()
            case commands.CODE_SCHEDULE:
                command = commands.code_server("schedule", host=HOST, port=self.ports.code_schedule)
            case commands.CODE_REALTIME:
                command = commands.code_server("realtime", host=HOST, port=self.ports.code_realtime)
            case commands.WEBSERVER:
                command = commands.webserver(host=HOST, port=self.ports.webserver, workspace=workspace)
            case commands.DAEMON:
                command = commands.daemon(workspace=workspace)
            case commands.PUBLISHED:
                command = commands.published(str(self.state / "published"), host=HOST, port=self.ports.published)
            case commands.SIMULATOR:
                command = commands.simulator(host=HOST, port=self.ports.simulator, options=self._vendor_options)
            case _:
                raise ConfigurationError(f"no process {name}: {', '.join(commands.ALL)}")
        return [str(Path(sysconfig.get_path("scripts")) / command[0]), *command[1:]]

    def _end(self, names: Sequence[str]) -> None:
        for name in names:
            self._on_event(name, "stopping")
        children = [self._children.pop(name) for name in names]
        leaders = {
            child.process.pid: STOP_SIGNAL.get(child.name, signal.SIGTERM)
            for child in children
            if child.process is not None
        }
        end_trees(leaders, grace_s=GRACE_S)
        for child in children:
            child.kill()  # nothing is left by now; this takes the exit code
        for pid in leaders:
            self._forget(pid)

    def _end_postgres(self) -> None:
        if self.postgres.process is not None:
            self._on_event(commands.POSTGRES, "stopping")
            pid = self.postgres.process.pid
            self.postgres.stop()
            self._forget(pid)

    def _watch(self, pid: int, sign: signal.Signals) -> None:
        if self._guard is not None:
            self._guard.watch(pid, sign)

    def _forget(self, pid: int) -> None:
        if self._guard is not None:
            self._guard.forget(pid)

    def _take_lock(self) -> None:
        self._lock = (self.state / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise ConfigurationError(
                f"{self.state} is in use by another demo: stop that, or choose another folder with --state"
            ) from None


def _vendor_options(
    realtime_every_s: float, schedule_every_s: float | None, replay: Path | None, further: Sequence[str]
) -> list[str]:
    options = ["--realtime-every", f"{realtime_every_s:g}"]
    if schedule_every_s is not None:
        options += ["--schedule-every", f"{schedule_every_s:g}"]
    if replay is not None:
        options += ["--replay", str(replay.resolve())]
    return [*options, *further]
