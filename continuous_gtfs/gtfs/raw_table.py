"""RawTable: rows of a CSV member, from which rows and cells are taken without rewriting what stays.

Here: keys of columns, and tables derived by dropping rows, replacing cells, adding rows and columns. Not here: pandas
(``csv_tables``), finding the rows (``csv_text``), copying them (``splicing``), and what a rule means (``builtin``).

What no one asked to change keeps its bytes: quotation marks, padding, line ends, byte order mark. A column is decoded
when it is asked for, and dropping rows decodes none but those that decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from continuous_gtfs.gtfs.csv_checks import BOM, csv_rows
from continuous_gtfs.gtfs.csv_text import SCAN_BYTES, CsvText, Positions
from continuous_gtfs.gtfs.keys import Keys, Mask
from continuous_gtfs.gtfs.splicing import Cells, Splice, at_line_ends, copy_rows, copy_rows_spliced

Value = str | Sequence[str]

_NEEDS_QUOTES = re.compile(r'[",\r\n]')
_BLOCK_ROWS = 1 << 17


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
        return table if self._rows is None else table.take(pa.array(self._rows))

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the table, a piece at a time."""
        yield self._text.header
        data, starts = self._text.data, self._text.starts()
        if self._rows is None:
            for offset in range(self._text.body_start, len(data), SCAN_BYTES):
                yield bytes(data[offset : offset + SCAN_BYTES])
            return
        for _, rows in self._blocks():
            yield copy_rows(data, starts, rows)

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
        return tuple(csv_rows(line)[0])

    def records(self, rows: npt.NDArray[np.intp]) -> list[dict[str, str]]:
        """A few rows, cell by cell, nothing trimmed."""
        if not len(rows):
            return []
        chosen = rows if self._rows is None else self._rows[rows]
        lines = copy_rows(self._text.data, self._text.starts(), chosen)
        return [dict(zip(self.columns, cells, strict=True)) for cells in csv_rows(lines.decode()) if cells]

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
        new = [_encoded(value, count, mark) for _, value in ordered]
        splice = Cells(len(self.columns), [position for position, _ in ordered])
        data = b"".join([self._text.header, *self._spliced(changed, splice, new)])
        return self._derived(data, {name: keys for name, keys in self._keys.items() if name not in values})

    def with_column(self, name: str, value: Value) -> RawTable:
        """The table with one more column at the end: one value for all rows, or one for each.

        Raises:
            ValueError: There is such a column.
        """
        if name in self.columns:
            raise ValueError(f"{self.file} has a column {name} already")
        header = self._text.header.rstrip(b"\r\n") + b"," + quoted(name).encode() + self._text.line_end
        added = _encoded(value, len(self), lambda cell: "," + quoted(cell))
        every = np.ones(len(self), dtype=bool)
        return self._derived(b"".join([header, *self._spliced(every, at_line_ends, [added])]), self._keys)

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

    def _blocks(self) -> Iterator[tuple[int, Positions]]:
        """The rows of the table by their numbers in the text, some at a time, with the number of the first."""
        for first in range(0, len(self), _BLOCK_ROWS):
            if self._rows is None:
                yield first, np.arange(first, min(first + _BLOCK_ROWS, len(self)), dtype=np.int64)
            else:
                yield first, self._rows[first : first + _BLOCK_ROWS]

    def _spliced(self, changed: Mask, splice: Splice, new: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
        data, starts = self._text.data, self._text.starts()
        done = 0
        for first, rows in self._blocks():
            touched = changed[first : first + len(rows)]
            count = int(touched.sum())
            if count:
                yield copy_rows_spliced(
                    data, starts, rows, touched, splice, [cells[done : done + count] for cells in new]
                )
                done += count
            else:
                yield copy_rows(data, starts, rows)


def quoted(value: str) -> str:
    """A cell as it is written: in quotation marks only where it needs them."""
    return '"' + value.replace('"', '""') + '"' if _NEEDS_QUOTES.search(value) else value


def _quoted_alone(value: str) -> str:
    """The one cell of a row: a blank is marked, since an empty line is no row."""
    return quoted(value) if value else '""'


def line_of(cells: Sequence[str]) -> str:
    """A row as it is written, without a line end."""
    return ",".join(map(quoted, cells)) if len(cells) > 1 else _quoted_alone(cells[0])


def _encoded(value: Value, count: int, form: Callable[[str], str]) -> list[bytes]:
    """The cells of ``count`` rows as they are written."""
    if isinstance(value, str):
        return [form(value).encode()] * count
    if len(value) != count:
        raise ValueError(f"{len(value)} values for {count} rows; give one for each row that is set")
    return [form(cell).encode() for cell in value]
