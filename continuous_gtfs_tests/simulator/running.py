"""Runs the real simulator in a thread of its own on a free port, and speaks to its control endpoints."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.simulator.server import Simulator, SimulatorOptions

TOKENS = {"production": "production-token", "qa": "qa-token"}
PATHS = {
    "schedule": "gtfs/schedule.zip",
    "vehicle_positions": "gtfs-rt/vehicle_positions.pb",
    "trip_updates": "gtfs-rt/trip_updates.pb",
}
START_TIMEOUT_S = 30.0


class Clock:
    """A clock that a test moves by hand; it stands still otherwise."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


class RunningSimulator:
    """A simulator that answers at ``url``."""

    def __init__(self, url: str, http: httpx.Client) -> None:
        self.url = url
        self._http = http

    def feed_url(self, edition: str, feed: str) -> str:
        return f"{self.url}/{edition}/{PATHS[feed]}"

    def get(self, edition: str, feed: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """One request as the vendor's customer makes it; ``headers`` can take the token's place."""
        token = {"X-PIMS-Token": TOKENS[edition]}
        return self._http.get(self.feed_url(edition, feed), headers=token | (headers or {}))

    def control(self, method: str, path: str, **fields: Any) -> httpx.Response:
        return self._http.request(method, f"{self.url}/control/{path}", json=fields)

    def set_fault(self, edition: str, feed: str, kind: str, count: int | None = 1, **params: Any) -> None:
        fields = {"edition": edition, "feed": feed, "kind": kind, "count": count} | params
        self.control("POST", "faults", **fields).raise_for_status()

    def state(self, edition: str, feed: str) -> dict[str, Any]:
        state = self.control("GET", "state").raise_for_status().json()["editions"][edition][feed]
        assert isinstance(state, dict)
        return state

    def source(self, edition: str, feed: str, **changes: Any) -> FeedSource:
        """The feed as an agency would declare it, with a short time limit."""
        fields: dict[str, Any] = {
            "environment": edition,
            "feed": feed,
            "kind": FeedKind.SCHEDULE if feed == "schedule" else FeedKind.REALTIME,
            "url": self.feed_url(edition, feed),
            "headers": {"X-PIMS-Token": TOKENS[edition]},
            "poll_every_s": 1.0,
            "timeout_s": 5.0,
            "max_bytes": 64_000_000,
        }
        return FeedSource(**(fields | changes))


@contextmanager
def serve_in_thread(
    *, now: Callable[[], datetime] = lambda: datetime.now(UTC), **options: Any
) -> Iterator[RunningSimulator]:
    """The simulator with these options on a free port; stopped, thread and all, at the end of the block."""
    defaults: dict[str, Any] = {
        "port": 0,
        "token_production": TOKENS["production"],
        "token_qa": TOKENS["qa"],
    }
    simulator = Simulator(SimulatorOptions(**(defaults | options)), now=now)
    ready = threading.Event()
    urls: list[str] = []
    errors: list[BaseException] = []

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    def run() -> None:
        try:
            asyncio.run(simulator.serve(on_ready))
        except BaseException as error:
            errors.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="simulator")
    thread.start()
    try:
        assert ready.wait(START_TIMEOUT_S), "the simulator did not start"
        if errors:
            raise errors[0]
        with httpx.Client(trust_env=False, timeout=10.0) as http:
            yield RunningSimulator(urls[0], http)
    finally:
        simulator.stop()
        thread.join(START_TIMEOUT_S)
        assert not thread.is_alive(), "the simulator did not stop"


def replay_folder(folder: Path, snapshots: dict[str, list[bytes]]) -> Path:
    """Writes captures as a replay expects them: ``{"trip_updates": [first, second]}``."""
    for feed, bodies in snapshots.items():
        for number, body in enumerate(bodies):
            (folder / f"{feed}_{number}.pb").write_bytes(body)
    return folder
