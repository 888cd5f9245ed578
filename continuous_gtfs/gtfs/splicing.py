"""Copying rows of a text, and replacing pieces of them, by offsets: the bytes around stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from continuous_gtfs.gtfs.csv_text import Positions

Bytes = npt.NDArray[np.uint8]
Splice = Callable[[Bytes, npt.NDArray[np.bool_], Positions], npt.NDArray[np.int64]]
"""Says where the pieces to replace are: of a text, whether each byte is quoted, and where its lines start, it makes an
array of lines by 2 * pieces, the bounds of the pieces in ascending order."""

_QUOTE, _COMMA, _LF, _CR = b'",\n\r'


def copy_rows(data: bytes | bytearray, starts: Positions, rows: Positions) -> bytes:
    """The bytes of these rows, in this order; rows that follow each other are copied at once."""
    if not len(rows):
        return b""
    view = memoryview(data)
    breaks = np.flatnonzero(np.diff(rows) != 1)
    first = rows[np.append(0, breaks + 1)]
    last = rows[np.append(breaks, len(rows) - 1)]
    return b"".join(
        [view[start:end] for start, end in zip(starts[first].tolist(), starts[last + 1].tolist(), strict=True)]
    )


def copy_rows_spliced(
    data: bytes | bytearray,
    starts: Positions,
    rows: Positions,
    touched: npt.NDArray[np.bool_],
    splice: Splice,
    new: Sequence[Sequence[bytes]],
) -> bytes:
    """The bytes of these rows, with pieces of those that are touched replaced.

    Args:
        new: For each piece what takes its place in each touched row, as it is to be written.
    """
    chosen = rows[touched]
    text = copy_rows(data, starts, chosen)
    lengths = starts[chosen + 1] - starts[chosen]
    text_starts = np.append(0, np.cumsum(lengths))
    view = np.frombuffer(text, dtype=np.uint8)
    # Whether a byte lies in a quoted value: an odd number of marks before it. Overflow keeps a number odd or even.
    is_quoted = (np.cumsum(view == _QUOTE, dtype=np.uint8) & 1).astype(bool)
    cuts = np.column_stack([text_starts[:-1], splice(view, is_quoted, text_starts), text_starts[1:]])
    source = memoryview(data)
    lines: list[bytes | memoryview] = [
        source[start:end] for start, end in zip(starts[rows].tolist(), starts[rows + 1].tolist(), strict=True)
    ]
    for position, cut, values in zip(
        np.flatnonzero(touched).tolist(), cuts.tolist(), zip(*new, strict=True), strict=True
    ):
        pieces = [text[cut[0] : cut[1]]]
        for number, value in enumerate(values):
            pieces += (value, text[cut[2 * number + 2] : cut[2 * number + 3]])
        lines[position] = b"".join(pieces)
    return b"".join(lines)


class Cells:
    """The splice that replaces the cells of some columns.

    Args:
        width: Columns of the table.
        positions: Which of them, ascending.
    """

    def __init__(self, width: int, positions: Sequence[int]) -> None:
        self._width = width
        self._positions = positions

    def __call__(self, view: Bytes, is_quoted: npt.NDArray[np.bool_], starts: Positions) -> npt.NDArray[np.int64]:
        commas = np.flatnonzero((view == _COMMA) & ~is_quoted).reshape(len(starts) - 1, self._width - 1)
        edges = np.column_stack([starts[:-1] - 1, commas, _line_ends(view, is_quoted, starts)])
        bounds = [(edges[:, position] + 1, edges[:, position + 1]) for position in self._positions]
        return np.column_stack([bound for pair in bounds for bound in pair])


def at_line_ends(view: Bytes, is_quoted: npt.NDArray[np.bool_], starts: Positions) -> npt.NDArray[np.int64]:
    """The splice that adds to the end of each line."""
    ends = _line_ends(view, is_quoted, starts)
    return np.column_stack([ends, ends])


def _line_ends(view: Bytes, is_quoted: npt.NDArray[np.bool_], starts: Positions) -> Positions:
    """For each line the offset at which its line end begins."""
    feeds = np.flatnonzero((view == _LF) & ~is_quoted)
    ends: Positions = feeds[np.searchsorted(feeds, starts[:-1])]
    ends -= view[ends - 1] == _CR
    return ends
