"""CSV bytes in one form: what two tables of the same cells have in common, whatever program wrote them.

Here: quotation marks, line ends, byte order mark and blank lines taken out of the bytes, and rows put in one order.
Not here: which files have an order (``digest``), and what a defect is to be called (``csv_checks``).

In the canonical form a row is its cells, a comma between two, a line feed at the end, and no quotation marks. What a
cell holds of those four is written as bytes that no UTF-8 text has, so two tables have the same form only if all
their cells are the same. Everything is done on blocks of rows by the few operations that ``bytes`` has, none of them
row by row: sensors come through here, and load no table library for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

_BOM = b"\xef\xbb\xbf"
# A block stays in the processor's cache while it is split and sorted.
BLOCK_BYTES = 1 << 20
MOST_ROW_BYTES = 16 << 20
"""Longer than any stop's description. A cell of 100 MB, 100 kB zipped, would take 1.7 GB."""
_SAMPLES = 16

_MARK_IN_CELL = b"\xfe"
_CELL_BYTES = bytes.maketrans(b",\n\r", b"\xfc\xfd\xfb")
# In a table of one column a line with nothing on it is no row, and a cell with nothing in it is one.
_BLANK_CELL = b"\xfa"
_OPENED, _CLOSED = b"\xf8", b"\xf9"
_NO_SEPARATOR = bytes(byte for byte in range(256) if byte not in b",\n")
_NO_SEPARATOR_OR_MARK = _NO_SEPARATOR.translate(None, _OPENED + _CLOSED)


class NotATableError(ValueError):
    """The bytes are no CSV that all readers would read alike."""


def canonical_blocks(chunks: Iterable[bytes], *, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The header line in canonical form, then the rows, many at a time.

    Args:
        chunks: The bytes of the file in pieces of any length; the answer does not depend on it.

    Raises:
        NotATableError: Bad UTF-8, NUL, a stray or unclosed quotation mark, a CR that ends no line, a row of more or
            fewer cells than the header, a row without end, or no header. Blocks may have been handed out before.
    """
    commas: int | None = None
    for block in _blocks(chunks, block_bytes):
        rows = block
        if commas is None:
            end = _header_end(block)
            header = _plain(block[:end].removeprefix(_BOM), is_one_column=True).replace(_BLANK_CELL, b"")
            if header == b"\n":
                raise NotATableError
            commas = header.count(b",")
            yield header
            rows = block[end:]
        if rows:
            yield _checked(_plain(rows, is_one_column=commas == 0), commas)
    if commas is None:
        raise NotATableError


def sorted_blocks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same canonical rows, each as often as it came, in the order of their bytes.

    Each block is sorted alone. Blocks that do not follow one another are then cut at the same rows, and what lies
    between two cuts is sorted together, so that at no time all rows are objects of their own.
    """
    runs = [_sorted(block) for block in blocks if block]
    if all(_last_row(run) <= _first_row(following) for run, following in pairwise(runs)):
        yield from runs
        return
    starts = [0] * len(runs)
    for pivot in _pivots(runs):
        ends = [_offset_of(pivot, run, start) for run, start in zip(runs, starts, strict=True)]
        yield _sorted(b"".join(run[start:end] for run, start, end in zip(runs, starts, ends, strict=True)))
        starts = ends
    yield _sorted(b"".join(run[start:] for run, start in zip(runs, starts, strict=True)))


def canonical_text(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Text that is no table, without its byte order mark, CRLF as LF; in whatever pieces it comes."""
    held = b""
    is_first = True
    for chunk in chunks:
        piece = held + chunk
        if is_first:
            if len(piece) < len(_BOM) and _BOM.startswith(piece):
                held = piece
                continue
            piece = piece.removeprefix(_BOM)
            is_first = False
        # A CR at the end of a piece may be the first half of a CRLF.
        held = piece[-1:] if piece.endswith(b"\r") else b""
        yield piece[: len(piece) - len(held)].replace(b"\r\n", b"\n")
    yield held.removeprefix(_BOM) if is_first else held


def _blocks(chunks: Iterable[bytes], block_bytes: int) -> Iterator[bytes]:
    """The bytes in pieces that each end with a row, the last one with a line feed even where the file has none."""
    held: list[bytes] = []
    held_bytes, is_open = 0, False
    for chunk in chunks:
        held.append(chunk)
        held_bytes += len(chunk)
        is_open ^= _has_odd_marks(chunk)
        cut = chunk.rfind(b"\n") + 1
        # The last line feed may lie in a quoted value: then the next chunk is waited for.
        if held_bytes < block_bytes or not cut or is_open ^ _has_odd_marks(chunk[cut:]):
            if held_bytes > max(MOST_ROW_BYTES, 2 * block_bytes):
                raise NotATableError
            continue
        held[-1] = chunk[:cut]
        yield b"".join(held)
        held, held_bytes = [chunk[cut:]], len(chunk) - cut
    rest = b"".join(held)
    if rest:
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def _has_odd_marks(text: bytes) -> bool:
    # To find that there is none is twenty times as fast as to count them.
    return b'"' in text and text.count(b'"') % 2 == 1


def _header_end(block: bytes) -> int:
    """The end of the first row, which may hold quoted line feeds."""
    end, is_open = 0, False
    while True:
        start, end = end, block.find(b"\n", end) + 1
        is_open ^= _has_odd_marks(block[start:end])
        if not is_open or end == len(block):
            return end


def _plain(rows: bytes, *, is_one_column: bool) -> bytes:
    """Rows without quotation marks and CRs."""
    if b"\0" in rows or not _is_utf8(rows):
        raise NotATableError
    if b'"' not in rows:
        return _without_returns(rows)
    return _without_idle_marks(rows) or _without_marks(rows, is_one_column)


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _without_returns(text: bytes) -> bytes:
    if b"\r" not in text:
        return text
    plain = text.translate(None, b"\r")
    if len(text) - len(plain) != text.count(b"\r\n"):
        raise NotATableError
    return plain


def _without_idle_marks(rows: bytes) -> bytes | None:
    """Rows without marks if none of the values needs them, else None: five times as fast as ``_without_marks``."""
    plain = rows.translate(None, b"\r")
    if len(rows) - len(plain) != rows.count(b"\r\n"):
        return None
    if plain.startswith(b'"'):
        plain = _OPENED + plain[1:]
    tagged = plain.replace(b',"', b"," + _OPENED).replace(b'\n"', b"\n" + _OPENED)
    tagged = tagged.replace(b'",', _CLOSED + b",").replace(b'"\n', _CLOSED + b"\n")
    blank_alone = _OPENED + _CLOSED + b"\n"
    if b'"' in tagged or tagged.startswith(blank_alone) or b"\n" + blank_alone in tagged:
        return None
    # Of a value without separators nothing but its two marks is left.
    left = tagged.translate(None, _NO_SEPARATOR_OR_MARK).replace(_OPENED + _CLOSED, b"")
    if _OPENED in left or _CLOSED in left:
        return None
    return tagged.translate(None, _OPENED + _CLOSED)


def _without_marks(rows: bytes, is_one_column: bool) -> bytes:
    """Split at the marks, every other part lies between two of them, and so inside a quoted value."""
    parts = rows.split(b'"')
    if len(parts) % 2 == 0:
        raise NotATableError
    outside, inside = parts[::2], parts[1::2]
    # Nothing between a mark that closes and one that opens: the two stand for one mark in the cell.
    outside[1:-1] = [text or _MARK_IN_CELL for text in outside[1:-1]]
    around = _without_returns(b'"'.join(outside))
    opened = sum(around.count(before + b'"') for before in (b",", b"\n", _MARK_IN_CELL)) + around.startswith(b'"')
    closed = sum(around.count(b'"' + after) for after in (b",", b"\n", _MARK_IN_CELL))
    if opened != len(inside) or closed != len(inside):
        raise NotATableError
    if not is_one_column and (b'\n"\n' in around or around.startswith(b'"\n')):
        # One value where there should be several; without its marks a blank one would pass for a blank line.
        raise NotATableError
    values = b'"'.join(inside).translate(_CELL_BYTES).split(b'"')
    parts[::2] = around.split(b'"')
    parts[1::2] = [value or _BLANK_CELL for value in values] if is_one_column else values
    return b"".join(parts)


def _checked(rows: bytes, commas: int) -> bytes:
    """The rows without blank lines, all of them as wide as the header."""
    if commas and _are_regular(rows, commas):
        return rows
    rows = b"".join(line + b"\n" for line in rows.split(b"\n") if line)
    if not _are_regular(rows, commas):
        raise NotATableError
    return rows


def _are_regular(rows: bytes, commas: int) -> bool:
    separators = rows.translate(None, _NO_SEPARATOR)
    row = b"," * commas + b"\n"
    return separators == row * (len(separators) // len(row))


def _sorted(rows: bytes) -> bytes:
    lines = rows.split(b"\n")
    # After the last line feed comes nothing, which would sort first.
    nothing = lines.pop()
    lines.sort()
    lines.append(nothing)
    return b"\n".join(lines)


def _first_row(run: bytes) -> bytes:
    return run[: run.index(b"\n")]


def _last_row(run: bytes) -> bytes:
    return run[run.rfind(b"\n", 0, -1) + 1 : -1]


def _pivots(runs: list[bytes]) -> list[bytes]:
    """Rows to cut the runs at, so that about as much lies between two cuts as in a run."""
    samples = sorted(_row_at(run, len(run) * number // _SAMPLES)[1] for run in runs for number in range(_SAMPLES))
    return samples[_SAMPLES::_SAMPLES]


def _row_at(run: bytes, offset: int) -> tuple[int, bytes]:
    """Where the row that covers an offset starts, and the row without its line feed."""
    start = run.rfind(b"\n", 0, offset) + 1
    return start, run[start : run.index(b"\n", offset)]


def _offset_of(pivot: bytes, run: bytes, start: int) -> int:
    """Where the first row from ``start`` on begins that is not before ``pivot``, by bisection."""
    end = len(run)
    while start < end:
        row_start, row = _row_at(run, (start + end) // 2)
        if row < pivot:
            start = row_start + len(row) + 1
        else:
            end = row_start
    return start
