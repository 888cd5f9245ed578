"""Whether a fault was told of, in each place where an operator or an alert would look."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from dagster import AssetCheckKey, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.scheduler.instigation import TickStatus

from continuous_gtfs import names
from continuous_gtfs.defs import keys
from continuous_gtfs_tests.chaos.observer import REALTIME_FEEDS

_WORDS = ("ERROR", "Traceback", "WARNING")


class Loudness:
    """Counts what is told from now on. The logs are read from where they end now."""

    def __init__(self, logs: Path, editions: Sequence[str]) -> None:
        self._editions = editions
        self._since = time.time()
        self._sizes = {path: path.stat().st_size for path in logs.glob("*.log")}

    def since(self, instance: DagsterInstance) -> dict[str, int]:
        """Failed runs, ticks and checks, and lines of the logs that are errors or warnings."""
        return {
            "failed runs": self._failed_runs(instance),
            "failed ticks": self._failed_ticks(instance),
            "failed checks": self._failed_checks(instance),
            "lines in logs": self._log_lines(),
        }

    def _failed_runs(self, instance: DagsterInstance) -> int:
        records = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.FAILURE]))
        return sum((record.end_time or 0) > self._since for record in records)

    def _failed_ticks(self, instance: DagsterInstance) -> int:
        return sum(
            len(
                instance.get_ticks(
                    state.instigator_origin_id, state.selector_id, after=self._since, statuses=[TickStatus.FAILURE]
                )
            )
            for state in instance.all_instigator_state()
        )

    def _failed_checks(self, instance: DagsterInstance) -> int:
        found = 0
        for edition in self._editions:
            for feed in ("schedule", *REALTIME_FEEDS):
                key = AssetCheckKey(keys.pims_key(edition, feed), names.VENDOR_ANSWERS_CHECK)
                for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=50):
                    is_failed = record.evaluation is not None and not record.evaluation.passed
                    found += record.create_timestamp > self._since and is_failed
        return found

    def _log_lines(self) -> int:
        found = 0
        for path, size in self._sizes.items():
            with path.open("rb") as log:
                log.seek(size)
                text = log.read().decode(errors="replace")
            found += sum(any(word in line for word in _WORDS) for line in text.splitlines())
        return found
