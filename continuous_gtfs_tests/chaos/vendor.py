"""The stand-in vendor as the chaos run sees it: what it serves now, and a new schedule on demand."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Sequence
from typing import Any

from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs_tests.chaos.observer import EDITIONS

LOOKS_EVERY_S = 0.5


class Vendor:
    """Asks the vendor's control endpoints, and remembers which schedule version had which ETag."""

    def __init__(self, url: str, editions: Sequence[str] = EDITIONS) -> None:
        self._editions = editions
        self._url = url
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._schedules: dict[str, dict[str, int]] = {edition: {} for edition in editions}

    def __enter__(self) -> Vendor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def new_schedule(self, edition: str) -> None:
        self._ask("POST", "schedule", {"edition": edition})

    def set_fault(self, edition: str, feed: str, kind: str, **parameters: Any) -> None:
        self._ask("POST", "faults", {"edition": edition, "feed": feed, "kind": kind, "count": None, **parameters})

    def clear_faults(self) -> None:
        self._ask("DELETE", "faults", None)

    def schedules_now(self) -> dict[str, int]:
        """By edition, the number of the schedule version that is served."""
        return self._look()

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            self._look()
        except OSError:
            return False
        return True

    def schedule_live(self, edition: str, live: Manifest | None) -> int:
        """The number of the schedule version that a manifest was made from; -1 where that is not known."""
        etag = live.facts["inputs"]["schedule"]["etag"] if live is not None else None
        return self._schedules[edition].get(str(etag), -1)

    def _watch(self) -> None:
        while not self._is_over.wait(LOOKS_EVERY_S):
            try:
                self._look()
            except OSError:
                continue

    def _look(self) -> dict[str, int]:
        editions = self._ask("GET", "state", None)["editions"]
        for edition in self._editions:
            current = editions[edition]["schedule"]["current"]
            self._schedules[edition][current["etag"]] = current["version"]
        return {edition: int(editions[edition]["schedule"]["current"]["version"]) for edition in self._editions}

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(
            f"{self._url}/control/{path}",
            data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read() or b"null")
