"""CSV members as tables of text and back.

Nothing is coerced: ``""`` stays blank and ``"007"`` stays ``"007"``.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.csv_checks import (
    check_text,
    has_quoted_line_ends,
    raise_if_ragged,
    read_header,
    without_bom,
)

TEXT = pd.StringDtype("pyarrow")
_NOT_A_LINE_END = re.compile(rb"[^\r\n]")
_NEEDS_QUOTES = re.compile(r'[",\r\n]')
_BLOCK_BYTES = 4 << 20
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
    check_text(data, file)
    body = without_bom(data)
    quoted_line_ends = has_quoted_line_ends(body, file)
    columns, start = read_header(body, file)
    if _NOT_A_LINE_END.search(body, start) is None:
        return pd.DataFrame({name: pd.Series([], dtype=TEXT) for name in columns})
    try:
        table = _read_arrow(body, columns, start, quoted_line_ends, _BLOCK_BYTES)
    except pa.ArrowInvalid:
        raise_if_ragged(body, columns, start, file)
        # Not ragged: a row longer than a block of the parser.
        try:
            table = _read_arrow(body, columns, start, quoted_line_ends, len(body) + 1)
        except pa.ArrowInvalid as error:
            raise FeedStructureError(f"{file} cannot be parsed as CSV: {error}") from None
    # to_pandas() makes NumPy objects of text; wrapping each column keeps the Arrow memory as it is.
    return pd.DataFrame({name: pd.array(table.column(i), dtype=TEXT) for i, name in enumerate(columns)}, copy=False)


def _read_arrow(
    data: bytes, columns: tuple[str, ...], start: int, quoted_line_ends: bool, block_bytes: int
) -> pa.Table:
    # From the line end before the first row, which reads as a blank line: the parser takes a byte order mark off
    # whatever it is handed, and a value may begin with one.
    return pyarrow.csv.read_csv(
        pa.BufferReader(pa.py_buffer(data).slice(start - 1)),
        read_options=pyarrow.csv.ReadOptions(column_names=list(columns), block_size=block_bytes),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=quoted_line_ends),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.large_string()),
            strings_can_be_null=False,
            check_utf8=False,  # check_text has, and says where.
        ),
    )


def write_table(frame: pd.DataFrame) -> bytes:
    """The CSV bytes of a table of text: header, LF, quotation marks only where a value needs them."""
    header = ",".join(_quoted(str(name)) for name in frame.columns) + "\n"
    if frame.empty:
        return header.encode()
    cells = [_quoted_cells(frame.iloc[:, i]) for i in range(frame.shape[1])]
    if len(cells) == 1:
        # An empty line would be read as no row at all.
        cells[0] = pc.if_else(pc.equal(cells[0], _BLANK), _QUOTED_BLANK, cells[0])
    lines = pc.binary_join_element_wise(*cells, _COMMA) if len(cells) > 1 else cells[0]
    lines = pc.binary_join_element_wise(lines, _BLANK, _LINE_END)
    return b"".join([header.encode(), *(_text_of(chunk) for chunk in lines.chunks)])


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
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError(f"{file}: column names must be text, each once: {names}")
    columns = {name: _as_text_column(frame[name], f"{file} column {name}") for name in names}
    return pd.DataFrame(columns, copy=False).reset_index(drop=True)


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
