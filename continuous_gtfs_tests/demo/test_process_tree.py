from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil

from continuous_gtfs.demo.process_tree import end_trees, is_alive, members

# Starts a child in its own session and one in a session of the child's own, says their pids, and ignores SIGTERM.
STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import signal; signal.pause()"]
near = subprocess.Popen(sleep)
far = subprocess.Popen(sleep, start_new_session=True)
print(near.pid, far.pid, flush=True)
signal.pause()
"""

# Ends when asked, also if whoever started it ignores SIGTERM, as Dagster does in a process that ignores SIGINT.
OBEDIENT = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_DFL)
print("ready", flush=True)
signal.pause()
"""


def stubborn() -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    with process.stdout:
        children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    return process, children


def test_ending_a_process_ends_all_it_started_also_in_another_session_and_nothing_else() -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    process, children = stubborn()
    assert len(children) == 2

    end_trees({process.pid: signal.SIGTERM}, grace_s=0.2)

    process.wait(5)
    assert not any(is_alive(child) for child in children)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_session_is_found_again_after_its_leader_has_died() -> None:
    process, (near, far) = stubborn()
    process.kill()
    process.wait()

    assert [found.pid for found in members(process.pid)] == [near.pid]

    end_trees({process.pid: signal.SIGTERM}, grace_s=1)
    far.kill()
    assert not is_alive(near)


def test_a_process_that_ends_when_asked_is_not_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", OBEDIENT], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
    before = time.monotonic()
    end_trees({process.pid: signal.SIGTERM}, grace_s=60)
    assert time.monotonic() - before < 30
    assert process.wait(5) == -signal.SIGTERM
