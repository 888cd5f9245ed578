"""Does the launcher hold still over two thousand forked runs: descriptors, threads, memory, processes left behind?

One job with one op that does nothing, a few runs at a time, on embedded PostgreSQL. The launcher is in this process.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import GrpcServerTarget
from tables import median, percentile, print_table

from continuous_gtfs.demo.ports import is_listening
from continuous_gtfs.demo.postgres import EmbeddedPostgres
from continuous_gtfs.instance.forked_run import WORKER_TAG
from continuous_gtfs.instance.launcher import WarmRunLauncher

MODULE = "forked_runs_location"
LOCATION = """\
from dagster import Definitions, in_process_executor, job, op


@op
def nothing():
    pass


@job(executor_def=in_process_executor)
def nothing_job():
    nothing()


defs = Definitions(jobs=[nothing_job])
"""
SETTINGS = """\
storage:
  custom:
    module: continuous_gtfs.instance.storage
    class: PooledPostgresStorage
    config: {{postgres_url: "{url}"}}
run_launcher:
  module: continuous_gtfs.instance.launcher
  class: WarmRunLauncher
  config: {{modules: [{module}]}}
compute_logs:
  module: continuous_gtfs.instance.compute_logs
  class: FileComputeLogManager
run_coordinator:
  module: dagster.core.run_coordinator
  class: DefaultRunCoordinator
telemetry: {{enabled: false}}
"""
AT_A_TIME = 4
WAITS_S = 120.0


class Launching:
    """One location, and runs of its job."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        (folder / f"{MODULE}.py").write_text(LOCATION)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
        os.environ["DAGSTER_HOME"] = str(folder)
        url = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        (folder / "dagster.yaml").write_text(SETTINGS.format(url=url, module=MODULE))
        self.instance = stack.enter_context(DagsterInstance.from_config(str(folder)))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        command = [sys.executable, "-m", "dagster", "api", "grpc", "-m", MODULE, "-h", "127.0.0.1", "-p", str(port)]
        server = stack.enter_context(subprocess.Popen([*command, "--location-name", MODULE], stderr=subprocess.DEVNULL))
        stack.callback(server.terminate)
        _wait(lambda: is_listening(port))
        target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name=MODULE)
        self.workspace = stack.enter_context(WorkspaceProcessContext(self.instance, target))

    @property
    def launcher(self) -> WarmRunLauncher:
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        return launcher

    def launch(self, context: WorkspaceRequestContext) -> str:
        (location,) = context.code_locations
        (repository,) = location.get_repositories().values()
        remote = repository.get_full_job("nothing_job")
        plan = location.get_execution_plan(remote, {}, step_keys_to_execute=None, known_state=None)
        run = self.instance.create_run(
            job_name="nothing_job",
            run_id=None,
            run_config={},
            resolved_op_selection=None,
            step_keys_to_execute=None,
            status=None,
            tags={},
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
        self.instance.submit_run(run.run_id, context)
        return run.run_id

    def wait(self, run_ids: list[str]) -> None:
        _wait(lambda: all(run.is_finished for run in self.instance.get_runs(RunsFilter(run_ids=run_ids))))

    def measured(self) -> list[str]:
        """Descriptors, threads and MiB of this process and of the warm one, and what the warm one has as children."""
        warm = psutil.Process(self.launcher.warm_pid)
        _wait(lambda: not warm.children())
        here = psutil.Process()
        return [
            f"{here.num_fds()} / {warm.num_fds()}",
            f"{threading.active_count()} / {warm.num_threads()}",
            f"{here.memory_info().rss / (1 << 20):.1f} / {warm.memory_info().rss / (1 << 20):.1f}",
            str(len(warm.children())),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forked-runs-") as folder, ExitStack() as stack:
        launching = Launching(stack, Path(folder))
        with launching.workspace.create_request_context() as context:
            launching.wait([launching.launch(context)])
            _wait(lambda: launching.launcher.warm_pid)
            rows, took = [], list[float]()
            warm = launching.launcher.warm_pid
            for count in range(0, options.runs, AT_A_TIME):
                if count % (options.runs // 4) < AT_A_TIME:
                    rows.append([str(count), *launching.measured()])
                began = time.monotonic()
                launching.wait([launching.launch(context) for _ in range(AT_A_TIME)])
                took.append((time.monotonic() - began) / AT_A_TIME)
            rows.append([str(options.runs), *launching.measured()])
        runs = launching.instance.get_runs(RunsFilter(job_name="nothing_job"))
        forked = [run for run in runs if WORKER_TAG in run.tags]
        failed = [run for run in runs if run.status is not DagsterRunStatus.SUCCESS]
        is_the_same = warm == launching.launcher.warm_pid
    columns = ("forked runs", "descriptors", "threads", "resident MiB", "processes left")
    print_table("The launcher's process / the warm process", columns, rows)
    sys.stdout.write(
        f"\n{len(forked)} of {len(runs)} runs forked, {len(failed)} failed, one warm process for all: {is_the_same}; "
        f"{median(took):.2f} s a run, {AT_A_TIME} at a time (p95 {percentile(took, 0.95):.2f})\n"
    )


def _wait(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + WAITS_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the benchmark waited in vain")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
