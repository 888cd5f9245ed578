"""Files that the maintenance removes: what runs printed, where the run is gone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TICK_LOG = re.compile(r"\d+\.(err|out|complete)")
# A run's folder may come before its row, or outlive a row that was deleted while it ran.
YOUNGEST_S = 3600.0


def remove_logs(instance: DagsterInstance, *, now: float, ticks_before: float, is_dry_run: bool) -> tuple[int, int]:
    """Removes what runs printed that are no longer there, and what ticks logged before ``ticks_before``.

    Only where that lies in a folder of this machine; where it lies in a bucket, a lifecycle rule of the bucket does it.

    Args:
        now: POSIX seconds, as is ``ticks_before``.

    Returns:
        How many folders and files, and their bytes.
    """
    manager = instance.compute_log_manager
    if not isinstance(manager, LocalComputeLogManager):
        return 0, 0
    base = Path(manager._base_dir)
    if not base.is_dir():
        return 0, 0
    count = size = 0
    of_runs = {path.name: path for path in base.iterdir() if _RUN_ID.fullmatch(path.name)}
    folders = {name: path for name, path in of_runs.items() if _is_old(path, now)}
    if folders:
        # All at once: a query for each would take longer than the whole pass.
        for run_id in folders.keys() - set(instance.run_storage.get_run_ids()):
            count += 1
            size += _size(folders[run_id])
            if not is_dry_run:
                shutil.rmtree(folders[run_id], ignore_errors=True)
    # The logs of ticks lie by sensor beside the folders of runs, which are too many to look into.
    of_ticks = (path for folder in base.iterdir() if folder.name not in of_runs for path in folder.glob("*/*"))
    for path in of_ticks:
        if _TICK_LOG.fullmatch(path.name) and path.is_file() and path.stat().st_mtime < ticks_before:
            count += 1
            size += path.stat().st_size
            if not is_dry_run:
                path.unlink(missing_ok=True)
    return count, size


def _is_old(path: Path, now: float) -> bool:
    try:
        return path.is_dir() and path.stat().st_mtime < now - YOUNGEST_S
    except OSError:
        return False


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
