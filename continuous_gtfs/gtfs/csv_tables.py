"""CSV members as tables of text and back.

Nothing is coerced: ``""`` stays blank and ``"007"`` stays ``"007"``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from continuous_gtfs.gtfs.raw_table import RawTable
from continuous_gtfs.pipeline.results import SAMPLE_SIZE, RowChanges

TEXT = pd.StringDtype("pyarrow")
_UNIT = "\x1f"
_NEEDS_QUOTES = re.compile(r'[",\r\n]')
# Arrow's text functions take one type only, and a plain str is the other one.
_BLANK, _COMMA, _LINE_END, _QUOTE, _QUOTED_BLANK = (
    pa.scalar(text, pa.large_string()) for text in ("", ",", "\n", '"', '""')
)


def parse_table(data: bytes, file: str) -> pd.DataFrame:
    """The rows of a CSV member, every column Arrow-backed text, columns in the order of the file.

    Blank lines are no rows. A byte order mark and spaces around column names are taken off; values keep
    every space.

    Raises:
        FeedStructureError: Names file, line and column of the first defect, see ``csv_checks``.
    """
    return frame_of(RawTable.parse(data, file))


def frame_of(table: RawTable) -> pd.DataFrame:
    """A table as a frame of Arrow-backed text."""
    arrow = table.arrow()
    # to_pandas() makes NumPy objects of text; wrapping each column keeps the Arrow memory as it is.
    columns = {name: pd.array(arrow.column(i), dtype=TEXT) for i, name in enumerate(table.columns)}
    return pd.DataFrame(columns, copy=False)


def write_table(frame: pd.DataFrame, *, header: Sequence[str] | None = None) -> bytes:
    """The CSV bytes of a table of text: header, LF, quotation marks only where a value needs them.

    Args:
        header: The names to write, where they are to be others than those of the columns (with padding, say).
    """
    first = (",".join(_quoted(str(name)) for name in header or frame.columns) + "\n").encode()
    if frame.empty:
        return first
    cells = [_quoted_cells(frame.iloc[:, i]) for i in range(frame.shape[1])]
    if len(cells) == 1:
        # An empty line would be read as no row at all.
        cells[0] = pc.if_else(pc.equal(cells[0], _BLANK), _QUOTED_BLANK, cells[0])
    lines = pc.binary_join_element_wise(*cells, _COMMA) if len(cells) > 1 else cells[0]
    lines = pc.binary_join_element_wise(lines, _BLANK, _LINE_END)
    return b"".join([first, *(_text_of(chunk) for chunk in lines.chunks)])


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if _NEEDS_QUOTES.search(value) or value == "" else value


def _quoted_cells(column: pd.Series) -> pa.ChunkedArray:
    cells = pa.chunked_array(pa.array(column.array, type=pa.large_string()))
    needed = pc.match_substring_regex(cells, _NEEDS_QUOTES.pattern)
    if not pc.any(needed).as_py():
        return cells
    escaped = pc.replace_substring(cells, '"', '""')
    return pc.if_else(needed, pc.binary_join_element_wise(_QUOTE, escaped, _QUOTE, _BLANK), cells)


def _text_of(chunk: pa.LargeStringArray) -> bytes:
    """All values of an array end to end: they lie so in its memory."""
    _, offsets, values = chunk.buffers()
    if values is None:
        return b""
    bounds = np.frombuffer(offsets, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    return bytes(values.slice(int(bounds[0]), int(bounds[-1] - bounds[0])))


def as_text(frame: pd.DataFrame, file: str) -> pd.DataFrame:
    """A copy of ``frame`` with every column as text, missing values blank, rows numbered from 0.

    Whole numbers become their digits. A float or a date is refused: which text it stands for is the
    author's choice, and 47.60 must not become 47.6 unseen.

    Raises:
        TypeError: A column holds something other than text or whole numbers.
        ValueError: A column's name is no text or comes twice.
    """
    names = list(frame.columns)
    if (
        not names
        or not all(isinstance(name, str) for name in names)
        or len({name.strip() for name in names}) < len(names)
    ):
        raise ValueError(f"{file}: column names must be text, each once: {names}")
    columns = {name: _as_text_column(frame[name], f"{file} column {name}") for name in names}
    for name, column in columns.items():
        if column.str.contains("\0", regex=False).any():
            raise ValueError(f"{file} column {name} has a value with a NUL in it")
    return pd.DataFrame(columns, copy=False).reset_index(drop=True)


def row_changes(before: pd.DataFrame, after: pd.DataFrame, primary_key: Sequence[str] | None) -> RowChanges:
    """Which rows a table lost and gained, told by their primary key, or by all they hold where none is known.

    A row that keeps its key and not its other cells was changed.
    """
    shared = [name for name in before.columns if name in after.columns]
    own = shared if primary_key is None else [name for name in primary_key if name in shared]
    lost = _counts(before, own).sub(_counts(after, own), fill_value=0)
    removed = lost[lost > 0]
    gone = _counts(before, shared).sub(_counts(after, shared), fill_value=0)
    return RowChanges(
        removed=int(removed.sum()),
        added=int(-lost[lost < 0].sum()),
        changed=int(gone[gone > 0].sum() - removed.sum()),
        removed_sample=tuple(str(name).replace(_UNIT, " ").strip() for name in removed.index[:SAMPLE_SIZE]),
    )


def _counts(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    names = pd.Series("", index=frame.index, dtype=TEXT)
    for column in columns:
        names = names + frame[column].str.strip() + _UNIT
    return names.value_counts(sort=False).astype("int64")


def _as_text_column(column: pd.Series, place: str) -> pd.Series:
    if column.dtype == TEXT:
        return column.fillna("")
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.astype(TEXT).fillna("")
    present = column.dropna()
    if not all(isinstance(value, str) for value in present):
        kind = type(next(value for value in present if not isinstance(value, str))).__name__
        raise TypeError(f"{place} holds a {kind}; write it as text, in the form that the file should have")
    return column.astype(TEXT).fillna("")
