"""Strict reading of a feed's zip: which members it has, and their bytes when asked for.

Shared by ``feed`` (which parses tables) and ``digest`` (which does not), so it knows nothing of CSV and
imports neither pandas nor pyarrow: sensors load it.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import NoReturn, cast

from zlib_ng import zlib_ng

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.zip_names import feed_members

_READABLE_COMPRESSION = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})
_ENCRYPTED = 0x1
_LZMA_PROPERTIES = 5
_CHUNK_BYTES = 1 << 20
_STORED_BYTES = 1 << 16
_LOCAL_HEADER = struct.Struct("<4s22xHH")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLimits:
    """How large a feed may be. Never a ratio: real feeds reach 140:1 legitimately.

    Attributes:
        max_total_bytes: Of all members together, unzipped.
        max_members: Files in the zip, folders and hidden files included.
    """

    max_total_bytes: int = 2 << 30
    max_members: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeflatedMember:
    """A member's compressed bytes, to be copied into another zip as they are.

    Attributes:
        data: Raw deflate.
        crc32: Of the bytes that it inflates to; likewise ``size``.
    """

    data: bytes | memoryview
    crc32: int
    size: int


_MEMBER_MARK = b"PK\1\2"
_MARKS_A_MEMBER = 10
ACCEPTED_BEFORE = FeedLimits(max_total_bytes=1 << 62, max_members=1 << 31)
"""For a feed that was held to its limits when it came from the vendor."""


class ZippedFeed:
    """The members of a feed's zip by the name they have in the feed, sub-folder taken off.

    Opening reads the zip's directory only. A member's bytes are inflated each time they are asked for.
    """

    def __init__(self, data: bytes, *, limits: FeedLimits | None = None) -> None:
        """Open a feed.

        Raises:
            FeedStructureError: Not a zip, over the limits, no stops.txt, or a member that is encrypted, twice
                there, or named so that it would leave the feed's folder.
        """
        limits = limits or FeedLimits()
        # Millions of empty members cost gigabytes as soon as zipfile lists them, and each has this mark. Bytes of
        # members may hold it by chance, so only far too many refuse here.
        if (marks := data.count(_MEMBER_MARK)) > _MARKS_A_MEMBER * limits.max_members:
            raise FeedStructureError(
                f"the zip has some {marks} members; the limit is {limits.max_members} (FeedLimits.max_members)"
            )
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self._data = memoryview(data)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, OverflowError) as error:
            raise FeedStructureError(_why_not_a_zip(data, error)) from None
        entries = self._zip.infolist()
        if len(entries) > limits.max_members:
            raise FeedStructureError(
                f"the zip has {len(entries)} members; the limit is {limits.max_members} (FeedLimits.max_members)"
            )
        total = sum(entry.file_size for entry in entries)
        if total > limits.max_total_bytes:
            raise FeedStructureError(
                f"the feed is {total:,} bytes unzipped; the limit is {limits.max_total_bytes:,} "
                "(FeedLimits.max_total_bytes)"
            )
        self._members = feed_members(entries)
        for name, entry in self._members.items():
            if entry.flag_bits & _ENCRYPTED:
                raise FeedStructureError(f"{name} is encrypted; a feed must be readable without a password")
            if entry.compress_type not in _READABLE_COMPRESSION:
                raise FeedStructureError(f"{name} is compressed by method {entry.compress_type}, not deflate")

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the feed, in the order of the zip."""
        return tuple(self._members)

    def read(self, name: str) -> bytes:
        """The bytes of one member.

        Raises:
            FeedStructureError: The stored bytes are damaged.
        """
        return bytes(self.buffer(name))

    def buffer(self, name: str) -> bytearray:
        """The bytes of one member in a buffer of the caller's own, without a second copy on the way.

        Raises:
            FeedStructureError: The stored bytes are damaged.
        """
        buffer = bytearray(self._members[name].file_size)
        end = 0
        for chunk in self.chunks(name):
            buffer[end : end + len(chunk)] = chunk
            end += len(chunk)
        return buffer

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of one member, a piece at a time.

        Raises:
            FeedStructureError: The stored bytes are damaged; pieces may have been handed out before.
        """
        entry = self._members[name]
        try:
            if entry.compress_type == zipfile.ZIP_DEFLATED:
                yield from self._inflate(entry)
                return
            yield from self._expand(entry)
        except _DAMAGE as error:
            _raise_damaged(name, error)

    def deflated(self, name: str) -> DeflatedMember | None:
        """One member as it lies in the zip, found whole; None where it is not plain deflate.

        Raises:
            FeedStructureError: The stored bytes are damaged.
        """
        entry = self._members[name]
        if entry.compress_type != zipfile.ZIP_DEFLATED:
            return None
        try:
            inflating = self._inflate(entry)
            while True:
                next(inflating)
        except StopIteration as end:
            # Bytes after the end of the stream are no part of the file, so they are not handed on.
            return (
                None if end.value else DeflatedMember(data=self._stored(entry), crc32=entry.CRC, size=entry.file_size)
            )
        except _DAMAGE as error:
            _raise_damaged(name, error)

    def _inflate(self, entry: zipfile.ZipInfo) -> Generator[bytes, None, int]:
        """zlib-ng inflates twice as fast as zipfile does. Never more than the directory says there is.

        Returns:
            How many stored bytes lie after the end of the stream.
        """
        inflater = zlib_ng.decompressobj(-zlib_ng.MAX_WBITS)
        stored, crc, size, taken = self._stored(entry), 0, 0, 0
        rest: bytes | memoryview = b""
        while not inflater.eof:
            if not rest:
                # Little at once: what is left of it is copied every time.
                rest = stored[taken : taken + _STORED_BYTES]
                taken += len(rest)
            piece = inflater.decompress(rest, _CHUNK_BYTES)
            if not piece and not rest and not inflater.eof:
                raise EOFError("it ends in the middle")
            rest = inflater.unconsumed_tail
            crc, size = zlib_ng.crc32(piece, crc), size + len(piece)
            if size > entry.file_size:
                break
            yield piece
        if (crc, size) != (entry.CRC, entry.file_size):
            raise zipfile.BadZipFile("Bad CRC-32 or length")
        return len(inflater.unused_data) + len(rest) + len(stored) - taken

    def _expand(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """What is not deflated. zipfile would unpack bzip2 and LZMA without end, whatever the directory says."""
        stored = self._stored(entry)
        crc, size = 0, 0
        for piece in _unpacked(stored, entry.compress_type):
            crc, size = zlib_ng.crc32(piece, crc), size + len(piece)
            if size > entry.file_size:
                break
            yield piece
        if (crc, size) != (entry.CRC, entry.file_size):
            raise zipfile.BadZipFile("Bad CRC-32 or length")

    def _stored(self, entry: zipfile.ZipInfo) -> memoryview:
        """The compressed bytes, found through the member's own header as zipfile does."""
        header = self._data[entry.header_offset : entry.header_offset + _LOCAL_HEADER.size]
        if len(header) < _LOCAL_HEADER.size:
            raise EOFError("it ends before the member's header")
        signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile("Bad magic number for file header")
        start = entry.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
        stored = self._data[start : start + entry.compress_size]
        if len(stored) < entry.compress_size:
            raise EOFError("it ends in the middle")
        return stored


def _unpacked(stored: memoryview, method: int) -> Iterator[bytes]:
    """Stored, bzip2 or LZMA bytes, a piece at a time."""
    if method == zipfile.ZIP_STORED:
        for offset in range(0, len(stored), _CHUNK_BYTES):
            yield bytes(stored[offset : offset + _CHUNK_BYTES])
        return
    unpacker: bz2.BZ2Decompressor | lzma.LZMADecompressor
    if method == zipfile.ZIP_BZIP2:
        unpacker = bz2.BZ2Decompressor()
    else:
        # A zip has the properties of its LZMA stream before it: two bytes of version, two of their length.
        length = int.from_bytes(stored[2:4], "little")
        if length != _LZMA_PROPERTIES:
            raise zipfile.BadZipFile(f"LZMA properties of {length} bytes")
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_lzma_filter(bytes(stored[4 : 4 + length]))])
        stored = stored[4 + length :]
    piece = unpacker.decompress(stored, _CHUNK_BYTES)
    while True:
        yield piece
        if unpacker.eof or (unpacker.needs_input and not piece):
            return
        piece = unpacker.decompress(b"", _CHUNK_BYTES)


def _lzma_filter(properties: bytes) -> dict[str, int]:
    """The five bytes that begin an LZMA1 stream: lc, lp and pb in one, and the dictionary's length."""
    code = properties[0]
    return {
        "id": lzma.FILTER_LZMA1,
        "lc": code % 9,
        "lp": code // 9 % 5,
        "pb": code // 45,
        "dict_size": max(int.from_bytes(properties[1:5], "little"), 4096),
    }


# NotImplementedError is zipfile's word for flag bits that it does not know.
_DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    cast(type[Exception], zlib_ng.error),
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    OverflowError,
    lzma.LZMAError,
)


def _raise_damaged(name: str, error: Exception) -> NoReturn:
    raise FeedStructureError(f"{name} is damaged in the zip: {error}") from None


def _why_not_a_zip(data: bytes, error: Exception) -> str:
    if not data:
        return "the feed is empty (0 bytes), not a zip"
    if data.startswith(b"PK\x03\x04"):
        return f"the zip cannot be opened, it looks cut short or damaged ({len(data):,} bytes): {error}"
    # The bytes are not quoted: an error page may repeat the request, and with it a token.
    found = "HTML or XML" if data.lstrip().startswith(b"<") else "something else"
    return f"not a zip but {found} ({len(data):,} bytes)"
