"""CsvText: the bytes of a CSV member, checked, with its header taken apart and its rows and columns found when needed.

Here: which bytes a row is, and columns decoded to keys. Not here: what is wrong with the bytes (``csv_checks``), and
tables made of some of the rows (``raw_table``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.arrow import numbers_of, texts_of
from continuous_gtfs.gtfs.csv_checks import (
    BOM,
    check_text,
    has_quoted_line_ends,
    raise_if_ragged,
    read_header,
)
from continuous_gtfs.gtfs.keys import PADDING, Keys

Positions = npt.NDArray[np.int64]

_NOT_A_LINE_END = re.compile(rb"[^\r\n]")
_PARSER_BLOCK_BYTES = 1 << 20
SCAN_BYTES = 16 << 20
_QUOTE, _LF, _CR = b'"\n\r'


class CsvText:
    """The bytes of a member, checked, with its header taken apart and its rows found when they are needed."""

    def __init__(self, data: bytes | bytearray, file: str) -> None:
        """Check the bytes; that no row is ragged is found when the first column is read.

        Raises:
            FeedStructureError: See ``csv_checks``.
        """
        check_text(data, file)
        bom = len(BOM) if data.startswith(BOM) else 0
        self.file = file
        self.has_quoted_line_ends = has_quoted_line_ends(data, file, start=bom)
        self.columns, self.body_start = read_header(data, file, start=bom)
        self.has_crlf = data[bom : self.body_start].endswith(b"\r\n")
        if not data.endswith(b"\n"):
            data += self.line_end
            self.body_start = self.body_start if data[bom : self.body_start].endswith(b"\n") else len(data)
        self.data = data
        self._starts: Positions | None = None
        self._is_checked = False
        self._keys: dict[str, Keys] = {}

    @property
    def line_end(self) -> bytes:
        return b"\r\n" if self.has_crlf else b"\n"

    @property
    def header(self) -> bytes:
        """The header line as it came, byte order mark and line end included."""
        return bytes(self.data[: self.body_start])

    @property
    def is_empty(self) -> bool:
        return _NOT_A_LINE_END.search(self.data, self.body_start) is None

    def starts(self) -> Positions:
        """Offsets of the rows in ``data``, and of the end: n + 1 of them. A blank line belongs to the row before it."""
        if self._starts is None:
            self.check()
            self._starts = _row_starts(self.data, self.body_start, self.has_quoted_line_ends)
        return self._starts

    def check(self) -> None:
        """Make sure that every row has as many cells as the header.

        Raises:
            FeedStructureError: Names the first row that has not.
        """
        if not self._is_checked:
            self.keys(self.columns[0])

    def keys(self, column: str) -> Keys:
        """One column, blanks trimmed off the values."""
        if column not in self._keys:
            self.load([column])
        return self._keys[column]

    def load(self, columns: Iterable[str]) -> None:
        """Decode several columns in one pass over the bytes."""
        wanted = [name for name in dict.fromkeys(columns) if name not in self._keys]
        if not wanted:
            return
        if self.is_empty:
            found = {name: Keys(np.empty(0, dtype=np.int32), ()) for name in wanted}
        else:
            kind = pa.dictionary(pa.int32(), pa.string())
            table = self._read(wanted, kind)
            found = {name: _keys_of(table.column(i)) for i, name in enumerate(wanted)}
        self._keys.update(found)
        self._is_checked = True

    def arrow(self) -> pa.Table:
        """Every column as ``large_string``, nothing trimmed."""
        if self.is_empty:
            return pa.schema([(name, pa.large_string()) for name in self.columns]).empty_table()
        table = self._read(self.columns, pa.large_string())
        self._is_checked = True
        return table

    def _read(self, wanted: Sequence[str], kind: pa.DataType) -> pa.Table:
        try:
            return self._read_blocks(wanted, kind, _PARSER_BLOCK_BYTES)
        except pa.ArrowInvalid:
            raise_if_ragged(self.data, self.columns, self.body_start, self.file)
            # Not ragged: a row longer than a block of the parser.
            try:
                return self._read_blocks(wanted, kind, len(self.data) + 1)
            except pa.ArrowInvalid as error:
                raise FeedStructureError(f"{self.file} cannot be parsed as CSV: {error}") from None

    def _read_blocks(self, wanted: Sequence[str], kind: pa.DataType, block_bytes: int) -> pa.Table:
        # From the line end before the first row, which reads as a blank line: the parser takes a byte order mark off
        # whatever it is handed, and a value may begin with one.
        return pyarrow.csv.read_csv(
            pa.BufferReader(pa.py_buffer(self.data).slice(self.body_start - 1)),
            read_options=pyarrow.csv.ReadOptions(
                column_names=list(self.columns),
                block_size=block_bytes,
                # With threads every block is parsed before the first is converted: a second copy of the file.
                use_threads=False,
            ),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=self.has_quoted_line_ends),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, kind),
                include_columns=list(wanted),
                strings_can_be_null=False,
                check_utf8=False,  # check_text has, and says where.
            ),
        )


def _keys_of(column: pa.ChunkedArray) -> Keys:
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0)
    values = texts_of(whole.dictionary)
    codes = numbers_of(whole.indices)
    trimmed = [value.strip(PADDING) for value in values]
    if trimmed == values:
        return Keys(codes, tuple(values))
    positions: dict[str, int] = {}
    merged = np.array([positions.setdefault(value, len(positions)) for value in trimmed], dtype=np.int32)
    return Keys(merged[codes], tuple(positions))


def _row_starts(data: bytes | bytearray, body_start: int, has_quoted_line_ends: bool) -> Positions:
    view = np.frombuffer(data, dtype=np.uint8)
    found = [np.array([body_start], dtype=np.int64)]
    is_open = 0
    for offset in range(body_start, len(data), SCAN_BYTES):
        piece = view[offset : offset + SCAN_BYTES]
        ends = np.flatnonzero(piece == _LF)
        if has_quoted_line_ends:
            marks = np.flatnonzero(piece == _QUOTE)
            ends = ends[(np.searchsorted(marks, ends) + is_open) % 2 == 0]
            is_open = (is_open + len(marks)) % 2
        found.append(ends + (offset + 1))
    bounds = np.concatenate(found)
    is_blank = np.diff(bounds) <= 2
    if is_blank.any():
        lengths, first = np.diff(bounds), view[np.minimum(bounds[:-1], len(data) - 1)]
        is_blank = (lengths == 1) | ((lengths == 2) & (first == _CR))
        keep = ~is_blank
        bounds = np.append(bounds[:-1][keep], len(data))
    return bounds
