"""A proxy in front of the Cloud Storage server of the tests: writes down each request, delays it, and disturbs it.

It forwards real requests over real sockets. A disturbance is a function that is asked at each request; it lets the
request pass, or answers in the place of the server, or loses or tears the server's answer after the work was done.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from continuous_gtfs_tests.artifacts.cloud import CloudServer

_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "host"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a disturbance answers in the place of the server, which never hears of the request."""

    status: int
    reason: str = "disturbed"


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """The server does the work; the connection breaks before its answer."""


@dataclass(frozen=True, slots=True)
class TornAnswer:
    """The server does the work; the connection breaks after so many bytes of its answer's body."""

    after: int


@dataclass(frozen=True, slots=True)
class OtherAnswer:
    """The server does the work; the answer's body is another."""

    change: Callable[[bytes], bytes]


Fault = Answer | LostAnswer | TornAnswer | OtherAnswer


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in.

    Attributes:
        kind: ``upload``, ``read``, ``stat``, ``delete``, ``list`` or ``other``.
        key: Of the object, as far as the URL or the first part of the body names one.
        query: By name, the first value.
        began: Monotonic seconds.
        ended: The same, when the server had done its work and the answer was about to go back.
    """

    kind: str
    key: str
    method: str
    query: dict[str, str]
    began: float
    ended: float


@dataclass
class CloudProxy:
    """The running proxy.

    Attributes:
        url: What ``STORAGE_EMULATOR_HOST`` is to be.
        server: The one behind it, for what a test asks past the proxy.
        delay_s: How long each request waits before it is passed on.
        disturb: Asked at each request, by kind, key and how many of this kind and key came before.
    """

    url: str
    server: CloudServer
    delay_s: float = 0.0
    disturb: Callable[[str, str, int], Fault | None] = lambda kind, key, before: None
    requests: list[Request] = field(default_factory=list)
    _came: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def kinds(self) -> list[str]:
        return sorted(request.kind for request in self.requests)

    def rounds(self) -> int:
        """How many requests had to wait for another: the longest chain of those that do not overlap."""
        count, ended = 0, 0.0
        for request in sorted(self.requests, key=lambda each: each.ended):
            if request.began >= ended:
                count, ended = count + 1, request.ended
        return count

    def forget(self) -> None:
        self.requests.clear()
        self._came.clear()

    def fault(self, kind: str, key: str) -> Fault | None:
        with self._lock:
            before = self._came.get((kind, key), 0)
            self._came[kind, key] = before + 1
        return self.disturb(kind, key, before)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error here; what is one fails the test by its answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: CloudProxy

    def _serve(self) -> None:
        began = time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, key, query = _described(self.command, self.path, body)
        if self.proxy.delay_s:
            time.sleep(self.proxy.delay_s)
        fault = self.proxy.fault(kind, key)
        status, headers, answer = self._told(fault) if isinstance(fault, Answer) else self._ask(body)
        # Before the client can know of its end: whoever has an answer finds its request written down.
        self.proxy.requests.append(Request(kind, key, self.command, query, began, time.monotonic()))
        if isinstance(fault, LostAnswer):
            self.close_connection = True
            return
        if isinstance(fault, OtherAnswer):
            answer = fault.change(answer)
        self._send(status, headers, answer, torn_after=fault.after if isinstance(fault, TornAnswer) else None)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _told(self, fault: Answer) -> tuple[int, dict[str, str], bytes]:
        told = json.dumps({"error": {"code": fault.status, "message": fault.reason}}).encode()
        return fault.status, {"Content-Type": "application/json"}, told

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        server = urlsplit(self.proxy.server.url)
        connection = http.client.HTTPConnection(str(server.hostname), server.port, timeout=30)
        try:
            sent = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body=body, headers=sent)
            response = connection.getresponse()
            answer = response.read()
            headers = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
        finally:
            connection.close()
        if "Location" in headers:
            # Where an upload in pieces goes on.
            headers["Location"] = headers["Location"].replace(self.proxy.server.url, self.proxy.url)
        return response.status, headers, answer

    def _send(self, status: int, headers: dict[str, str], answer: bytes, *, torn_after: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if torn_after is None:
            self.wfile.write(answer)
            return
        self.wfile.write(answer[:torn_after])
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Says nothing: the requests are written down."""


def _described(method: str, path: str, body: bytes) -> tuple[str, str, dict[str, str]]:
    url = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    _, found, name = url.path.partition("/o/")
    key = unquote(name)
    if "/upload/" in url.path:
        return "upload", query.get("name") or _named_in(body), query
    if method == "DELETE":
        return "delete", key, query
    if method == "GET" and query.get("alt") == "media":
        return "read", key, query
    if method == "GET" and found:
        return "stat", key, query
    if method == "GET" and url.path.endswith("/o"):
        return "list", query.get("prefix", ""), query
    return "other", url.path, query


def _named_in(body: bytes) -> str:
    """The name in the description that an upload begins with."""
    start = body.find(b"{")
    if start < 0:
        return ""
    try:
        described, _ = json.JSONDecoder().raw_decode(body[start : start + 4000].decode(errors="replace"))
    except ValueError:
        return ""
    return str(described.get("name", ""))


@contextmanager
def cloud_proxy(server: CloudServer) -> Iterator[CloudProxy]:
    """A proxy in front of the server, until the block ends."""
    handler = type("Handler", (_Handler,), {})
    listener = _Listener(("127.0.0.1", 0), handler)
    proxy = CloudProxy(url=f"http://127.0.0.1:{listener.server_port}", server=server)
    handler.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        listener.shutdown()
        thread.join(timeout=30)
        listener.server_close()
