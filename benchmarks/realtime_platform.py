"""What the realtime benchmarks share: the running platform, a reader of what is published, what its processes cost.

Not a benchmark of its own.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs import names
from continuous_gtfs.demo import commands
from continuous_gtfs.demo.processes import Platform

EDITIONS = ("production", "qa")
FEEDS = ("vehicle_positions", "trip_updates")
LOOKS_EVERY_S = 0.005
SHARED_MEMORY = ("/dev/zero", "/dev/shm", "/SYSV")
_FEEDS = """\
from dataclasses import replace

from continuous_gtfs.agencies.agency import ValidationSampling
from continuous_gtfs.agencies.sound_transit.feeds import AGENCY as SOUND_TRANSIT

AGENCY = replace(SOUND_TRANSIT, realtime_validation=ValidationSampling(every_min=None))
"""
PROJECT = Path(__file__).resolve().parent.parent


def stock_settings(folder: Path) -> Path:
    """The project's dagster.yaml with Dagster's own launcher, storage and compute logs."""
    settings = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
    settings["storage"] = {"postgres": settings["storage"]["custom"]["config"]}
    del settings["run_launcher"], settings["compute_logs"]
    path = folder / "stock.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def agency_without_validation(folder: Path) -> Path:
    """The reference agency without the sampled validation, which would weigh more in minutes than it does in hours."""
    agency = folder / "agency"
    agency.mkdir()
    (agency / "feeds.py").write_text(_FEEDS)
    for pipeline in ("schedule", "realtime"):
        module = f"continuous_gtfs.agencies.sound_transit.{pipeline}"
        (agency / f"{pipeline}.py").write_text(f"from {module} import STEPS\n\n__all__ = ['STEPS']\n")
    return agency


@dataclass
class Reader:
    """Looks at the stable URLs' files all the time, as a consumer would if it could, and notes when each moved."""

    published: Path
    seen: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    backwards: list[str] = field(default_factory=list)

    @contextmanager
    def reading(self) -> Iterator[None]:
        is_over = threading.Event()
        thread = threading.Thread(target=self._read, args=(is_over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _read(self, is_over: threading.Event) -> None:
        files = {(e, f): self.published / "realtime" / e / f"{f}.pb" for e in EDITIONS for f in FEEDS}
        known: dict[tuple[str, str], int] = {}
        while not is_over.wait(LOOKS_EVERY_S):
            for key, path in files.items():
                try:
                    inode = path.stat().st_ino
                except FileNotFoundError:
                    continue
                if known.get(key) == inode:
                    continue
                at, known[key] = time.time(), inode
                message = FeedMessage()
                message.ParseFromString(path.read_bytes())
                times = self.seen.setdefault(key, {})
                if times and message.header.timestamp < max(times):
                    self.backwards.append(f"{key}: {message.header.timestamp} after {max(times)}")
                times.setdefault(message.header.timestamp, at)


def realtime_runs(instance: DagsterInstance, since: float) -> list[RunRecord]:
    """The realtime runs that were created after ``since`` and have ended, oldest first."""
    ended = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
    records = instance.get_run_records(RunsFilter(statuses=ended), ascending=True)
    return [
        record for record in records if is_realtime(record.dagster_run) and record.create_timestamp.timestamp() > since
    ]


def is_realtime(run: DagsterRun) -> bool:
    return run.tags.get(names.PIPELINE_TAG, "").startswith("realtime/") and names.TRIGGER_TAG in run.tags


def vendor_state(platform: Platform) -> Any:
    with urllib.request.urlopen(platform.url(commands.SIMULATOR) + "/control/state", timeout=10) as response:
        return json.load(response)


def requests_made(platform: Platform) -> int:
    """Requests for realtime feeds that the stand-in vendor has answered."""
    editions = vendor_state(platform)["editions"]
    return sum(sum(editions[e][f]["requests"].values()) for e in EDITIONS for f in FEEDS)


def cpu_seconds(pid: int) -> float:
    """CPU of a process, of its living descendants and of the children it has reaped."""
    total = 0.0
    for process in (root := psutil.Process(pid), *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mib(pid: int) -> float:
    """What a process and its descendants hold, shared pages counted once for all that share them."""
    total = 0
    for process in (root := psutil.Process(pid), *root.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total / (1 << 20)


def memory_beside_buffers_mib(pid: int) -> float:
    """As ``memory_mib``, without PostgreSQL's shared memory, which fills up to the size it is configured to."""
    total = 0
    for process in (root := psutil.Process(pid), *root.children(recursive=True)):
        try:
            maps = process.memory_maps(grouped=False)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        total += sum(part.pss for part in maps if not part.path.startswith(SHARED_MEMORY))
    return total / (1 << 20)
