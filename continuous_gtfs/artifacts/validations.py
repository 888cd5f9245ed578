"""What the full validation of realtime feeds leaves in the archive.

validation/<environment>/reports/<time>.json      one report a sample, the newest of them
validation/<environment>/prepared/<name>          the published schedule as the validator has read it, one at a time
"""

from __future__ import annotations

from datetime import UTC, datetime

from continuous_gtfs.artifacts.store import ObjectNotFoundError, PreconditionFailedError, Store

_MAX_ATTEMPTS = 5


class Validations:
    """Reports and prepared schedules of one environment in a store."""

    def __init__(self, store: Store, environment: str) -> None:
        self._store = store
        self._reports = f"validation/{environment}/reports/"
        self._prepared = f"validation/{environment}/prepared/"

    def save_report(self, at: datetime, data: bytes, *, keep: int) -> str:
        """Writes a report of ``at``, deletes all but the newest ``keep``, and gives its key."""
        key = f"{self._reports}{at.astimezone(UTC):%Y%m%dT%H%M%SZ}.json"
        self._write(key, data, "application/json")
        # Their names sort by time.
        for old in sorted(self._store.list(self._reports))[:-keep]:
            self._store.delete(old)
        return key

    def prepared(self, name: str) -> bytes | None:
        """What ``save_prepared`` wrote under ``name``; None where that is gone or another is kept by now."""
        try:
            return self._store.read(f"{self._prepared}{name}")
        except ObjectNotFoundError:
            return None

    def save_prepared(self, name: str, data: bytes) -> None:
        """Keeps ``data``, in the place of what was kept before."""
        key = f"{self._prepared}{name}"
        self._write(key, data, "application/octet-stream")
        for old in list(self._store.list(self._prepared)):
            if old != key:
                self._store.delete(old)

    def _write(self, key: str, data: bytes, content_type: str) -> None:
        """Over what is there: two runs that write one key write the same thing."""
        for attempt in range(_MAX_ATTEMPTS):
            found = self._store.stat(key)
            try:
                self._store.replace(
                    key, data, if_generation=found.generation if found else None, content_type=content_type
                )
            except PreconditionFailedError:
                if attempt == _MAX_ATTEMPTS - 1:
                    raise
            else:
                return
