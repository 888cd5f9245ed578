"""One run in a process that was forked for it: the same that a code server's run process does, loaded already.

What is private of Dagster here is pinned with it and held by the tests of this folder.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import psutil
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RepositoryDefinition, in_process_executor
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
_log = logging.getLogger("dagster.continuous_gtfs.run")
_loaded: dict[str, RepositoryDefinition] = {}


@dataclass(frozen=True, slots=True)
class Worker:
    """The process of a run. A pid is used again; one that was started at the same moment is the same process.

    A run that repeats another takes over its tags, so a worker names the run that it belongs to.
    """

    run_id: str
    host: str
    pid: int
    started: str

    @classmethod
    def this_process(cls, run_id: str) -> Worker:
        return cls(run_id, socket.gethostname(), os.getpid(), started_at(os.getpid()) or "")

    @classmethod
    def of(cls, run: DagsterRun) -> Worker | None:
        """The process that the run was forked in; None where a code server has started it."""
        tag = run.tags.get(WORKER_TAG)
        worker = cls(**json.loads(tag)) if tag else None
        return worker if worker is not None and worker.run_id == run.run_id else None

    def to_tag(self) -> str:
        return json.dumps(asdict(self))

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, where this process can see it."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        return started_at(self.pid) == self.started


def started_at(pid: int) -> str | None:
    """When a process was started, told so that no other process has the same; None where it is gone or a zombie.

    By the kernel's count since the start of the machine, since a clock that is set moves every other answer.
    """
    try:
        if psutil.LINUX:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return None if fields[0] == b"Z" else f"{boot}/{int(fields[19])}"
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except (OSError, psutil.NoSuchProcess):
        return None


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
    """What is made once, before the first fork.

    Attributes:
        ref: The Dagster instance.
        job_tags: By module and job, the tags that the loaded code gives to its runs.
    """

    ref: InstanceRef
    job_tags: Mapping[str, Mapping[str, Mapping[str, str]]]


def prepare(instance: str, modules: Sequence[str]) -> Prepared:
    """Make everything that a run would make anew: definitions, what the instance imports, what the tables are like."""
    for name in modules:
        _loaded[name] = initialize_repository_def_from_pointer(CodePointer.from_module(name, "defs", None))
        _loaded[name].get_all_jobs()
    ref = deserialize_value(instance, InstanceRef)
    with DagsterInstance.from_ref(ref) as opened:
        learn_schema(opened)
        _read_as_a_run_does(opened)
    tags = {name: {job.name: dict(job.run_tags) for job in loaded.get_all_jobs()} for name, loaded in _loaded.items()}
    return Prepared(ref, tags)


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
        instance.add_run_tags(run_id, {WORKER_TAG: Worker.this_process(run_id).to_tag()})
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
        try:
            run = instance.get_run_by_id(run_id)
        except Exception:
            # The database may be back the next time.
            _log.exception("run %s cannot tell whether its end was asked for", run_id)
            continue
        if run is None or run.status is DagsterRunStatus.CANCELING:
            os.kill(os.getpid(), signal.SIGINT)
            return
