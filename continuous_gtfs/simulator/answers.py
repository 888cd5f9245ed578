"""How a fault looks on the wire: each as an ASGI response, made from the document it spoils."""

from __future__ import annotations

import asyncio
import hashlib
import io
import math
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from continuous_gtfs.simulator.conditional import validators
from continuous_gtfs.simulator.faults import Fault
from continuous_gtfs.simulator.feed_header import header_only, with_header_timestamp
from continuous_gtfs.simulator.vendor import Document

MEDIA_TYPES = {
    "schedule": "application/zip",
    "vehicle_positions": "application/x-protobuf",
    "trip_updates": "application/x-protobuf",
}
_HTML = b"""<!DOCTYPE html>
<html><head><title>Scheduled maintenance</title></head>
<body><h1>We will be right back</h1></body></html>
"""
_CHUNK = 64 * 1024
_TICKS_PER_S = 10


def spoiled(document: Document, fault: Fault) -> Document | None:
    """The document as this fault has it, for the faults that change what is served and not how; else None."""
    match fault.kind:
        case "garbage":
            body = _noise(fault.params["bytes"])
        case "header_only":
            body = header_only(document.body)
        case "frozen_timestamp":
            body = with_header_timestamp(document.body, fault.params["timestamp"])
        case "zip_without_stops":
            body = _without_stops(document.body)
        case _:
            return None
    return Document.of(body, document.tick)


def faulty_answer(fault: Fault, document: Document, request: Request, stopping: asyncio.Event) -> ASGIApp:
    """The response for the faults that are in how a document is served."""
    media_type = MEDIA_TYPES[fault.feed]
    match fault.kind:
        case "http_500":
            return Response("internal error\n", 500, media_type="text/plain")
        case "http_503":
            return Response("unavailable\n", 503, media_type="text/plain")
        case "http_429":
            headers = {"Retry-After": fault.params["retry_after"]}
            return Response("too many requests\n", 429, headers, media_type="text/plain")
        case "redirect":
            location = fault.params["location"] or f"http://127.0.0.2:{request.scope['server'][1]}{request.url.path}"
            return Response(status_code=302, headers={"Location": quote(location, safe=":/%#?=@[]!$&'()*+,;~")})
        case "echo":
            return _echo(request, fault.params["status"])
        case "html_200":
            return Response(_HTML, media_type="text/html")
        case "empty_body":
            return Response(b"", media_type=media_type)
        case "hang":
            return _Streamed(None, None, {}, stopping)
        case "slow_body":
            chunks = _dripped(document.body, fault.params["bytes_per_s"])
            return _Streamed(chunks, len(document.body), validators(document), stopping, media_type)
        case "truncated_body":
            half = _once(document.body[: len(document.body) // 2])
            return _Streamed(half, len(document.body), validators(document), stopping, media_type)
        case "oversized":
            size = fault.params["bytes"]
            return _Streamed(_zeros(size), size, {}, stopping, media_type)
    raise AssertionError(f"no answer for the fault {fault.kind}")


def _echo(request: Request, status: int) -> Response:
    """A page that repeats the request, token and all, in its title, its text and its headers, as debug pages do."""
    token = " ".join(value for name, value in request.headers.items() if name.startswith("x-"))
    said = f"{token} {request.url}"
    text = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    headers = dict.fromkeys(
        ("ETag", "Last-Modified", "Retry-After", "WWW-Authenticate", "Content-Disposition", "X-Echo"), said
    )
    page = f"<html><head><title>{said}</title></head><body><pre>{text}</pre></body></html>"
    return Response(page, status, headers, media_type="text/html")


class _Streamed:
    """A response that ends early when the client goes or the server stops.

    Args:
        chunks: The body; None sends nothing at all, headers included. When it gives less than ``length``, the
            connection is closed where it ends.
        length: What Content-Length says.
    """

    def __init__(
        self,
        chunks: AsyncIterator[bytes] | None,
        length: int | None,
        headers: dict[str, str],
        stopping: asyncio.Event,
        media_type: str | None = None,
    ) -> None:
        self._chunks = chunks
        self._length = length
        self.status_code = None if chunks is None else 200
        self._headers = Response(headers=headers, media_type=media_type).raw_headers
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ends: list[Callable[[], Awaitable[object]]] = [lambda: _gone(receive), self._stopping.wait]
        if self._chunks is not None:
            ends.append(lambda: self._send_all(send))
        tasks = [asyncio.ensure_future(end()) for end in ends]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._chunks is None:
            # Reached by a client only when the server stops while the client still waits.
            await Response("the simulator is stopping\n", 503, media_type="text/plain")(scope, receive, send)

    async def _send_all(self, send: Send) -> None:
        assert self._chunks is not None
        headers = [(name, value) for name, value in self._headers if name != b"content-length"]
        headers.append((b"content-length", str(self._length).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        count = 0
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            count += len(chunk)
        if count == self._length:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _dripped(body: bytes, bytes_per_s: int) -> AsyncIterator[bytes]:
    step = math.ceil(bytes_per_s / _TICKS_PER_S)
    for start in range(0, len(body), step):
        yield body[start : start + step]
        await asyncio.sleep(step / bytes_per_s)


async def _zeros(size: int) -> AsyncIterator[bytes]:
    zeros = bytes(_CHUNK)
    while size > 0:
        yield zeros[:size]
        size -= _CHUNK
        await asyncio.sleep(0)  # a client that is gone must be noticed between two writes that do not block


def _noise(size: int) -> bytes:
    """Bytes that are no zip, no FeedMessage and no text: an overlong varint, then noise; the same at each call."""
    return (b"\xff" * 11 + hashlib.shake_256(b"garbage").digest(size))[:size]


def _without_stops(body: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as feed, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as rest:
        for member in feed.infolist():
            if member.filename != "stops.txt":
                rest.writestr(member, feed.read(member))
    return out.getvalue()
