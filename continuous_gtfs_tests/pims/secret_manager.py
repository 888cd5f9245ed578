"""A server that speaks the REST form of Secret Manager's AccessSecretVersion, on 127.0.0.1."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = re.compile(r"/v1/projects/p-1/secrets/([^/]+)/versions/([^/:]+):access")


@dataclass
class SecretManager:
    """What the server holds and how it answers.

    Attributes:
        values: Secret to its versions, oldest first; version 1 is the first.
        status: Answered in place of a value, while it is not 200.
        reads: The ``name@version`` that was asked for, in order.
        goes_on: Cleared, answers are held back until it is set.
    """

    values: dict[str, list[bytes]] = field(default_factory=dict)
    status: int = 200
    reads: list[str] = field(default_factory=list)
    goes_on: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""

    def answer(self, path: str) -> tuple[int, dict[str, object]]:
        match = PATH.fullmatch(path.partition("?")[0])
        assert match is not None, path
        name, version = match.groups()
        self.reads.append(f"{name}@{version}")
        self.goes_on.wait()
        versions = self.values.get(name, [])
        number = len(versions) if version == "latest" else int(version)
        status = self.status if self.status != 200 or 1 <= number <= len(versions) else 404
        if status != 200:
            return status, {"error": {"code": status, "message": "in other words", "status": "X"}}
        payload = {"data": base64.b64encode(versions[number - 1]).decode()}
        return 200, {"name": f"projects/1/secrets/{name}/versions/{number}", "payload": payload}


@contextmanager
def secret_manager(**values: list[bytes]) -> Iterator[SecretManager]:
    held = SecretManager(values)
    held.goes_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, fields = held.answer(self.path)
            body = json.dumps(fields).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    held.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield held
    finally:
        held.goes_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
