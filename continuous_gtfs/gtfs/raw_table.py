"""RawTable: a CSV member as text cut into rows, from which rows and cells are taken without rewriting what stays.

Here: which bytes a row and a cell are, keys of columns, and tables derived by dropping rows, replacing cells, adding
rows and columns. Not here: pandas (``csv_tables``), what is wrong with the bytes (``csv_checks``), and what a rule
means (``steps``).

What no one asked to change keeps its bytes: quotation marks, padding, line ends, byte order mark. A column is decoded
when it is asked for, and dropping rows decodes none but those that decide.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.arrow import (
    binary_array,
    index_array,
    mask_array,
    numbers_of,
    offsets_of,
    text_array,
    texts_of,
)
from continuous_gtfs.gtfs.csv_checks import (
    BOM,
    check_text,
    has_quoted_line_ends,
    raise_if_ragged,
    read_header,
)
from continuous_gtfs.gtfs.keys import PADDING, Keys, Mask

Positions = npt.NDArray[np.int64]
Value = str | Sequence[str]
_Splice = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.bool_], Positions], npt.NDArray[np.int64]]

_NOT_A_LINE_END = re.compile(rb"[^\r\n]")
_NEEDS_QUOTES = re.compile(r'[",\r\n]')
_PARSER_BLOCK_BYTES = 4 << 20
_SCAN_BYTES = 16 << 20
_BLOCK_ROWS = 1 << 17
_QUOTE, _COMMA, _LF, _CR = b'",\n\r'


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
            return pa.table({name: text_array([]).cast(pa.large_string()) for name in self.columns})
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


class RawTable:
    """Rows of a ``CsvText``: all of them, or those left. Immutable; what changes it gives another.

    Row numbers and masks count the rows of this table, from 0.
    """

    def __init__(self, text: CsvText, rows: Positions | None = None, keys: Mapping[str, Keys] | None = None) -> None:
        self._text = text
        self._rows = rows
        self._keys = dict(keys or {})

    @classmethod
    def parse(cls, data: bytes | bytearray, file: str) -> Self:
        """The table in ``data``.

        Raises:
            FeedStructureError: Names file, line and column of the first defect, see ``csv_checks``.
        """
        return cls(CsvText(data, file))

    @property
    def file(self) -> str:
        return self._text.file

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names without the spaces around them, in the order of the file."""
        return self._text.columns

    def __len__(self) -> int:
        return len(self._text.starts()) - 1 if self._rows is None else len(self._rows)

    def load(self, columns: Iterable[str]) -> None:
        """Decode several columns at once: one pass over the bytes instead of one a column."""
        self._text.load(name for name in columns if name not in self._keys)

    def keys(self, column: str) -> Keys:
        """One column.

        Raises:
            KeyError: There is no such column.
        """
        if column not in self.columns:
            raise KeyError(column)
        if column not in self._keys:
            keys = self._text.keys(column)
            self._keys[column] = keys if self._rows is None else keys.at(self._rows)
        return self._keys[column]

    def arrow(self) -> pa.Table:
        """Every column as ``large_string``, nothing trimmed."""
        table = self._text.arrow()
        return table if self._rows is None else table.take(index_array(self._rows))

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the table, a piece at a time."""
        yield self._text.header
        data, starts = self._text.data, self._text.starts()
        if self._rows is None:
            for offset in range(self._text.body_start, len(data), _SCAN_BYTES):
                yield bytes(data[offset : offset + _SCAN_BYTES])
            return
        for first in range(0, len(self._rows), _BLOCK_ROWS):
            rows = self._rows[first : first + _BLOCK_ROWS]
            if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
                yield bytes(data[starts[rows[0]] : starts[rows[-1] + 1]])
            else:
                yield _text_of(binary_array(starts, data).take(index_array(rows)))

    def to_bytes(self) -> bytes:
        return b"".join(self.chunks())

    def without(self, dropped: Mask) -> RawTable:
        """The table less the rows of the mask."""
        kept = np.flatnonzero(~dropped)
        rows = kept if self._rows is None else self._rows[kept]
        return RawTable(self._text, rows, {name: keys.at(kept) for name, keys in self._keys.items()})

    def in_order(self, order: npt.NDArray[np.intp]) -> RawTable:
        """The table with its rows in another order, each once."""
        rows = order if self._rows is None else self._rows[order]
        return RawTable(self._text, rows, {name: keys.at(order) for name, keys in self._keys.items()})

    @property
    def padded_columns(self) -> tuple[str, ...]:
        """Column names with the spaces around them that the file has."""
        line = self._text.header.removeprefix(BOM).decode().rstrip("\r\n")
        return tuple(next(csv.reader(io.StringIO(line, newline=""))))

    def records(self, rows: npt.NDArray[np.intp]) -> list[dict[str, str]]:
        """A few rows, cell by cell, nothing trimmed."""
        if not len(rows):
            return []
        chosen = rows if self._rows is None else self._rows[rows]
        lines = _text_of(binary_array(self._text.starts(), self._text.data).take(index_array(chosen)))
        records = csv.reader(io.StringIO(lines.decode(), newline=""))
        return [dict(zip(self.columns, cells, strict=True)) for cells in records if cells]

    def with_cells(self, changed: Mask, values: Mapping[str, Value]) -> RawTable:
        """The table with cells replaced in the rows of the mask; every other cell keeps its bytes.

        Args:
            values: For each column one value for all rows of the mask, or one for each of them in order.
        """
        if not changed.any():
            return self
        ordered = sorted((self.columns.index(name), value) for name, value in values.items())
        count = int(changed.sum())
        mark = quoted if len(self.columns) > 1 else _quoted_alone
        new = [[mark(cell) for cell in _repeated(value, count)] for _, value in ordered]
        splice = _Cells(len(self.columns), [position for position, _ in ordered])
        data = b"".join([self._text.header, *self._patched(changed, splice, new)])
        return self._derived(data, {name: keys for name, keys in self._keys.items() if name not in values})

    def with_column(self, name: str, value: Value) -> RawTable:
        """The table with one more column at the end: one value for all rows, or one for each.

        Raises:
            ValueError: There is such a column.
        """
        if name in self.columns:
            raise ValueError(f"{self.file} has a column {name} already")
        header = self._text.header.rstrip(b"\r\n") + b"," + quoted(name).encode() + self._text.line_end
        cells = _repeated(value, len(self))
        pieces = [header]
        for first, lines in self._blocks():
            added = ["," + quoted(cell) for cell in cells[first : first + len(lines)]]
            pieces.append(_text_of(_spliced(lines, _line_end_bounds, [added])))
        return self._derived(b"".join(pieces), self._keys)

    def with_rows(self, rows: Mapping[str, Sequence[str]]) -> RawTable:
        """The table with rows added at the end; columns that ``rows`` does not name are blank in them.

        Raises:
            KeyError: ``rows`` names a column that the table has not.
        """
        unknown = [name for name in rows if name not in self.columns]
        if unknown:
            raise KeyError(unknown[0])
        count = len(next(iter(rows.values()))) if rows else 0
        columns = [rows.get(name, [""] * count) for name in self.columns]
        end = self._text.line_end.decode()
        added = "".join(line_of(cells) + end for cells in zip(*columns, strict=True))
        return self._derived(self.to_bytes() + added.encode(), {})

    def _derived(self, data: bytes | bytearray, keys: Mapping[str, Keys]) -> RawTable:
        return RawTable(CsvText(data, self.file), None, keys)

    def _blocks(self) -> Iterator[tuple[int, pa.LargeBinaryArray]]:
        """The lines of the table, line ends included, some at a time, each with the number of its first row."""
        lines = binary_array(self._text.starts(), self._text.data)
        for first in range(0, len(self), _BLOCK_ROWS):
            if self._rows is None:
                yield first, lines.slice(first, _BLOCK_ROWS)
            else:
                yield first, lines.take(index_array(self._rows[first : first + _BLOCK_ROWS]))

    def _patched(self, changed: Mask, splice: _Splice, new: Sequence[Sequence[str]]) -> Iterator[bytes]:
        done = 0
        for first, lines in self._blocks():
            mask = changed[first : first + len(lines)]
            count = int(mask.sum())
            if not count:
                yield _text_of(lines)
                continue
            is_touched = mask_array(mask)
            patched = _spliced(lines.filter(is_touched), splice, [cells[done : done + count] for cells in new])
            yield _text_of(pc.replace_with_mask(lines, is_touched, patched))
            done += count


def quoted(value: str) -> str:
    """A cell as it is written: in quotation marks only where it needs them."""
    return '"' + value.replace('"', '""') + '"' if _NEEDS_QUOTES.search(value) else value


def _quoted_alone(value: str) -> str:
    """The one cell of a row: a blank is marked, since an empty line is no row."""
    return quoted(value) if value else '""'


def line_of(cells: Sequence[str]) -> str:
    """A row as it is written, without a line end."""
    return ",".join(map(quoted, cells)) if len(cells) > 1 else _quoted_alone(cells[0])


def _repeated(value: Value, count: int) -> Sequence[str]:
    return [value] * count if isinstance(value, str) else value


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
    for offset in range(body_start, len(data), _SCAN_BYTES):
        piece = view[offset : offset + _SCAN_BYTES]
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


def _text_of(array: pa.LargeBinaryArray) -> bytes:
    """All values of an array end to end: they lie so in its memory."""
    values = array.buffers()[2]
    if values is None or not len(array):
        return b""
    bounds = offsets_of(array)
    return bytes(values.slice(int(bounds[0]), int(bounds[-1] - bounds[0])))


def _text_ends(view: npt.NDArray[np.uint8], is_quoted: npt.NDArray[np.bool_], starts: Positions) -> Positions:
    """For each line the offset at which its line end begins."""
    feeds = np.flatnonzero((view == _LF) & ~is_quoted)
    ends: Positions = feeds[np.searchsorted(feeds, starts[:-1])]
    ends -= view[ends - 1] == _CR
    return ends


def _spliced(lines: pa.LargeBinaryArray, splice: _Splice, new: Sequence[Sequence[str]]) -> pa.LargeBinaryArray:
    """The lines with pieces of each replaced.

    Args:
        splice: Gives the bounds of the pieces of each line, ascending: an array of rows by 2 * pieces.
        new: For each piece its text in each line, as it is to be written.
    """
    data = _text_of(lines)
    starts = offsets_of(lines)
    starts = starts - starts[0]
    view = np.frombuffer(data, dtype=np.uint8)
    # Whether a byte lies in a quoted value: an odd number of marks before it. Overflow keeps a number odd or even.
    is_quoted = (np.cumsum(view == _QUOTE, dtype=np.uint8) & 1).astype(bool)
    bounds = splice(view, is_quoted, starts)
    step = bounds.shape[1] + 1
    offsets = np.append(np.column_stack([starts[:-1], bounds]).ravel(), np.int64(len(data)))
    pieces = binary_array(offsets, data)
    is_replaced = np.tile(np.arange(step) % 2 == 1, len(lines))
    values = [text for row in zip(*new, strict=True) for text in row]
    replaced = pc.replace_with_mask(pieces, mask_array(is_replaced), text_array(values))
    return binary_array(offsets_of(replaced)[::step], replaced.buffers()[2])


class _Cells:
    """Where cells are: the splice that replaces them."""

    def __init__(self, width: int, positions: Sequence[int]) -> None:
        self._width = width
        self._positions = positions

    def __call__(
        self, view: npt.NDArray[np.uint8], is_quoted: npt.NDArray[np.bool_], starts: Positions
    ) -> npt.NDArray[np.int64]:
        commas = np.flatnonzero((view == _COMMA) & ~is_quoted).reshape(len(starts) - 1, self._width - 1)
        edges = np.column_stack([starts[:-1] - 1, commas, _text_ends(view, is_quoted, starts)])
        bounds = [(edges[:, position] + 1, edges[:, position + 1]) for position in self._positions]
        return np.column_stack([bound for pair in bounds for bound in pair])


def _line_end_bounds(
    view: npt.NDArray[np.uint8], is_quoted: npt.NDArray[np.bool_], starts: Positions
) -> npt.NDArray[np.int64]:
    ends = _text_ends(view, is_quoted, starts)
    return np.column_stack([ends, ends])
