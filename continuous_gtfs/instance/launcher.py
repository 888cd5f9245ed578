"""WarmRunLauncher: Dagster's own launcher, but for runs of code that a warm process has loaded. Named in dagster.yaml.

A run of one of its modules is forked from a process that has loaded that code, in some milliseconds in place of a
second. While that process is not there, the code server starts it, as Dagster's own launcher would. Runs of other
modules are the fallback launcher's, where one is named (``dagster_k8s.K8sRunLauncher``), else the code server's too.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml  # type: ignore[import-untyped]
from dagster import (
    Array,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultRunLauncher,
    Field,
    Map,
    StringSource,
)
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value, serialize_value
from dagster._utils import get_run_crash_explanation

from continuous_gtfs.instance.forked_run import Worker
from continuous_gtfs.instance.storage import TABLES_ARE_THERE, database_name
from continuous_gtfs.instance.warm import NotWarmError, WarmProcess

_log = logging.getLogger("dagster.continuous_gtfs.launcher")
# By instance and not by launcher: two threads that ask an instance for its launcher first may each be given one.
# Within it by code location, of those that have settings of their own; the others share one.
_warm_processes: weakref.WeakKeyDictionary[DagsterInstance, dict[str, WarmProcess]] = weakref.WeakKeyDictionary()
_SHARED = ""
# Started as this script, or as the module of this name.
WEB_SERVER = "dagster-webserver"
# It answers from its memory.
CODE_SERVER_ANSWERS_WITHIN_S = 5
_lock = threading.Lock()


class WarmRunLauncher(DefaultRunLauncher):
    """Forks the runs of some code locations from a warm process.

    The process is started by the first run that is launched here, so only where runs are launched, which is the daemon.
    What somebody starts in the web interface is the code server's: a web server has not the settings of the code, and
    a fork of it would run another agency's, or keep things for as long as nobody has said.

    Args:
        modules: Modules of code locations, as their code servers are told them with ``-m``.
        locations: By the name of a code location, environment variables in which it differs from this process. It has
            a warm process of its own: one module serves several agencies, each with its own settings.
        fallback: Starts the runs of all other modules, in place of their code servers.
    """

    def __init__(
        self,
        modules: Sequence[str],
        inst_data: ConfigurableClassData | None = None,
        *,
        locations: Mapping[str, Mapping[str, str]] | None = None,
        fallback: RunLauncher | None = None,
    ) -> None:
        super().__init__(inst_data)
        self._modules = frozenset(modules)
        self._locations = dict(locations or {})
        self._fallback = fallback

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        return {
            "modules": Field(Array(str), description="Modules of the code locations whose runs are forked."),
            "locations": Field(
                Map(str, Map(str, StringSource)),  # type: ignore[no-untyped-call]
                is_required=False,
                description="By code location, environment variables in which it differs from this process.",
            ),
            "fallback": Field(
                {"module": str, "class": str, "config": Field(dict, is_required=False)},
                is_required=False,
                description="The launcher of the runs of all other modules, as in a run_launcher block of its own.",
            ),
        }

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        return cls(
            config_value["modules"],
            inst_data=inst_data,
            locations=config_value.get("locations"),
            fallback=_launcher(config_value.get("fallback")),
        )

    def register_instance(self, instance: DagsterInstance) -> None:
        super().register_instance(instance)
        if self._fallback is not None and not self._fallback.has_instance:
            self._fallback.register_instance(instance)

    @property
    def warm_pid(self) -> int | None:
        """The process that would fork the next run; None where there is none."""
        warm = self._warm(_SHARED)
        return warm.pid if warm else None

    @property
    def has_failed(self) -> bool:
        """Whether the code could not be loaded when that was tried last."""
        warm = self._warm(_SHARED)
        return warm is not None and warm.has_failed

    def _warm(self, location: str) -> WarmProcess | None:
        return _warm_processes.get(self._instance, {}).get(location)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        module = self._forked_module(run)
        if module is not None:
            try:
                self._warm_process(_location(run)).launch(run.run_id, run.tags, module=module, job=run.job_name)
            except NotWarmError as error:
                _log.info("run %s is started by its code server: %s", run.run_id, error)
            else:
                return
        elif self._fallback is not None and not self._is_of_modules(run):
            self._fallback.launch_run(context)
            return
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        worker = Worker.of(run) if run is not None else None
        if run is not None and (starter := self._starter(run)) is not None:
            return bool(starter.terminate(run_id))
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
        if (starter := self._starter(run)) is not None:
            return starter.check_run_worker_health(run)
        if worker is None:
            return self._health_by_code_server(run)
        if not worker.is_here:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"on {worker.host}, which cannot be looked at from here")
        if worker.is_alive:
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(worker.pid))
        return CheckRunHealthResult(WorkerStatus.FAILED, f"process {worker.pid} is gone", run_worker_id=str(worker.pid))

    def _health_by_code_server(self, run: DagsterRun) -> CheckRunHealthResult:
        """A code server tells Dagster itself when a run's process has died, unless it has died with it."""
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "started by a code server that has left no address")
        request = CanCancelExecutionRequest(run_id=run.run_id)
        try:
            answer = client.can_cancel_execution(request, timeout=CODE_SERVER_ANSWERS_WITHIN_S)
        except DagsterUserCodeUnreachableError as error:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"its code server gives no answer: {error}")
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its code server has it")
        return CheckRunHealthResult(WorkerStatus.FAILED, "its code server does not know it: it was started anew since")

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        if (starter := self._starter(run)) is not None:
            return starter.get_run_worker_debug_info(run, include_container_logs)
        return super().get_run_worker_debug_info(run, include_container_logs)

    def join(self, timeout: int = 30) -> None:
        if self._fallback is not None:
            self._fallback.join(timeout)
        super().join(timeout)  # type: ignore[no-untyped-call]

    def dispose(self) -> None:
        if self.has_instance:
            with _lock:
                processes = _warm_processes.pop(self._instance, {})
            for warm in processes.values():
                warm.stop()
        if self._fallback is not None:
            self._fallback.dispose()
        super().dispose()

    def _starter(self, run: DagsterRun) -> RunLauncher | None:
        """The fallback, where it has started the run: a code server leaves its address with those that it starts."""
        return None if Worker.of(run) is not None or GRPC_INFO_TAG in run.tags else self._fallback

    def _is_of_modules(self, run: DagsterRun) -> bool:
        module = _module(run)
        return module is not None and module in self._modules

    def _forked_module(self, run: DagsterRun) -> str | None:
        """The module whose warm process may fork the run; None where its code server has to start it."""
        module, origin = _module(run), run.job_code_origin
        if module is None or origin is None or module not in self._modules or _is_web_server():
            return None
        # Code in another image is not the code that is loaded here.
        is_same_image = origin.repository_origin.container_image == os.environ.get("DAGSTER_CURRENT_IMAGE")
        return module if is_same_image else None

    def _warm_process(self, location: str) -> WarmProcess:
        key = location if location in self._locations else _SHARED
        with _lock:
            processes = _warm_processes.setdefault(self._instance, {})
            if key not in processes:
                processes[key] = WarmProcess(
                    serialize_value(self._instance.get_ref()),
                    sorted(self._modules),
                    environment={**_environment(self._instance), **self._locations.get(key, {})},
                    on_died=functools.partial(_report_death, weakref.ref(self._instance)),
                )
            return processes[key]


def _launcher(block: Mapping[str, Any] | None) -> RunLauncher | None:
    if block is None:
        return None
    data = ConfigurableClassData(block["module"], block["class"], yaml.safe_dump(dict(block.get("config", {}))))
    return data.rehydrate(as_type=RunLauncher)  # type: ignore[type-abstract]


def _is_web_server() -> bool:
    script = Path(sys.argv[0])
    return WEB_SERVER in (script.name, script.parent.name.replace("_", "-"))


def _module(run: DagsterRun) -> str | None:
    origin = run.job_code_origin
    pointer = origin.repository_origin.code_pointer if origin is not None else None
    return pointer.module if isinstance(pointer, ModuleCodePointer) else None


def _location(run: DagsterRun) -> str:
    origin = run.remote_job_origin
    return origin.repository_origin.code_location_origin.location_name if origin is not None else _SHARED


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
