"""Stops a process of the platform at a stage, so that it can be killed there for sure. Loaded by Python itself.

Python loads a module of this name at its start where the module's folder is on ``PYTHONPATH``, which only the chaos
run sets. The product is not touched and nothing of it is replaced: an audit hook of Python sees each operation on a
file just before it happens, and SQLAlchemy tells of each statement before it is sent. Where that is a stage (``STAGES``
in ``stages``) and the file ``<folder>/armed/<stage>`` exists, the process takes that file by renaming it to
``<folder>/held/<stage>@<pid>`` and waits until the file is gone, or until it is killed. A stage is taken once.

Only the standard library here: this runs in every process before anything else.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

FOLDER = "CONTINUOUS_GTFS_CHAOS"
HELD_AT_MOST_S = 60.0
_EVENTS = frozenset({"open", "os.rename", "os.fork", "socket.connect", "import"})
_REPORTED = {
    "ASSET_MATERIALIZATION": {"daemon": "report", "worker": "materialize"},
    "STEP_START": {"worker": "transform"},
    "PIPELINE_STARTING": {"daemon": "launch"},
    "PIPELINE_SUCCESS": {"worker": "success"},
}
_STATEMENTS = {
    ("daemon", "INSERT INTO runs "): "ask",
    ("daemon", "INSERT INTO instigators "): "cursor",
    ("worker", "INSERT INTO run_tags "): "worker",
}


def stage_of_file(path: str, archive: str, published: str) -> str | None:
    """The stage at which a finished file is about to be renamed to ``path``; None where it is none."""
    for root, named in ((archive, _archived), (published, _published)):
        if not path.startswith(root + "/"):
            continue
        key = path[len(root) + 1 :]
        inside = ""
        if key.startswith(".metadata/objects/"):
            # The sidecar is renamed after the object's bytes were written and before they are renamed.
            folder, _, name = key.removeprefix(".metadata/objects/").rpartition("/")
            key, inside = f"{folder}/{name[1:].removesuffix('.json')}", ".inside"
        stage = named(key)
        return stage + inside if stage else None
    return None


def _archived(key: str) -> str | None:
    kind, _, rest = key.partition("/")
    pipeline = "schedule" if "/schedule" in f"/{rest}" else "realtime"
    match kind:
        case "archive":
            return "archive_bytes" if rest.startswith("blobs/") else None
        case "versions":
            return f"{pipeline}.archive_record"
        case "latest":
            return f"{pipeline}.archive_newest"
        case "publications":
            return "realtime.keep"
        case "transformed":
            return "schedule.transformed"
    return None


def _published(key: str) -> str | None:
    pipeline = key.partition("/")[0]
    if "/versions/" in key:
        return f"{pipeline}.upload"
    if key.endswith(".manifest.json"):
        return f"{pipeline}.pointer"
    return f"{pipeline}.stable_url"


class _Stops:
    def __init__(self, folder: str) -> None:
        self._armed, self._held = f"{folder}/armed", f"{folder}/held"
        self._archive = os.environ.get("CONTINUOUS_GTFS_ARCHIVE", "-")
        self._published = os.environ.get("CONTINUOUS_GTFS_PUBLISHED", "-")
        self._vendor_port = int(os.environ.get("PIMS_PRODUCTION_URL", ":0/").split(":")[-1].split("/")[0])
        command = Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        self._pid = os.getpid()
        self._is_warm = "warm_process" in command
        self._role = (
            "daemon"
            if "dagster-daemon" in command
            else "worker"
            if "multiprocessing.spawn" in command
            else "code"
            if " grpc " in command
            else "other"
        )
        self._pipeline = "schedule" if "definitions.schedule" in command else "realtime"
        self._within = threading.local()
        self._listens = False

    @property
    def role(self) -> str:
        if self._is_warm:
            return "warm" if os.getpid() == self._pid else "worker"
        return self._role

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or getattr(self._within, "hook", False):
            return
        self._within.hook = True
        try:
            if event == "import":
                self._listen()
            elif stage := self._stage(event, arguments):
                self._stop_at(stage)
        finally:
            self._within.hook = False

    def _stage(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        if event == "os.rename":
            stage = stage_of_file(os.fspath(arguments[1]), self._archive, self._published)
            if stage is not None and stage.startswith("archive_bytes"):
                return f"{self._pipeline}.{stage}"
            return stage
        if event == "open":
            path = arguments[0]
            is_read = isinstance(path, str) and path.startswith(f"{self._archive}/archive/blobs/")
            return "realtime.read" if is_read and self._is_warm else None
        if event == "os.fork":
            return "realtime.fork" if self.role == "warm" else None
        address = arguments[1]
        is_vendor = isinstance(address, tuple) and address[1] == self._vendor_port
        return f"{self._pipeline}.fetch" if is_vendor and self._role == "code" else None

    def _listen(self) -> None:
        """Listen to SQLAlchemy once it is there; Python has loaded it by the time that something is imported after."""
        engine = sys.modules.get("sqlalchemy.engine.base")
        if self._listens or "dagster_postgres.event_log" not in sys.modules or engine is None:
            return
        self._listens = True
        from sqlalchemy import event

        event.listen(engine.Engine, "before_cursor_execute", self._statement)

    def _statement(self, _1: Any, _2: Any, statement: str, parameters: Any, _3: Any, _4: Any) -> None:
        role = self.role
        stage = next((s for (r, begin), s in _STATEMENTS.items() if r == role and statement.startswith(begin)), None)
        if stage is None and statement.startswith("INSERT INTO event_logs "):
            row = parameters[0] if isinstance(parameters, list | tuple) else parameters
            stage = _REPORTED.get(row.get("dagster_event_type") or "", {}).get(role)
        if stage is not None:
            text = str(parameters)
            is_schedule = any(
                f"schedule_{e}" in text or f'pims", "{e}", "schedule' in text for e in ("production", "qa")
            )
            if stage == "worker" and not self._is_warm:
                return
            if role == "worker":
                is_schedule = not self._is_warm
            self._stop_at(f"{'schedule' if is_schedule else 'realtime'}.{stage}")

    def _stop_at(self, stage: str) -> None:
        held = f"{self._held}/{stage}@{os.getpid()}"
        try:
            Path(self._armed, stage).rename(held)
        except OSError:
            return
        give_up = time.monotonic() + HELD_AT_MOST_S
        while os.path.lexists(held) and time.monotonic() < give_up:
            time.sleep(0.005)


if _folder := os.environ.get(FOLDER):
    sys.addaudithook(_Stops(_folder).hook)
