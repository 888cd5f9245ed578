"""Ending a process with everything it started, by pid. Knows nothing of what the processes are.

Each process is started as the leader of a session of its own. What it starts stays in that session even after
its parent has died, and a session's number is not given to another process while one member lives: so a
session is found again whole, and nothing else is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable

import psutil

POLL_S = 0.02
KILL_TIMEOUT_S = 5.0


def members(leader_pid: int) -> list[psutil.Process]:
    """The session that ``leader_pid`` began, and every descendant that left it for a session of its own."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == leader_pid:
                found[process.pid] = process
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(leader_pid).children(recursive=True):
            found[process.pid] = process
    return [process for process in found.values() if process.pid != os.getpid()]


def send(processes: Iterable[psutil.Process], sign: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(sign)


def end_trees(leaders: dict[int, signal.Signals], *, grace_s: float) -> None:
    """Ask every leader to end with its own signal, and end by force whatever is left after ``grace_s``.

    Members are taken before the leaders are asked: a child in another session is known only by its parent. A leader
    that is this process's child is left for its owner to wait for.
    """
    processes = {process.pid: process for pid in leaders for process in members(pid)}
    for pid, sign in leaders.items():
        send([processes[pid]] if pid in processes else [], sign)
    wait_for(processes.values(), timeout_s=grace_s)
    left = {process.pid: process for pid in leaders for process in members(pid)} | processes
    send([process for process in left.values() if is_alive(process)], signal.SIGKILL)
    wait_for(left.values(), timeout_s=KILL_TIMEOUT_S)


def wait_for(processes: Iterable[psutil.Process], *, timeout_s: float) -> None:
    """Wait until none of them is alive, or until the time is over."""
    deadline = time.monotonic() + timeout_s
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def is_alive(process: psutil.Process) -> bool:
    """Whether it still does anything: one that only waits for its parent to take its exit code does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
