from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil

from continuous_gtfs.demo.guard import Guard

# A demo that starts one process, has it guarded, and is then killed.
DEMO = """
import signal, subprocess, sys
from continuous_gtfs.demo.guard import Guard
guard = Guard()
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
guard.watch(child.pid, signal.SIGTERM)
print(child.pid, guard.pid, flush=True)
signal.pause()
"""


def test_a_killed_demo_leaves_no_process_behind() -> None:
    with subprocess.Popen([sys.executable, "-c", DEMO], stdout=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        left = [psutil.Process(int(pid)) for pid in demo.stdout.readline().split()]
        assert all(process.is_running() for process in left)
        demo.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(left, timeout=20)
    assert alive == []


def test_a_dismissed_guard_and_a_forgotten_process_are_left_alone() -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
        for _ in range(2)
    ]
    dismissed = Guard()
    dismissed.watch(children[0].pid, signal.SIGKILL)
    dismissed.dismiss()
    forgetful = subprocess.Popen([sys.executable, "-m", "continuous_gtfs.demo.guard"], stdin=subprocess.PIPE, text=True)
    forgetful.communicate(f"{children[1].pid} 9\n{children[1].pid} 0\n", timeout=20)

    assert not psutil.pid_exists(dismissed.pid)
    assert [child.poll() for child in children] == [None, None]
    for child in children:
        child.kill()
        child.wait()


def test_a_guard_that_was_killed_does_not_take_the_demo_with_it() -> None:
    guard = Guard()
    psutil.Process(guard.pid).kill()
    os.waitid(os.P_PID, guard.pid, os.WEXITED | os.WNOWAIT)  # Its end of the pipe is shut from here on.
    guard.watch(1, signal.SIGTERM)
    guard.forget(1)
    guard.dismiss()
    assert not psutil.pid_exists(guard.pid)
