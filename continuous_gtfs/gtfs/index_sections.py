"""The written form of a schedule index: facts, and sections that are unpacked when they are first asked for.

Here: bytes and how they are laid out. What they mean is known to ``schedule_index`` (reading) and
``schedule_index_builder`` (writing).

A realtime run reads the index in a process that is seconds old and asks it for little: how many trips run, whether
some hundred ids are known. So nothing is made into Python objects but what is asked for: ids stay one sorted text in
which they are searched, numbers stay arrays.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import orjson
from zlib_ng import zlib_ng

from continuous_gtfs.errors import FeedStructureError

FORM = 2
"""Number of the written form; a reader refuses another."""

_FIRST_LINE = b"continuous_gtfs schedule index, form "
_GZIP = b"\x1f\x8b"
_SIZES = struct.Struct("<II")
_LEVEL = 6
_SEPARATOR = b"\0"
_IDS_A_BLOCK = 64
NUMBER = "i"
"""Type code of every array: 32-bit integers, little-endian when written."""


def pack(facts: Mapping[str, Any], sections: Mapping[str, bytes]) -> bytes:
    """Facts (plain JSON, read at once) and sections as one file; the same content gives the same bytes.

    The first line is text, so that ``head -1`` says what the file is. A checksum over the rest follows: a file that
    is read without complaint can be unpacked later without one.
    """
    packed = {name: zlib_ng.compress(content, _LEVEL) for name, content in sections.items()}
    sizes = [[name, len(packed[name]), len(content)] for name, content in sections.items()]
    header = orjson.dumps({**facts, "sections": sizes})
    rest = header + b"".join(packed.values())
    return b"%b%d\n%b%b" % (_FIRST_LINE, FORM, _SIZES.pack(zlib.crc32(rest), len(header)), rest)


class Sections:
    """A written index, opened.

    Attributes:
        facts: What was written as facts.
    """

    def __init__(self, data: bytes) -> None:
        """Raises: FeedStructureError: Not an index, a damaged one, or one of another form."""
        self._data = data
        begin = _after_first_line(data)
        if len(data) < begin + _SIZES.size:
            raise FeedStructureError(f"the schedule index is cut off after {len(data):,} bytes: {_AGAIN}")
        checksum, header_size = _SIZES.unpack_from(data, begin)
        begin += _SIZES.size
        if zlib.crc32(memoryview(data)[begin:]) != checksum:
            raise FeedStructureError(f"the schedule index is damaged or cut off ({len(data):,} bytes): {_AGAIN}")
        self.facts: Mapping[str, Any] = orjson.loads(memoryview(data)[begin : begin + header_size])
        self._places: dict[str, tuple[int, int, int]] = {}
        begin += header_size
        for name, packed_size, size in self.facts["sections"]:
            self._places[name] = begin, packed_size, size
            begin += packed_size

    def content(self, name: str) -> bytes:
        """A section, unpacked anew at each call: keep it."""
        begin, packed_size, size = self._places[name]
        return zlib_ng.decompress(memoryview(self._data)[begin : begin + packed_size], bufsize=max(size, 1))

    def numbers(self, name: str) -> array[int]:
        """A section of numbers."""
        numbers = array(NUMBER)
        numbers.frombytes(self.content(name))
        return _little_endian(numbers)

    def ids(self, name: str) -> SortedIds:
        """A section of ids, as ``ids_sections`` wrote it."""
        return SortedIds(self.content(name), self.numbers(f"{name}_blocks"))


def numbers_section(numbers: Iterable[int]) -> bytes:
    """Numbers as a section."""
    return _little_endian(array(NUMBER, numbers)).tobytes()


def ids_sections(name: str, ids: Iterable[str]) -> dict[str, bytes]:
    """Ids as sections. They must be sorted, each be there once, and hold no NUL, which no feed that was read has."""
    offsets = []
    at = len(_SEPARATOR)
    encoded = [one.encode() for one in ids]
    for position, one in enumerate(encoded):
        if position % _IDS_A_BLOCK == 0:
            offsets.append(at)
        at += len(one) + len(_SEPARATOR)
    text = b"".join((_SEPARATOR, *(one + _SEPARATOR for one in encoded)))
    return {name: text, f"{name}_blocks": numbers_section(offsets)}


class SortedIds(Set[str]):
    """A set of ids in the order of their code points, searched without being taken apart.

    UTF-8 sorts as the code points do, so bytes are compared. Finding one takes some microseconds and nothing is
    built for it; going through all of them makes them once.
    """

    def __init__(self, text: bytes, block_offsets: array[int]) -> None:
        self._text = text
        self._offsets = block_offsets
        self._found: dict[str, int] = {}
        self._all: list[str] | None = None
        self._count: int | None = None
        self._last_block: tuple[int, list[bytes]] = -1, []

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:
        # What `&`, `|` and `-` give.
        return frozenset(it)

    def __len__(self) -> int:
        if self._count is None:
            self._count = self._text.count(_SEPARATOR) - 1
        return self._count

    def __iter__(self) -> Iterator[str]:
        if self._all is None:
            self._all = self._text[1:-1].decode().split("\0") if self._offsets else []
        return iter(self._all)

    def __contains__(self, one: object) -> bool:
        return isinstance(one, str) and self.position(one) is not None

    def __getitem__(self, position: int) -> str:
        """The id at a position, counted from 0.

        Raises:
            IndexError: There is none.
        """
        if self._all is not None:
            return self._all[position]
        block, within = divmod(position, _IDS_A_BLOCK)
        if block != self._last_block[0]:
            begin, end = self._block(block)
            # Those who go through the columns ask for ids in their order.
            self._last_block = block, self._text[begin : end - 1].split(_SEPARATOR)
        return self._last_block[1][within].decode()

    def position(self, one: str) -> int | None:
        """Where an id stands, counted from 0; None if it is not there."""
        known = self._found.get(one)
        if known is None:
            known = self._found[one] = self._search(one)
        return None if known < 0 else known

    def _search(self, one: str) -> int:
        # Protobuf hands out bytes in place of text that is not UTF-8; no schedule has an id like that.
        if not isinstance(one, str) or not one or "\0" in one:
            return -1
        sought = one.encode("utf-8", "surrogatepass")
        block = bisect_right(self._offsets, sought, key=self._first_of_block) - 1
        if block < 0:
            return -1
        begin, end = self._block(block)
        at = self._text.find(_SEPARATOR + sought + _SEPARATOR, begin - 1, end)
        return -1 if at < 0 else block * _IDS_A_BLOCK + self._text.count(_SEPARATOR, begin, at + 1)

    def _first_of_block(self, offset: int) -> bytes:
        return self._text[offset : self._text.index(_SEPARATOR, offset)]

    def _block(self, block: int) -> tuple[int, int]:
        """Where a block begins, and where the separator after its last id ends."""
        end = self._offsets[block + 1] if block + 1 < len(self._offsets) else len(self._text)
        return self._offsets[block], end


_AGAIN = "transform and publish the schedule again"


def _after_first_line(data: bytes) -> int:
    """Where the first line ends, which says that it is an index and of which form."""
    if data.startswith(_GZIP):
        # The first form was gzipped JSON.
        raise FeedStructureError(
            f"a gzip stream, as a schedule index of form 1 is; this version reads form {FORM}: {_AGAIN}"
        )
    line, _, _ = data[: len(_FIRST_LINE) + 8].partition(b"\n")
    form = line.removeprefix(_FIRST_LINE)
    if not line.startswith(_FIRST_LINE) or not form.isdigit():
        raise FeedStructureError(f"not a schedule index ({len(data):,} bytes)")
    if int(form) != FORM:
        raise FeedStructureError(f"the schedule index has form {int(form)}, this version reads form {FORM}: {_AGAIN}")
    return len(line) + 1


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
