"""WarmRunLauncher: Dagster's own launcher, but for runs of code that a warm process has loaded. Named in dagster.yaml.

A run of one of its modules is forked from a process that has loaded that code, in some milliseconds in place of a
second. Every other run, and every run while that process is not there, goes the stock way: the code server starts it.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Self

from dagster import Array, DagsterInstance, DagsterRun, DagsterRunStatus, DefaultRunLauncher, Field
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData, serialize_value
from dagster._utils import get_run_crash_explanation

from continuous_gtfs.instance.forked_run import Worker
from continuous_gtfs.instance.storage import TABLES_ARE_THERE, database_name
from continuous_gtfs.instance.warm import NotWarmError, WarmProcess

_log = logging.getLogger("dagster.continuous_gtfs.launcher")
# By instance and not by launcher: two threads that ask an instance for its launcher first may each be given one.
_warm_processes: weakref.WeakKeyDictionary[DagsterInstance, WarmProcess] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class WarmRunLauncher(DefaultRunLauncher):
    """Forks the runs of some code locations from a warm process.

    The process is started by the first run that is launched here, so only in processes that launch runs: the daemon,
    and the web server once somebody starts a run by hand.

    Args:
        modules: Modules of code locations, as their code servers are told them with ``-m``.
    """

    def __init__(self, modules: Sequence[str], inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._modules = frozenset(modules)

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        return {"modules": Field(Array(str), description="Modules of the code locations whose runs are forked.")}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        return cls(config_value["modules"], inst_data=inst_data)

    @property
    def warm_pid(self) -> int | None:
        """The process that would fork the next run; None where there is none."""
        warm = _warm_processes.get(self._instance)
        return warm.pid if warm else None

    @property
    def has_failed(self) -> bool:
        """Whether the code could not be loaded when that was tried last."""
        warm = _warm_processes.get(self._instance)
        return warm is not None and warm.has_failed

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        module = self._forked_module(run)
        if module is not None:
            try:
                self._warm_process().launch(run.run_id, run.tags, module=module, job=run.job_name)
            except NotWarmError as error:
                _log.info("run %s is started by its code server: %s", run.run_id, error)
            else:
                return
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        worker = Worker.of(run) if run is not None else None
        if run is None or worker is None:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        if run.is_finished:
            return False
        # A run's process looks for this by itself, wherever it is; a signal is only sooner.
        self._instance.report_run_canceling(run)
        if not worker.is_here:
            return True
        try:
            if worker.is_alive:
                os.kill(worker.pid, signal.SIGINT)
                return True
        except ProcessLookupError:
            _log.info("run %s ended by itself just now", run_id)
        return False

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        worker = Worker.of(run)
        if worker is None:
            # A code server tells Dagster itself when a run's process has died.
            return CheckRunHealthResult(WorkerStatus.RUNNING, "started by a code server")
        if not worker.is_here:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"on {worker.host}, which cannot be looked at from here")
        if worker.is_alive:
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(worker.pid))
        return CheckRunHealthResult(WorkerStatus.FAILED, f"process {worker.pid} is gone", run_worker_id=str(worker.pid))

    def dispose(self) -> None:
        if self.has_instance:
            with _lock:
                warm = _warm_processes.pop(self._instance, None)
            if warm is not None:
                warm.stop()
        super().dispose()

    def _forked_module(self, run: DagsterRun) -> str | None:
        """The module whose warm process may fork the run; None where its code server has to start it."""
        origin = run.job_code_origin
        if origin is None:
            return None
        pointer = origin.repository_origin.code_pointer
        if not isinstance(pointer, ModuleCodePointer) or pointer.module not in self._modules:
            return None
        # Code in another image is not the code that is loaded here.
        is_same_image = origin.repository_origin.container_image == os.environ.get("DAGSTER_CURRENT_IMAGE")
        return pointer.module if is_same_image else None

    def _warm_process(self) -> WarmProcess:
        with _lock:
            warm = _warm_processes.get(self._instance)
            if warm is None:
                warm = _warm_processes[self._instance] = WarmProcess(
                    serialize_value(self._instance.get_ref()),
                    sorted(self._modules),
                    environment=_environment(self._instance),
                    on_died=functools.partial(_report_death, weakref.ref(self._instance)),
                )
            return warm


def _report_death(reference: weakref.ref[DagsterInstance], run_id: str, exit_code: int) -> None:
    """Reports a run whose process died without a word, as a code server does for its own."""
    instance = reference()
    if instance is None:
        return
    try:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        told = get_run_crash_explanation(f"Run execution process for {run_id}", exit_code)
        instance.report_engine_event(told, run, cls=WarmRunLauncher)
        if run.status is DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run)
        else:
            instance.report_run_failed(run)
    except Exception:
        # The database may be gone too; run monitoring finds such a run later.
        _log.exception("the end of run %s could not be reported", run_id)


def _environment(instance: DagsterInstance) -> Mapping[str, str]:
    """What a forked run need not find out, since the process that launches it has used the same database."""
    url = getattr(instance.run_storage, "postgres_url", None)
    return {TABLES_ARE_THERE: database_name(url)} if isinstance(url, str) else {}
