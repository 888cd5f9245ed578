"""As much of a Kubernetes API server as Dagster's launcher asks: jobs are created, looked at and deleted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml


@dataclass
class ApiServer:
    """What it was told, and what it answers.

    Attributes:
        jobs: By name, the manifests of the jobs that are there.
        status: The status of each of them.
    """

    port: int = 0
    jobs: dict[str, Any] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=lambda: {"active": 1})

    def write_kubeconfig(self, path: Path) -> Path:
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        users = [{"name": "u", "user": {}}]
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [cluster],
                    "contexts": [context],
                    "users": users,
                    "current-context": "x",
                }
            )
        )
        return path


@contextmanager
def api_server() -> Iterator[ApiServer]:
    state = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.jobs[job["metadata"]["name"]] = job
            self._answer(201, job)

        def do_GET(self) -> None:
            name = self._job()
            if "/jobs/" not in self.path:
                kind = "PodList" if "/pods" in self.path else "JobList"
                self._answer(200, {"kind": kind, "apiVersion": "v1", "metadata": {}, "items": []})
            elif name in state.jobs:
                self._answer(200, {**state.jobs[name], "status": state.status})
            else:
                self._answer(404, {"kind": "Status", "reason": "NotFound", "code": 404})

        def do_DELETE(self) -> None:
            state.jobs.pop(self._job(), None)
            state.deleted.append(self._job())
            self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

        def _job(self) -> str:
            return self.path.partition("/jobs/")[2].partition("?")[0].partition("/")[0]

        def _answer(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
