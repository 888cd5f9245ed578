"""Removing empty folders of a local store, which each hour of realtime feeds leaves behind.

The system refuses to remove a folder that holds something. A writer holds the folders of the store from the moment
it finds or makes one until its object lies there, so none goes in between; what changed lately is left alone as well.
"""

from __future__ import annotations

import os
from pathlib import Path

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.store import Store

OLD_ENOUGH_S = 3600.0


def remove_empty_folders(
    store: Store, *, now: float, older_than_s: float = OLD_ENOUGH_S, is_dry_run: bool = False
) -> int:
    """Removes what is empty and has been left alone for ``older_than_s``; gives how many folders that were.

    A store that is no folder has none. One pass removes a whole branch: what its last child has left empty is not
    young because of that.

    Args:
        now: POSIX seconds.
    """
    if not isinstance(store, LocalStore):
        return 0
    removed: set[Path] = set()
    metadata = store.root / ".metadata"
    # What every write goes through: nothing is gained by removing it.
    kept = {store.root, metadata, metadata / "incoming", metadata / "locks", metadata / "objects"}
    for parent, folders, files in os.walk(store.root, topdown=False):
        folder = Path(parent)
        if folder in kept or files or any(folder / name not in removed for name in folders):
            continue
        if not folders and not _is_old(folder, now - older_than_s):
            continue
        if not is_dry_run:
            try:
                with store.folders_locked(for_removal=True):
                    folder.rmdir()
            except OSError:
                # Somebody has written into it, or removed it.
                continue
        removed.add(folder)
    return len(removed)


def _is_old(folder: Path, before: float) -> bool:
    try:
        return folder.stat().st_mtime < before
    except OSError:
        return False
