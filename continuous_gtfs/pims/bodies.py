"""Reads a response's body within limits and tells what is plainly no feed. Knows no feed's format."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator
from textwrap import shorten

import httpx

from continuous_gtfs.foreign_text import printable

_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|!--|html|head|body|\?xml)", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]*)<", re.IGNORECASE)
_TITLE_CHARACTERS = 80
_SNIFFED_BYTES = 4096


class UnusableBodyError(Exception):
    """The body cannot be used; ``kind`` and the message become the fetch's outcome. Never leaves ``pims``."""

    def __init__(self, kind: str, message: str, *, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.is_permanent = is_permanent


async def read_body(response: httpx.Response, *, max_bytes: int) -> bytes:
    """The decoded body of a streamed response, read no further than ``max_bytes``.

    Content encodings are undone here and not by httpx: its decoders inflate a whole network read at once, and
    stack as often as the header says, so a few kilobytes could fill the memory before a limit is looked at.

    Raises:
        UnusableBodyError: too_large, truncated, bad_encoding, empty_body or html_instead_of_feed.
        httpx.HTTPError: The connection failed, as httpx tells it.
    """
    declared = _declared_length(response)
    if declared is not None and declared > max_bytes:
        raise _too_large(max_bytes, f"the vendor announces {declared} bytes")
    raw = _counted(response, declared, max_bytes)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        chunks = [chunk async for chunk in raw]
    elif encoding in ("gzip", "x-gzip"):
        chunks = [chunk async for chunk in _gunzipped(raw, max_bytes)]
    else:
        raise UnusableBodyError("bad_encoding", "a content encoding that was not asked for (only gzip is)")
    body = b"".join(chunks)
    _refuse_what_is_no_feed(body)
    return body


def _declared_length(response: httpx.Response) -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


async def _counted(response: httpx.Response, declared: int | None, max_bytes: int) -> AsyncIterator[bytes]:
    count = 0
    try:
        async for chunk in response.aiter_raw():
            count += len(chunk)
            if count > max_bytes:
                raise _too_large(max_bytes, "the body went on past it")
            yield chunk
    except (httpx.RemoteProtocolError, httpx.ReadError) as error:
        raise _truncated(count, declared) from error
    if declared is not None and count != declared:
        raise _truncated(count, declared)


async def _gunzipped(raw: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    count = 0
    async for chunk in raw:
        while chunk:
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            try:
                # One byte over the limit is enough to know that it is passed.
                part = member.decompress(chunk, max_bytes - count + 1)
            except zlib.error as error:
                raise UnusableBodyError("bad_encoding", "a body that says it is gzip and is not") from error
            count += len(part)
            if count > max_bytes:
                raise _too_large(max_bytes, "the body is longer once decompressed")
            yield part
            chunk = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise UnusableBodyError("truncated", f"a gzip body cut off after {count} decompressed bytes")


def _refuse_what_is_no_feed(body: bytes) -> None:
    if not body:
        raise UnusableBodyError("empty_body", "an empty body with status 200")
    if _MARKUP.match(body):
        title = _TITLE.search(body[:_SNIFFED_BYTES])
        # Whole words: of a secret that a page repeats no part may be left, for it would not be known for one.
        words = printable(title[1].decode("utf-8", "replace")) if title else ""
        text = shorten(words, _TITLE_CHARACTERS, placeholder="")
        titled = f' titled "{text}"' if text else ""
        raise UnusableBodyError("html_instead_of_feed", f"a web page{titled} with status 200")


def _too_large(max_bytes: int, how: str) -> UnusableBodyError:
    return UnusableBodyError(
        "too_large",
        f"a body over the feed's limit of {max_bytes} bytes ({how}); if it is right, raise max_bytes in its FeedSource",
        is_permanent=True,
    )


def _truncated(count: int, declared: int | None) -> UnusableBodyError:
    of = f" of {declared}" if declared is not None else ""
    return UnusableBodyError("truncated", f"a body cut off after {count}{of} bytes")
