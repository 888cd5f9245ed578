"""A vendor on a bare socket, for what no proper HTTP server can be made to do; each test scripts the bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

RESET = "reset"
HANG = "hang"
Piece = bytes | float | str
"""Bytes to send, seconds to wait, RESET to break the connection, or HANG to stay silent until the client goes."""


@dataclass
class RawVendor:
    """A listening vendor; ``requests`` are the request heads it got, as they came."""

    port: int
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def raw_vendor(
    script: Sequence[Piece] | Callable[[str], Sequence[Piece]],
    *,
    keep_open: bool = False,
    speaks_first: bool = False,
) -> AsyncIterator[RawVendor]:
    """Answers each request with ``script`` (or what it gives for the request's head), then closes the connection.

    Args:
        script: The answer.
        keep_open: Answer one request after the other on a connection.
        speaks_first: Say it without waiting for a request.
    """
    vendor = RawVendor(0)
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = "" if speaks_first else (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            vendor.requests.append(head)
            for piece in script(head) if callable(script) else script:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                elif isinstance(piece, float):
                    await asyncio.sleep(piece)
                elif piece == RESET:
                    # Linger of zero: the kernel sends RST in place of FIN.
                    connection: socket.socket = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                    return
                else:
                    await reader.read()
            if not keep_open:
                return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await converse(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    vendor.port = server.sockets[0].getsockname()[1]
    try:
        yield vendor
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def response(status: str = "200 OK", headers: str = "", body: bytes = b"", length: int | None = None) -> bytes:
    """An HTTP/1.1 response with a Content-Length, by default the true one."""
    lines = [f"HTTP/1.1 {status}", *filter(None, headers.split("\n"))]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*chunks: bytes, headers: str = "", is_ended: bool = True) -> bytes:
    """A 200 response in chunks, with or without the last one."""
    lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *filter(None, headers.split("\n")), "", ""]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return "\r\n".join(lines).encode() + body + (b"0\r\n\r\n" if is_ended else b"")
