"""The process that has a code location loaded and forks one process for each run. Started by ``warm``, never by hand.

    python -m continuous_gtfs.instance.warm_process FD INSTANCE MODULE...

It speaks lines of JSON over the socket FD. It says ``ready`` once, with the files that it has loaded and the tags of
its jobs; it is told ``{"run": RUN_ID}``; it says ``started`` and, when the run's process is gone, ``ended`` with its
exit code. It ends when nobody holds the other end any more and its runs are over. It has a single thread, so that a
fork is whole.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import sysconfig
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

# What a run imports late besides what ``forked_run`` and the code location import.
_ALSO = (
    "dagster._core.execution.plan.active",
    "dagster._core.executor.in_process",
    "dagster._core.system_config.composite_descent",
)


# The file system's clock may be behind by a tick.
CLOCKS_APART_NS = 50_000_000


def main(fd: int, instance: str, modules: Sequence[str]) -> None:
    # Ctrl-C in a terminal reaches every process of the group; this one ends with the one that started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=fd)
    began = time.time_ns()
    try:
        forked_run = _load(modules)
        prepared = forked_run.prepare(instance, modules)
    except BaseException as error:
        _say(
            channel, {"failed": traceback.format_exc(), "files": _changes({*_loaded_files(), *_files_of(error)}, began)}
        )
        return
    # What is here now stays: a run neither looks through it for garbage nor touches its pages.
    gc.collect()
    gc.freeze()
    _say(channel, {"ready": os.getpid(), "files": _changes(_loaded_files(), began), "job_tags": prepared.job_tags})
    _Server(channel, forked_run, prepared).serve()


class _Server:
    def __init__(self, channel: socket.socket, forked_run: ModuleType, prepared: Any) -> None:
        self._channel = channel
        self._forked_run = forked_run
        self._prepared = prepared
        self._runs: dict[int, str] = {}
        self._selector = selectors.DefaultSelector()
        self._buffer = b""

    def serve(self) -> None:
        woken, wakes = socket.socketpair()
        woken.setblocking(False)
        wakes.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._selector.register(woken, selectors.EVENT_READ)
        is_open = True
        while is_open or self._runs:
            for key, _ in self._selector.select():
                if key.fileobj is woken:
                    with contextlib.suppress(BlockingIOError):
                        woken.recv(4096)
                else:
                    is_open = self._take_requests()
            self._take_ended()

    def _take_requests(self) -> bool:
        try:
            data = self._channel.recv(1 << 16)
        except ConnectionResetError:
            # Whoever held the other end has died with something unread.
            data = b""
        if not data:
            self._selector.unregister(self._channel)
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            run_id = json.loads(line)["run"]
            pid = os.fork()
            if pid == 0:
                self._become_run(run_id)
            self._runs[pid] = run_id
            _say(self._channel, {"started": run_id, "pid": pid})
        return True

    def _become_run(self, run_id: str) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._selector.close()
            self._channel.close()
            code = self._forked_run.execute(self._prepared, run_id)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            # Nothing of the process that this is a copy of is to be tidied up twice.
            os._exit(code)

    def _take_ended(self) -> None:
        for pid in list(self._runs):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                run_id = self._runs.pop(pid)
                _say(self._channel, {"ended": run_id, "pid": pid, "exit_code": os.waitstatus_to_exitcode(status)})


def _load(modules: Sequence[str]) -> ModuleType:
    for name in (*modules, *_ALSO):
        importlib.import_module(name)
    if any(value.startswith("gs://") for value in os.environ.values()):
        importlib.import_module("continuous_gtfs.artifacts.gcs_client").preload()
    return importlib.import_module("continuous_gtfs.instance.forked_run")


def _loaded_files() -> set[str]:
    """Files by which a change of code is told: modules that are not installed, and the folders of those that are."""
    paths = sysconfig.get_paths()
    installed = {paths["purelib"], paths["platlib"]}
    standard = tuple({paths["stdlib"], paths["platstdlib"], *installed})
    loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {path for path in loaded if path and not path.startswith(standard)} | installed


def _files_of(error: BaseException) -> set[str]:
    """The files that an error came through, and the one that is no Python."""
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    if isinstance(error, SyntaxError) and error.filename:
        files.add(error.filename)
    return {path for path in files if Path(path).is_file()}


def _changes(files: Iterable[str], began: int) -> Mapping[str, int]:
    """When each file was changed last; 0 where that was while it was loaded, so that it is loaded again."""
    found = {}
    for path in sorted(files):
        with contextlib.suppress(OSError):
            changed = Path(path).stat().st_ctime_ns
            found[path] = changed if changed < began - CLOCKS_APART_NS else 0
    return found


def _say(channel: socket.socket, message: Mapping[str, Any]) -> None:
    # Whoever started this process may be gone; its runs go on.
    with contextlib.suppress(OSError):
        channel.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
