"""Ending a process with everything it started, by pid. Knows nothing of what the processes are.

Each process is started as the leader of a session of its own. What it starts stays in that session even after
its parent has died, and a session's number is not given to another process while one member lives: so a
session is found again whole, and nothing else is.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable

import psutil


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

    Members are taken before the leaders are asked: a child in another session is known only by its parent.
    """
    processes = {process.pid: process for pid in leaders for process in members(pid)}
    for pid, sign in leaders.items():
        send([processes[pid]] if pid in processes else [], sign)
    psutil.wait_procs(list(processes.values()), timeout=grace_s)
    left = {process.pid: process for pid in leaders for process in members(pid)}
    left |= {pid: process for pid, process in processes.items() if process.is_running()}
    send(left.values(), signal.SIGKILL)
    psutil.wait_procs(list(left.values()), timeout=5)
