"""Dagster's local compute logs without helpers, named in dagster.yaml.

The stock manager shows a step's output as it comes: for that it starts two ``tail`` and two Python processes for each
step. Here the output goes to the same files, and is shown when the step is over.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TextIO

from dagster import DagsterInvariantViolationError, Field, StringSource
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData


class FileComputeLogManager(LocalComputeLogManager):
    """``LocalComputeLogManager``; ``base_dir`` is ``storage`` in DAGSTER_HOME unless told."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        home = os.environ.get("DAGSTER_HOME")
        base_dir = config_value.get("base_dir") or (str(Path(home, "storage")) if home else None)
        if base_dir is None:
            raise DagsterInvariantViolationError("compute_logs: set DAGSTER_HOME, or base_dir in dagster.yaml")
        return cls(base_dir=base_dir, inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        paths = {
            kind: Path(self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind]))
            for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR)
        }
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


def _show(path: Path, start: int, stream: TextIO) -> None:
    with path.open(encoding="utf-8", errors="replace") as captured:
        captured.seek(start)
        shutil.copyfileobj(captured, stream)
    stream.flush()
