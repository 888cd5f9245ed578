"""A stand-in for Dagster's webserver: answers GraphQL queries over HTTP with what a test put there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StandIn(ThreadingHTTPServer):
    """Attributes: ``answer`` is sent to every query; ``asked`` holds the queries' variables."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: object = {}
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body["variables"])
        answer = self.server.answer
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def stand_in() -> Iterator[StandIn]:
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def answer(
    *,
    runs: list[dict[str, Any]] | None = None,
    sensors: list[dict[str, Any]] | None = None,
    versions: dict[str, list[tuple[float, str]]] | None = None,
) -> dict[str, Any]:
    """An answer to ``graphql.ACTIVITY``; ``versions`` by feed id, each list newest first."""
    return {
        "data": {
            "runsOrError": {"results": runs or []},
            "repositoriesOrError": {"nodes": [{"location": {"name": "any"}, "sensors": sensors or []}]},
            "assetsOrError": {
                "nodes": [
                    {
                        "key": {"path": ["pims", *feed_id.split("/")]},
                        "assetMaterializations": [
                            {
                                "timestamp": str(int(seconds * 1000)),
                                "tags": [{"key": "dagster/data_version", "value": version}],
                            }
                            for seconds, version in events
                        ],
                    }
                    for feed_id, events in (versions or {}).items()
                ]
            },
        }
    }


def run(run_id: str, status: str, *, created: float, pipeline: str = "realtime/production") -> dict[str, Any]:
    return {
        "runId": run_id,
        "jobName": pipeline.replace("/", "_"),
        "status": status,
        "creationTime": created,
        "startTime": created + 1,
        "endTime": created + 2 if status in ("SUCCESS", "FAILURE") else None,
        "tags": [{"key": "continuous_gtfs/pipeline", "value": pipeline}],
    }


def sensor(name: str, *, cursor: str | None = None, failed: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "sensorState": {
            "status": "RUNNING",
            "typeSpecificData": {"lastCursor": cursor},
            "ticks": [
                {"tickId": tick, "timestamp": 0.0, "error": {"message": message}}
                for tick, message in (failed or {}).items()
            ],
        },
    }
