"""What is wrong with the bytes of a CSV member, said before anything parses them.

Parsers repair silently and each in its own way: pandas shifts columns on a trailing comma, others take a
CR-only file for one long header. So the bytes are judged here, and a defect names file, line and column.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.canonical import MOST_ROW_BYTES

BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_QUOTE, _COMMA, _LF, _CR = b'",\n\r'
_BEFORE_OPENING = np.array([_COMMA, _LF, _QUOTE], dtype=np.uint8)
_AFTER_CLOSING = np.array([_COMMA, _LF, _CR, _QUOTE], dtype=np.uint8)
_PIECE_BYTES = 8 << 20
_SHOWN_BYTES = 40
_NOT_A_BLANK = re.compile(rb"\S")

# The widest table of the spec has 20 columns. A hundred thousand, 250 kB zipped, would take a minute and 1.2 GB.
MAX_COLUMNS = 1000


def check_text(data: bytes | bytearray, file: str) -> None:
    """Refuse bytes that are no UTF-8 text of lines: empty, UTF-16, NUL, a bad byte, CR alone as line end, a line
    without end.

    Raises:
        FeedStructureError: Names the line, the column and the offset in ``data`` of the first offence.
    """
    if _NOT_A_BLANK.search(data) is None:
        raise FeedStructureError(f"{file} is empty: it has not even a header")
    if data.startswith(_UTF16_BOMS):
        raise FeedStructureError(f"{file} is UTF-16 (it begins with {data[:2].hex(' ')}); a feed is UTF-8")
    nul = data.find(b"\0")
    if nul >= 0:
        _refuse(data, nul, file, f"a NUL byte at offset {nul}")
    if not data.isascii():
        _check_utf8(data, file)
    if b"\r" in data and b"\n" not in data:
        raise FeedStructureError(f"{file} ends its lines with CR alone; a line ends with LF or CRLF")
    _check_line_lengths(data, file)


def _check_line_lengths(data: bytes | bytearray, file: str) -> None:
    start = 0
    while len(data) - start > MOST_ROW_BYTES:
        end = data.rfind(b"\n", start, start + MOST_ROW_BYTES)
        if end < 0:
            _refuse(data, start, file, f"a line of more than {MOST_ROW_BYTES:,} bytes")
        start = end + 1


def _check_utf8(data: bytes | bytearray, file: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for offset in range(0, len(data), _PIECE_BYTES):
        held = len(decoder.getstate()[0])
        is_last = offset + _PIECE_BYTES >= len(data)
        try:
            decoder.decode(bytes(data[offset : offset + _PIECE_BYTES]), final=is_last)
        except UnicodeDecodeError as error:
            place = offset - held + error.start
            _refuse(data, place, file, f"byte 0x{data[place]:02x} at offset {place} is not UTF-8 ({error.reason})")


def has_quoted_line_ends(data: bytes | bytearray, file: str, *, start: int = 0) -> bool:
    """Check every quotation mark and CR from ``start`` on; whether a quoted value holds a line end.

    A mark opens a value at the start of a field, closes it at the end of one, and is doubled inside; anything
    else is a defect, since readers disagree on it (RFC 4180, section 2). A piece at a time: a large file of quoted
    values has a hundred million marks.

    Raises:
        FeedStructureError: A mark in the middle of a value, a value never closed, or a CR that ends no line.
    """
    if data.find(b'"', start) < 0 and data.find(b"\r", start) < 0:
        return False
    view = np.frombuffer(data, dtype=np.uint8)
    found = False
    last_mark, is_open = -1, 0
    for offset in range(start, len(data), _PIECE_BYTES):
        piece = view[offset : offset + _PIECE_BYTES]
        marks = np.flatnonzero(piece == _QUOTE)
        if is_open and not marks.size and len(piece) == _PIECE_BYTES:
            _refuse(data, last_mark, file, f"a quoted value of more than {_PIECE_BYTES:,} bytes")
        returns = np.flatnonzero(piece == _CR)
        _check_marks(data, view, marks + offset, is_open, start, file)
        if returns.size:
            is_quoted = _is_quoted(marks, returns, is_open)
            alone = returns[(_byte_after(view, returns + offset) != _LF) & ~is_quoted]
            if alone.size:
                _refuse(data, offset + int(alone[0]), file, "a CR that ends no line")
            found |= bool(is_quoted.any())
        if marks.size or is_open:
            found = found or bool(_is_quoted(marks, np.flatnonzero(piece == _LF), is_open).any())
        if marks.size:
            last_mark = offset + int(marks[-1])
        is_open = (is_open + marks.size) % 2
    if is_open:
        _refuse(data, last_mark, file, "a quoted value that is never closed")
    return found


def _is_quoted(marks: npt.NDArray[np.intp], positions: npt.NDArray[np.intp], is_open: int) -> npt.NDArray[np.bool_]:
    """Whether an odd number of marks lies before each position; doubled marks count twice, so cancel out."""
    is_odd: npt.NDArray[np.bool_] = (np.searchsorted(marks, positions) + is_open) % 2 == 1
    return is_odd


def _byte_after(view: npt.NDArray[np.uint8], positions: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
    """The byte after each position; after the last one, as if a line ended there."""
    after: npt.NDArray[np.uint8] = view[np.minimum(positions + 1, len(view) - 1)]
    if positions.size and positions[-1] == len(view) - 1:
        after[-1] = _LF
    return after


def _check_marks(
    data: bytes | bytearray,
    view: npt.NDArray[np.uint8],
    marks: npt.NDArray[np.intp],
    is_open: int,
    start: int,
    file: str,
) -> None:
    """Every other mark opens a value or is second of a doubled pair; the others close one or are first."""
    opening, closing = marks[is_open::2], marks[1 - is_open :: 2]
    before = np.where(opening == start, np.uint8(_LF), view[np.maximum(opening - 1, 0)])
    stray = opening[~np.isin(before, _BEFORE_OPENING)]
    if stray.size:
        _refuse(data, int(stray[0]), file, "a quotation mark inside a value that is not quoted")
    early = closing[~np.isin(_byte_after(view, closing), _AFTER_CLOSING)]
    if early.size:
        _refuse(data, int(early[0]), file, "text after the closing quotation mark of a value")


def read_header(data: bytes | bytearray, file: str, *, start: int = 0) -> tuple[tuple[str, ...], int]:
    """The column names, surrounding spaces taken off, and the offset of the first row; the header begins at ``start``.

    Raises:
        FeedStructureError: The first line is blank, names a column twice, or has more than ``MAX_COLUMNS``.
    """
    end, marks = start - 1, 0
    while True:
        before = end + 1
        end = data.find(b"\n", before)
        marks += data.count(b'"', before, end) if end >= 0 else 0
        if end < 0 or marks % 2 == 0:
            break
    end = len(data) if end < 0 else end + 1
    text = bytes(data[start:end]).decode().rstrip("\r\n")
    if not text.strip():
        raise FeedStructureError(f"{file} line 1: a blank line where the header should be")
    names = tuple(name.strip() for name in csv_rows(text)[0])
    if len(names) > MAX_COLUMNS:
        raise FeedStructureError(f"{file} line 1: {len(names):,} columns; a table may have {MAX_COLUMNS:,}")
    for number, name in enumerate(names, start=1):
        first = names.index(name) + 1
        if first < number:
            label = f"the name {name!r}" if name else "no name"
            raise FeedStructureError(f"{file} line 1, column {number}: {label}, as column {first} has already")
    return names, end


def csv_rows(text: str) -> list[list[str]]:
    """The rows of a short text, whatever the length of a cell."""
    limit = csv.field_size_limit(len(text) + 1)
    try:
        return list(csv.reader(io.StringIO(text, newline="")))
    finally:
        csv.field_size_limit(limit)


def raise_if_ragged(data: bytes | bytearray, columns: tuple[str, ...], start: int, file: str) -> None:
    """Find the first row whose values are more or fewer than the columns.

    Slow, row by row: only to say where, once a parser has refused the file.

    Raises:
        FeedStructureError: Names the row's line and the first column that is missing or too many.
    """
    line = first_line = data.count(b"\n", 0, start) + 1
    # Marks and commas outside of them are counted line by line: a quoted value can be as long as the file.
    is_open, commas, parts = False, 0, list[bytes]()
    for raw in io.BytesIO(data[start:]):
        if not parts:
            first_line, commas = line, 0
        for number, part in enumerate(raw.split(b'"')):
            is_open ^= number > 0
            commas += 0 if is_open else part.count(b",")
        parts.append(raw)
        line += 1
        if is_open:
            continue
        content = b"".join(parts).rstrip(b"\r\n")
        if content and commas + 1 != len(columns):
            _raise_ragged(commas + 1, columns, f"{file} line {first_line}", content)
        parts = []


def _raise_ragged(found: int, columns: tuple[str, ...], place: str, content: bytes) -> NoReturn:
    values = "1 value" if found == 1 else f"{found} values"
    text = _shown(content[: 2 * _SHOWN_BYTES])
    if found < len(columns):
        raise FeedStructureError(
            f"{place}, column {found + 1} ({columns[found]}): the row ends after {values}, "
            f"the header has {len(columns)} columns: {text}"
        )
    raise FeedStructureError(
        f"{place}, column {len(columns) + 1}: the row has {values}, the header has {len(columns)} columns: {text}"
    )


def _refuse(data: bytes | bytearray, offset: int, file: str, reason: str) -> NoReturn:
    """Say where a defect is, what it is, and the text around it."""
    start = max(data.rfind(b"\n", 0, offset) + 1, offset - _SHOWN_BYTES)
    end = data.find(b"\n", offset)
    text = data[start : min(len(data) if end < 0 else end, offset + _SHOWN_BYTES)]
    raise FeedStructureError(f"{_place(data, offset, file)}: {reason}: {_shown(text)}")


def _shown(text: bytes | bytearray) -> str:
    return repr(text.decode("utf-8", errors="replace").rstrip("\r"))


def _place(data: bytes | bytearray, offset: int, file: str) -> str:
    """``stops.txt line 3, column 2 (stop_name)``: both from 1, lines as an editor counts them."""
    start = data.rfind(b"\n", 0, offset) + 1
    before = data[start:offset]
    number = sum(part.count(b",") for part in before.split(b'"')[::2])
    first_line = data[: data.find(b"\n") if b"\n" in data else len(data)]
    names = first_line.decode("utf-8-sig", errors="replace").rstrip("\r").split(",")
    name = f" ({names[number].strip()})" if start > 0 and number < len(names) else ""
    line = data.count(b"\n", 0, offset) + 1
    return f"{file} line {line}, column {number + 1}{name}"
