"""Dagster's local compute logs without helpers, named in dagster.yaml.

The stock manager shows a step's output as it comes: for that it starts two ``tail`` and two Python processes for each
step. Here the output goes to the same files, and is shown when the step is over. Where ``CONTINUOUS_GTFS_COMPUTE_LOGS``
names a bucket, it is then taken there by a thread, and read from there where the files are gone or are another
machine's.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self, TextIO

from dagster import DagsterInvariantViolationError, Field, StringSource
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData

from continuous_gtfs.errors import ContinuousGtfsError
from continuous_gtfs.instance.compute_log_store import SETTING, ComputeLogStore


class FileComputeLogManager(LocalComputeLogManager):
    """``LocalComputeLogManager``; ``base_dir`` is ``storage`` in DAGSTER_HOME unless told.

    Args:
        store: Where outputs are taken once they are complete; None leaves them in ``base_dir`` alone.
    """

    def __init__(
        self, base_dir: str, *, store: ComputeLogStore | None = None, inst_data: ConfigurableClassData | None = None
    ) -> None:
        super().__init__(base_dir=base_dir, inst_data=inst_data)
        self._store = store

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        home = os.environ.get("DAGSTER_HOME")
        base_dir = config_value.get("base_dir") or (str(Path(home, "storage")) if home else None)
        if base_dir is None:
            raise DagsterInvariantViolationError("compute_logs: set DAGSTER_HOME, or base_dir in dagster.yaml")
        url = os.environ.get(SETTING, "").strip()
        try:
            store = ComputeLogStore(url) if url else None
        except ContinuousGtfsError as error:
            raise DagsterInvariantViolationError(f"{SETTING}: {error}") from error
        return cls(base_dir=base_dir, store=store, inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        paths = {kind: self._path(log_key, kind) for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR)}
        for path in paths.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        shown_from = {kind: path.stat().st_size if path.exists() else 0 for kind, path in paths.items()}
        try:
            with (
                redirect_to_file(sys.stdout, str(paths[ComputeIOType.STDOUT])),
                redirect_to_file(sys.stderr, str(paths[ComputeIOType.STDERR])),
            ):
                yield CapturedLogContext(log_key)
        finally:
            for kind, stream in ((ComputeIOType.STDOUT, sys.stdout), (ComputeIOType.STDERR, sys.stderr)):
                _show(paths[kind], shown_from[kind], stream)
        # The mark by which the user interface knows that nothing more will come.
        Path(self.complete_artifact_path(log_key)).touch()  # type: ignore[no-untyped-call]
        if self._store is not None:
            # Of standard error always: its being there says that the step is over.
            printed = paths[ComputeIOType.STDOUT].stat().st_size > 0
            kinds = [*([ComputeIOType.STDOUT] if printed else []), ComputeIOType.STDERR]
            self._store.take([(_key(log_key, kind), paths[kind]) for kind in kinds])

    @contextmanager
    def open_log_stream(self, log_key: Sequence[str], io_type: ComputeIOType) -> Generator[IO[Any] | None, None, None]:
        with super().open_log_stream(log_key, io_type) as stream:
            yield stream
        if self._store is not None:
            self._store.take([(_key(log_key, io_type), self._path(log_key, io_type))])

    def is_capture_complete(self, log_key: Sequence[str]) -> bool:
        if super().is_capture_complete(log_key):
            return True
        return self._store is not None and self._store.has(_key(log_key, ComputeIOType.STDERR))

    def get_log_data_for_type(
        self, log_key: Sequence[str], io_type: ComputeIOType, offset: int | None = 0, max_bytes: int | None = None
    ) -> tuple[bytes | None, int]:
        path = self._path(log_key, io_type)
        if self._store is not None and not path.exists():
            self._store.fetch(_key(log_key, io_type), path)
        data: bytes | None
        data, end = super().get_log_data_for_type(log_key, io_type, offset, max_bytes)
        return data, end

    def dispose(self) -> None:
        if self._store is not None:
            self._store.wait()
        super().dispose()

    def _path(self, log_key: Sequence[str], kind: ComputeIOType) -> Path:
        return Path(self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind]))


def _key(log_key: Sequence[str], kind: ComputeIOType) -> str:
    return "/".join([*log_key[:-1], f"{log_key[-1]}.{IO_TYPE_EXTENSION[kind]}"])


def _show(path: Path, start: int, stream: TextIO) -> None:
    with path.open(encoding="utf-8", errors="replace") as captured:
        captured.seek(start)
        shutil.copyfileobj(captured, stream)
    stream.flush()
