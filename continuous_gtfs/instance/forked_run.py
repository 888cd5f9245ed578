"""One run in a process that was forked for it: the same that a code server's run process does, loaded already.

What is private of Dagster here is pinned with it and held by the tests of this folder.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import psutil
from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RepositoryDefinition, in_process_executor
from dagster._core.code_pointer import CodePointer, ModuleCodePointer
from dagster._core.definitions.reconstruct import (
    ReconstructableJob,
    ReconstructableRepository,
    initialize_repository_def_from_pointer,
)
from dagster._core.definitions.repository_definition import RepositoryLoadData
from dagster._core.instance import InstanceRef
from dagster._core.origin import JobPythonOrigin
from dagster._grpc.impl import core_execute_run
from dagster._serdes import deserialize_value
from dagster._utils.hosted_user_process import recon_job_from_origin
from dagster._utils.interrupts import capture_interrupts

from continuous_gtfs.instance.storage import learn_schema

WORKER_TAG = "continuous_gtfs/worker"
"""Where a run's process is, as JSON: host, pid, and when it was started."""
CANCELING_POLL_S = 1.0
_loaded: dict[str, RepositoryDefinition] = {}


@dataclass(frozen=True, slots=True)
class Worker:
    """The process of a run. A pid is used again; one that was started at the same moment is the same process."""

    host: str
    pid: int
    started: float

    @classmethod
    def this_process(cls) -> Worker:
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    @classmethod
    def from_tag(cls, text: str) -> Worker:
        return cls(**json.loads(text))

    def to_tag(self) -> str:
        return json.dumps({"host": self.host, "pid": self.pid, "started": self.started})

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, where this process can see it."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class LoadedRepository(ReconstructableRepository):
    """A location whose definitions were made before the fork, in place of making them again for each run."""

    def get_definition(self) -> RepositoryDefinition:
        return _loaded[cast(ModuleCodePointer, self.pointer).module]

    def with_repository_load_data(self, metadata: RepositoryLoadData | None) -> ReconstructableRepository:
        if metadata and (metadata.cacheable_asset_data or metadata.reconstruction_metadata or metadata.defs_state_info):
            # The code server has made its definitions from more than the code.
            return ReconstructableRepository(*self).with_repository_load_data(metadata)
        return self


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is made once, before the first fork."""

    ref: InstanceRef


def prepare(instance: str, modules: Sequence[str]) -> Prepared:
    """Make everything that a run would make anew: definitions, what the instance imports, what the tables are like."""
    for name in modules:
        _loaded[name] = initialize_repository_def_from_pointer(CodePointer.from_module(name, "defs", None))
        _loaded[name].get_all_jobs()
    ref = deserialize_value(instance, InstanceRef)
    with DagsterInstance.from_ref(ref) as opened:
        learn_schema(opened)
        _read_as_a_run_does(opened)
    return Prepared(ref)


def _read_as_a_run_does(instance: DagsterInstance) -> None:
    """Ask for a run and an asset that are not there: what the questions need is then made."""
    instance.get_run_by_id("none")
    instance.get_asset_records([AssetKey("none")])
    instance.get_latest_materialization_event(AssetKey("none"))
    # Loaded when it is first asked for.
    _ = instance.compute_log_manager


def reconstructable_job(origin: JobPythonOrigin) -> ReconstructableJob:
    """The job of a run, from the loaded definitions where they will do."""
    job = recon_job_from_origin(origin)
    pointer = job.repository.pointer
    repository = _loaded.get(pointer.module) if isinstance(pointer, ModuleCodePointer) else None
    if repository is None or not repository.has_job(job.job_name):
        return job
    # Other executors send the job to processes of their own, told by what it is made from.
    if repository.get_job(job.job_name).executor_def.name != in_process_executor.name:
        return job
    return job._replace(repository=LoadedRepository(*job.repository))


def execute(prepared: Prepared, run_id: str) -> int:
    """Execute a run; 0 unless its end could not be reported."""
    with capture_interrupts(), DagsterInstance.from_ref(prepared.ref) as instance:
        instance.add_run_tags(run_id, {WORKER_TAG: Worker.this_process().to_tag()})
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return 0
        if run.status is DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run)
            return 0
        is_over = threading.Event()
        watcher = threading.Thread(target=_end_when_canceled, args=(instance, run_id, is_over), daemon=True)
        watcher.start()
        try:
            job = reconstructable_job(cast(JobPythonOrigin, run.job_code_origin))
            for _ in core_execute_run(job, run, instance, inject_env_vars=True):
                pass
            return 0
        finally:
            is_over.set()


def _end_when_canceled(instance: DagsterInstance, run_id: str, is_over: threading.Event) -> None:
    """Interrupts this process once somebody, in whatever process or container, has asked for the run's end."""
    while not is_over.wait(CANCELING_POLL_S):
        run = instance.get_run_by_id(run_id)
        if run is None or run.status is DagsterRunStatus.CANCELING:
            os.kill(os.getpid(), signal.SIGINT)
            return
