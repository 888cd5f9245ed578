"""A Dagster instance with this project's launcher and storage, a code server, and runs of its jobs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import psutil
from dagster import DagsterInstance, DagsterInvariantViolationError, DagsterRun, RunsFilter
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget

from continuous_gtfs.demo.ports import is_listening
from continuous_gtfs.instance.forked_run import WORKER_TAG, Worker
from continuous_gtfs.instance.launcher import WarmRunLauncher

Value = TypeVar("Value")
PROJECT = Path(__file__).resolve().parents[2]

LOCATION = '''\
"""A code location that the tests of the launcher change and break."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from dagster import Config, Definitions, Failure, OpExecutionContext, RetryPolicy, in_process_executor, job, op

SAYS = "hello"


class Where(Config):
    folder: str


@op
def say(config: Where) -> None:
    print("told on standard output")
    Path(config.folder, "said").write_text(f"{SAYS} {os.getpid()}")


@op
def keep_quiet() -> None:
    pass


@op
def hang(config: Where) -> None:
    Path(config.folder, "hanging").write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)


@op(retry_policy=RetryPolicy(max_retries=1))
def succeed_at_second_try(context: OpExecutionContext) -> None:
    if context.retry_number == 0:
        raise ValueError("the first try")


@op
def fail() -> None:
    raise Failure("as it was told to", allow_retries=False)


@job(executor_def=in_process_executor)
def say_job():
    say()


@job(executor_def=in_process_executor)
def quiet_job():
    keep_quiet()


@job(executor_def=in_process_executor)
def hang_job():
    hang()


@job(executor_def=in_process_executor)
def retry_job():
    succeed_at_second_try()


@job(executor_def=in_process_executor)
def fail_job():
    fail()


defs = Definitions(jobs=[say_job, quiet_job, hang_job, retry_job, fail_job])
'''

SETTINGS = """\
storage:
  custom:
    module: continuous_gtfs.instance.storage
    class: PooledPostgresStorage
    config:
      postgres_url: "{url}"
run_launcher:
  module: continuous_gtfs.instance.launcher
  class: WarmRunLauncher
  config:
    modules: [{module}]
compute_logs:
  module: continuous_gtfs.instance.compute_logs
  class: FileComputeLogManager
run_coordinator:
  module: dagster.core.run_coordinator
  class: DefaultRunCoordinator
run_monitoring:
  enabled: true
telemetry:
  enabled: false
"""


def wait_for(condition: Callable[[], Value | None], *, what: str, timeout_s: float = 60.0) -> Value:
    """The first true value of ``condition``; fails the test with ``what`` when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in {timeout_s:g} s: {what}"
        time.sleep(0.02)
    return value


@dataclass
class Station:
    """An instance, one code location, and what launches runs of it."""

    instance: DagsterInstance
    workspace: WorkspaceProcessContext
    module: str
    file: Path
    folder: Path
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def launcher(self) -> WarmRunLauncher:
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        return launcher

    def another_instance(self) -> DagsterInstance:
        """The same instance as another process has it: with a launcher that has launched nothing."""
        return self._stack.enter_context(DagsterInstance.from_ref(self.instance.get_ref()))

    def launch(self, job: str, *, tags: Mapping[str, str] | None = None) -> DagsterRun:
        run = self.create(job, tags=tags)
        with self.workspace.create_request_context() as context:
            return self.instance.submit_run(run.run_id, context)

    def launch_without_code_server(self, job: str) -> None:
        """Launch a run that nothing can start unless it is forked: the code server's code is not asked."""
        run = self.create(job)
        with suppress(DagsterInvariantViolationError):
            self.launcher.launch_run(LaunchRunContext(run, None))

    def create(self, job: str, *, tags: Mapping[str, str] | None = None) -> DagsterRun:
        """A run that nobody has launched."""
        with self.workspace.create_request_context() as context:
            (location,) = context.code_locations
            (repository,) = location.get_repositories().values()
            remote = repository.get_full_job(job)
            op = {"say_job": "say", "hang_job": "hang"}.get(job)
            config = {"ops": {op: {"config": {"folder": str(self.folder)}}}} if op else {}
            plan = location.get_execution_plan(remote, config, step_keys_to_execute=None, known_state=None)
            return self.instance.create_run(
                job_name=job,
                run_id=None,
                run_config=config,
                resolved_op_selection=None,
                step_keys_to_execute=None,
                status=None,
                tags=dict(tags or {}),
                root_run_id=None,
                parent_run_id=None,
                job_snapshot=remote.job_snapshot,
                execution_plan_snapshot=plan.execution_plan_snapshot,
                parent_job_snapshot=remote.parent_job_snapshot,
                remote_job_origin=remote.get_remote_origin(),
                job_code_origin=remote.get_python_origin(),
                op_selection=None,
                asset_selection=None,
                asset_check_selection=None,
                asset_graph=None,
            )

    def run(self, run: DagsterRun) -> DagsterRun:
        """The run as it is stored now."""
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found

    def ended(self, run: DagsterRun) -> DagsterRun:
        wait_for(lambda: self.run(run).is_finished, what=f"the end of run {run.run_id}")
        return self.run(run)

    def worker(self, run: DagsterRun) -> Worker:
        tag = wait_for(lambda: self.run(run).tags.get(WORKER_TAG), what="the run's process")
        return Worker(**json.loads(tag))

    def warm_up(self, *, tags: Mapping[str, str] | None = None) -> int:
        """Launch a run and wait for the process that will fork the next; its pid."""
        self.ended(self.launch("say_job", tags=tags))
        return wait_for(lambda: self.launcher.warm_pid, what="a warm process")

    @contextmanager
    def another_code_server(self) -> Iterator[tuple[Station, int]]:
        """This station with a code server of its own to launch by, and its port. It dies with the runs that it has."""
        with code_server(self.module) as port:
            target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name="tests")
            with WorkspaceProcessContext(self.instance, target) as workspace:
                yield replace(self, workspace=workspace), port
            (server,) = [p for p in psutil.Process().children() if str(port) in p.cmdline()]
            for process in server.children(recursive=True):
                process.kill()

    def messages(self, run: DagsterRun) -> str:
        return "\n".join(str(entry) for entry in self.instance.all_logs(run.run_id))

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def end_runs(self) -> None:
        """Nothing that a test has started outlives it."""
        for run in self.instance.get_runs(RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)):
            if tag := run.tags.get(WORKER_TAG):
                with suppress(ProcessLookupError):
                    os.kill(json.loads(tag)["pid"], signal.SIGKILL)
            self.ended(run) if not tag else self.instance.report_run_failed(run)

    def hanging(self) -> bool:
        return (self.folder / "hanging").exists()


@contextmanager
def code_server(module: str, port: int | None = None) -> Iterator[int]:
    """A code server as in production, on a free port unless one is given."""
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "dagster", "api", "grpc", "-m", module, "-h", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen([*command, "--location-name", "tests"]) as process:
        try:
            wait_for(lambda: is_listening(port), what="the code server")
            yield port
        finally:
            # Not by a signal that it may have been started to ignore: it has nothing to save.
            process.kill()


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@contextmanager
def open_station(folder: Path, postgres_url: str) -> Iterator[Station]:
    """A code location of its own in ``folder``, so that it may be changed. Sets environment variables meanwhile."""
    module = f"location_{folder.name.replace('-', '_')}"
    file = folder / "code" / f"{module}.py"
    file.parent.mkdir()
    file.write_text(LOCATION)
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(SETTINGS.format(module=module, url=postgres_url))
    paths = [str(file.parent), str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    before = dict(os.environ)
    os.environ.update({"PYTHONPATH": os.pathsep.join(paths), "DAGSTER_HOME": str(home)})
    try:
        with ExitStack() as stack:
            instance = stack.enter_context(DagsterInstance.from_config(str(home)))
            port = stack.enter_context(code_server(module))
            target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name="tests")
            workspace = stack.enter_context(WorkspaceProcessContext(instance, target))
            station = Station(instance, workspace, module, file, folder, stack)
            yield station
            station.end_runs()
    finally:
        os.environ.clear()
        os.environ.update(before)
