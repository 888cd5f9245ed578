"""Compute logs in a bucket (or any store): taking there what a step has printed, and getting it back.

Here: the threads and files of it. Not here: what captures the output, and when (``compute_logs``). Nothing of this may
fail a run, or make it wait: an output that cannot be taken to the bucket stays where it is, and a warning says so.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.store import ObjectNotFoundError, OtherBytesError, PreconditionFailedError
from continuous_gtfs.errors import ContinuousGtfsError

SETTING = "CONTINUOUS_GTFS_COMPUTE_LOGS"
MOST_BYTES = 20 * 1024 * 1024
"""Of a longer output, its end is taken."""
LEAVES_WITHIN_S = 30.0
"""How long a process that ends waits for its output to be taken to the bucket."""

_CUT = b"(the beginning is left out)\n"
_log = logging.getLogger("dagster.continuous_gtfs.compute_logs")


class ComputeLogStore:
    """Outputs of steps in a store, each under its log key.

    Args:
        url: ``gs://bucket[/prefix]``, or a folder that all machines share.

    Raises:
        ConfigurationError: It names no store.
    """

    def __init__(self, url: str) -> None:
        self._store = open_store(url)
        self._leaving: list[threading.Thread] = []
        self._lock = threading.Lock()

    def take(self, paths: Sequence[tuple[str, Path]]) -> None:
        """Take files to the store, in a thread: key, and where it lies. A file that is not there counts as empty."""
        thread = threading.Thread(target=self._upload, args=(tuple(paths),), name="compute-logs", daemon=True)
        with self._lock:
            self._leaving = [each for each in self._leaving if each.is_alive()] + [thread]
        thread.start()

    def wait(self) -> None:
        """Until what was to be taken is there, or for ``LEAVES_WITHIN_S``."""
        deadline = time.monotonic() + LEAVES_WITHIN_S
        with self._lock:
            leaving = list(self._leaving)
        for thread in leaving:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                _log.warning("%r did not take the output of a step in %g s", self._store, LEAVES_WITHIN_S)

    def has(self, key: str) -> bool:
        """Whether the store has this output; no, where it cannot be asked."""
        try:
            return self._store.stat(key) is not None
        except ContinuousGtfsError as error:
            _log.warning("%s", error)
            return False

    def fetch(self, key: str, path: Path) -> bool:
        """Bring an output to ``path``, whole; False where the store does not have it or cannot be asked."""
        try:
            data = self._store.read(key)
        except ObjectNotFoundError:
            return False
        except ContinuousGtfsError as error:
            _log.warning("%s", error)
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        incoming = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        incoming.write_bytes(data)
        incoming.rename(path)
        return True

    def _upload(self, paths: Sequence[tuple[str, Path]]) -> None:
        for key, path in paths:
            try:
                self._write(key, _end_of(path))
            except (ContinuousGtfsError, OSError) as error:
                _log.warning("the output of a step stays in %s: %s", path, error)

    def _write(self, key: str, data: bytes) -> None:
        options = {"content_type": "text/plain; charset=utf-8"}
        try:
            self._store.put_new(key, data, **options)
        except OtherBytesError:
            # A retry in the same run prints behind what is there.
            found = self._store.stat(key)
            try:
                self._store.replace(key, data, if_generation=found.generation if found else None, **options)
            except PreconditionFailedError as error:
                _log.warning("%s", error)


def _end_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= MOST_BYTES:
                return file.read()
            file.seek(size - MOST_BYTES)
            return _CUT + file.read()
    except FileNotFoundError:
        return b""
