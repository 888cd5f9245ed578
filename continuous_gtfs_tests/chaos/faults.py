"""Faults that kill nobody: the database, the stores, the vendor or the clock are wrong for a while.

Each is set, held, and taken away. Held against it: nothing wrong is published meanwhile (the observer says so), it is
loud (something that an operator or an alert looks at tells of it), and all is well again by itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from continuous_gtfs.demo import commands
from continuous_gtfs_tests.chaos.campaign import Campaign
from continuous_gtfs_tests.chaos.loudness import Loudness

RECOVERS_WITHIN_S = 180.0
SMALL_DISK = "96m"
CLOCK_FILE = "clock"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and how long it is held; seconds.

    Attributes:
        name: As shown.
        held_s: How long.
        set: What sets it, and takes it away at its end.
        has_schedules: Whether the vendor has a new schedule in the middle of it and another one after it. A vendor that
            is started again begins with its first one.
    """

    name: str
    held_s: float
    set: Callable[[Campaign], AbstractContextManager[None]]
    has_schedules: bool = True


def hold(campaign: Campaign, fault: Fault) -> str:
    """Set it, hold it, take it away, wait until all is well; notes what was seen of it. Gives a line on it."""
    loudness = Loudness(campaign.platform.state / "logs", campaign.editions)
    campaign.timeline.note("fault", f"{fault.name} begins")
    with fault.set(campaign):
        time.sleep(fault.held_s / 2)
        if fault.has_schedules:
            _new_schedules(campaign)
        time.sleep(fault.held_s / 2)
    at = time.time()
    campaign.timeline.note("fault", f"{fault.name} is over")
    if fault.has_schedules:
        _new_schedules(campaign)
    schedules = campaign.vendor.schedules_now()
    what = f"recovery after: {fault.name}"
    realtime_s = campaign.wait(lambda: campaign.is_realtime_after(at), RECOVERS_WITHIN_S, f"realtime: {what}")
    rest_s = campaign.wait(lambda: campaign.are_live(schedules), RECOVERS_WITHIN_S, f"schedule: {what}")
    schedule_s = time.time() - at if rest_s is not None else RECOVERS_WITHIN_S
    with campaign.instance() as instance:
        seen = loudness.since(instance)
    if not any(seen.values()):
        campaign.timeline.broken(f"nothing told of: {fault.name}")
    times = {"held_s": fault.held_s, "realtime_s": realtime_s or RECOVERS_WITHIN_S, "schedule_s": schedule_s}
    campaign.round.faults[fault.name] = {**times, **seen}
    return f"{fault.name}: " + ", ".join(
        f"{key} {value:.0f}" for key, value in campaign.round.faults[fault.name].items()
    )


def _new_schedules(campaign: Campaign) -> None:
    for edition in campaign.editions:
        with contextlib.suppress(OSError):
            campaign.vendor.new_schedule(edition)


@contextmanager
def _suspended(name: str, campaign: Campaign) -> Iterator[None]:
    campaign.platform.suspend(name, signal.SIGSTOP)
    try:
        yield
    finally:
        campaign.platform.suspend(name, signal.SIGCONT)


@contextmanager
def _database_down(campaign: Campaign) -> Iterator[None]:
    with campaign.platform.held_down(commands.POSTGRES):
        campaign.platform.kill([commands.POSTGRES + " container"])
        yield


@contextmanager
def _vendor_down(campaign: Campaign) -> Iterator[None]:
    campaign.platform.kill([commands.SIMULATOR])
    try:
        yield
    finally:
        campaign.platform.revive(commands.SIMULATOR)
        campaign.wait(campaign.vendor.answers, 60, "the vendor up again")


@contextmanager
def _vendor_resets(campaign: Campaign) -> Iterator[None]:
    """In the vendor's place something takes each connection and resets it."""
    with _vendor_down(campaign), socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(server, campaign.platform.ports.simulator)
        is_over = threading.Event()
        thread = threading.Thread(target=_reset_all, args=(server, is_over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def _bind(server: socket.socket, port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            server.bind(("127.0.0.1", port))
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    server.listen()
    server.settimeout(0.2)


def _reset_all(server: socket.socket, is_over: threading.Event) -> None:
    while not is_over.is_set():
        with contextlib.suppress(TimeoutError):
            connection, _ = server.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()


@contextmanager
def _vendor_fault(kind: str, campaign: Campaign) -> Iterator[None]:
    for edition in campaign.editions:
        for feed in ("schedule", "vehicle_positions", "trip_updates"):
            campaign.vendor.set_fault(edition, feed, kind)
    try:
        yield
    finally:
        campaign.vendor.clear_faults()


@contextmanager
def _store_gone(name: str, campaign: Campaign) -> Iterator[None]:
    """In place of the store's folder there is something that is none: a volume that was not mounted."""
    folder = Path(campaign.platform.environment[name])
    away = folder.with_name(folder.name + ".away")
    folder.rename(away)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        away.rename(folder)


@contextmanager
def _disk_full(campaign: Campaign) -> Iterator[None]:
    ballast = small_disk(campaign.platform.state) / "ballast"
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * (1 << 20))
            file.flush()
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0")
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def _disk_read_only(campaign: Campaign) -> Iterator[None]:
    disk = str(small_disk(campaign.platform.state))
    deadline = time.monotonic() + 10
    # It is refused while a file is being written.
    while subprocess.run(["mount", "-o", "remount,ro", disk], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{disk} could not be made read-only")
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


@contextmanager
def _clock(seconds: int, campaign: Campaign) -> Iterator[None]:
    set_clock(campaign.platform.state, seconds)
    try:
        yield
    finally:
        set_clock(campaign.platform.state, 0)


def set_clock(state: Path, seconds: int) -> None:
    """Step the clock of every process of ours; what is steady stays so. The vendor's and the database's stay right."""
    part = state / "clock.part"
    part.write_text(f"{seconds}\n")
    part.replace(state / CLOCK_FILE)


def clock_settings(state: Path) -> Mapping[str, str] | None:
    """What makes processes read the clock of ``set_clock``; None where there is no C compiler to make that.

    libfaketime 0.9.10 is not for this: as it fakes the steady clock or does not, a lock waits for ever or
    ``time.sleep`` of Python 3.11 fails.
    """
    library, source = state / "clock.so", Path(__file__).with_name("clock.c")
    if (compiler := shutil.which("cc")) is None:
        return None
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    set_clock(state, 0)
    return {"LD_PRELOAD": str(library), "CONTINUOUS_GTFS_CHAOS_CLOCK": str(state / CLOCK_FILE)}


def small_disk(state: Path) -> Path:
    return state / "small"


@contextmanager
def mounted_small_disk(state: Path) -> Iterator[bool]:
    """A file system of its own, small enough to be filled; False where this user may not mount one."""
    disk = small_disk(state)
    disk.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=755", "tmpfs", str(disk)]
    is_mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", str(disk)], check=True)


def cloud_storage_stopped(pid: int) -> Fault:
    """The server of the archive's bucket takes connections and answers nothing."""

    @contextmanager
    def stopped(_: Campaign) -> Iterator[None]:
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    # A stop of half a minute is waited out: what is published is late by that, and nothing has failed.
    return Fault("Cloud Storage stopped", 90, stopped)


ARCHIVE, PUBLISHED = "CONTINUOUS_GTFS_ARCHIVE", "CONTINUOUS_GTFS_PUBLISHED"
FAULTS = (
    Fault("vendor down", 30, _vendor_down, has_schedules=False),
    Fault("vendor resets connections", 20, _vendor_resets, has_schedules=False),
    Fault("vendor stopped", 30, partial(_suspended, commands.SIMULATOR), has_schedules=False),
    Fault("PostgreSQL stopped", 60, partial(_suspended, commands.POSTGRES)),
    Fault("PostgreSQL down", 60, _database_down),
    Fault("vendor answers 503", 20, partial(_vendor_fault, "http_503")),
    Fault("vendor cuts bodies short", 20, partial(_vendor_fault, "truncated_body")),
    Fault("archive gone", 20, partial(_store_gone, ARCHIVE)),
    Fault("published store gone", 20, partial(_store_gone, PUBLISHED)),
)
DISK_FAULTS = (
    Fault("disk full", 20, _disk_full),
    Fault("disk read-only", 20, _disk_read_only),
)
CLOCK_FAULTS = (
    Fault("clock an hour ahead", 30, partial(_clock, 3600)),
    Fault("clock an hour behind", 30, partial(_clock, -3600)),
    Fault("clock ten seconds ahead", 20, partial(_clock, 10)),
    Fault("clock ten seconds behind", 20, partial(_clock, -10)),
)
