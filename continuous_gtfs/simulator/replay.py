"""A folder of captured feeds as a source: one snapshot a version, in time order, around and around."""

from __future__ import annotations

import logging
from pathlib import Path

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.simulator.feed_header import header_timestamp, with_header_timestamp
from continuous_gtfs.simulator.feeds_clock import FeedTick
from continuous_gtfs.simulator.sources import FEEDS, REALTIME_FEEDS

_log = logging.getLogger(__name__)


class ReplaySource:
    """Serves ``schedule.zip``, ``vehicle_positions*.pb`` and ``trip_updates*.pb`` of a folder, to both editions.

    The ``.pb`` files of a folder whose own name begins so count too. Snapshots are taken in the order of their
    header timestamps, the n-th VehiclePositions together with the n-th TripUpdates, and again from the first
    after the last.

    Args:
        folder: The captures; each file is read when it is its turn.
        shift_to_now: Sets the header timestamp of a snapshot to the moment it is served for. Nothing else is
            changed: the timestamps of vehicles and stop times stay those of the capture.

    Raises:
        ConfigurationError: There is no such folder, nothing to serve in it, or a file is no FeedMessage.
    """

    has_schedule_versions = False

    def __init__(self, folder: Path, *, shift_to_now: bool) -> None:
        if not folder.is_dir():
            raise ConfigurationError(f"there is no folder {folder} to replay: give one that holds captured feeds")
        self._shift_to_now = shift_to_now
        self._schedule = folder / "schedule.zip"
        self._snapshots = {feed: _in_time_order(_snapshot_files(folder, feed)) for feed in REALTIME_FEEDS}
        found = {feed for feed, files in self._snapshots.items() if files}
        if self._schedule.is_file():
            found.add("schedule")
        if not found:
            raise ConfigurationError(
                f"nothing to replay in {folder}: it must hold schedule.zip, vehicle_positions*.pb or trip_updates*.pb"
            )
        for feed in FEEDS:
            if feed not in found:
                _log.warning("%s has no %s: that feed answers 404", folder, feed)
        self._feeds = frozenset(found)

    @property
    def feeds(self) -> frozenset[str]:
        return self._feeds

    def schedule(self, edition: str, revision: int) -> bytes:
        return self._schedule.read_bytes()

    def realtime(self, edition: str, feed: str, tick: FeedTick, revision: int) -> bytes:
        files = self._snapshots[feed]
        data = files[tick.index % len(files)].read_bytes()
        return with_header_timestamp(data, int(tick.at.timestamp())) if self._shift_to_now else data


def _snapshot_files(folder: Path, feed: str) -> list[Path]:
    return [path for pattern in (f"{feed}*.pb", f"{feed}*/*.pb") for path in folder.glob(pattern) if path.is_file()]


def _in_time_order(files: list[Path]) -> list[Path]:
    def when(path: Path) -> tuple[int, str]:
        try:
            return header_timestamp(path.read_bytes()), path.name
        except ValueError as error:
            raise ConfigurationError(f"cannot replay {path}: {error}; take it out of the folder") from error

    return sorted(files, key=when)
