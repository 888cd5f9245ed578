"""Finds the folder of real feeds, and skips a test with the reason where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def real_data_folder() -> Path | None:
    """``$CONTINUOUS_GTFS_TEST_DATA``, else ``../shared/data`` beside the project; None where neither exists."""
    chosen = os.environ.get("CONTINUOUS_GTFS_TEST_DATA")
    folder = Path(chosen) if chosen else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def real_data_path(name: str) -> Path:
    """The path of one real file or folder, e.g. ``sound_transit_2023-08/schedule.zip``; skips when absent."""
    folder = real_data_folder()
    if folder is None or not (folder / name).exists():
        pytest.skip(f"no real feed {name}: set CONTINUOUS_GTFS_TEST_DATA to the folder of real feeds")
    return folder / name
