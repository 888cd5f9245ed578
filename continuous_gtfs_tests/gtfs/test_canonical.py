from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.canonical import NotATableError, canonical_blocks, canonical_text, sorted_blocks
from continuous_gtfs.gtfs.raw_table import RawTable

Rows = list[tuple[str, ...]]

CELLS = st.text(alphabet=' a,"\n\ré0', max_size=4)
HIDDEN = bytes.maketrans(b"\xfc\xfd\xfb\xfe", b',\n\r"')


def pieces(data: bytes, length: int) -> Iterator[bytes]:
    return (data[offset : offset + length] for offset in range(0, len(data), length))


def canonical(data: bytes, *, piece: int = 1 << 20, block_bytes: int = 1 << 20) -> bytes | None:
    try:
        return b"".join(canonical_blocks(pieces(data, piece), block_bytes=block_bytes))
    except NotATableError:
        return None


def rows_of(form: bytes) -> Rows:
    """What a canonical form says, the header first."""
    lines = form.split(b"\n")[:-1]
    return [tuple(c.replace(b"\xfa", b"").translate(HIDDEN).decode() for c in line.split(b",")) for line in lines]


def rows_that_the_feed_reads(data: bytes) -> Rows | None:
    try:
        table = RawTable.parse(data, "stops.txt")
        return [table.columns, *(tuple(row.values()) for row in table.records(np.arange(len(table))))]
    except FeedStructureError:
        return None


@given(st.text(alphabet=',,""\n\n\r aé\u00a0', max_size=40))
def test_the_form_says_what_the_feed_reads_and_is_refused_where_the_feed_refuses(body: str) -> None:
    data = f"h,i\n{body}".encode()
    form = canonical(data)
    assert (None if form is None else rows_of(form)) == rows_that_the_feed_reads(data)


@given(st.text(alphabet='""\n\n\r a', max_size=20))
def test_in_one_column_a_blank_cell_is_a_row_and_a_blank_line_is_none(body: str) -> None:
    data = f"h\n{body}".encode()
    form = canonical(data)
    assert (None if form is None else rows_of(form)) == rows_that_the_feed_reads(data)


def written(rows: Rows, style: st.DataObject) -> bytes:
    """The rows as CSV, in one of the ways that say the same."""

    def cell(value: str) -> str:
        needs_marks = any(character in value for character in ',"\r\n')
        return '"' + value.replace('"', '""') + '"' if needs_marks or style.draw(st.booleans()) else value

    ends = st.sampled_from(["\n", "\r\n", "\n\n"])
    text = "".join(",".join(map(cell, row)) + style.draw(ends) for row in rows)
    if style.draw(st.booleans()):
        text = text[: -1 - text.endswith("\r\n")]
    return (style.draw(st.sampled_from(["", "\ufeff"])) + text).encode()


@given(st.lists(st.tuples(CELLS, CELLS), max_size=6), st.data())
def test_two_ways_to_write_the_same_cells_have_one_form(rows: Rows, style: st.DataObject) -> None:
    table = [("h", "i"), *rows]
    one, other = canonical(written(table, style)), canonical(written(table, style))
    assert one == other
    assert one is not None
    assert rows_of(one) == table


@given(st.text(alphabet=',"\n\r a\ufeff', max_size=30), st.integers(1, 12), st.integers(1, 12))
def test_the_form_does_not_depend_on_the_pieces_the_bytes_come_in(text: str, piece: int, block_bytes: int) -> None:
    data = text.encode()
    assert canonical(data, piece=piece, block_bytes=block_bytes) == canonical(data)


@given(st.lists(st.lists(st.binary(max_size=3).map(lambda row: row.replace(b"\n", b"x")), max_size=8), max_size=8))
def test_blocks_of_rows_come_out_sorted_and_whole(blocks: list[list[bytes]]) -> None:
    joined = [b"".join(row + b"\n" for row in rows) for rows in blocks]
    every = sorted(row for rows in blocks for row in rows)
    assert b"".join(sorted_blocks(joined)) == b"".join(row + b"\n" for row in every)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\nh,i\na,b\n",
        b"h,i\na\n",
        b"h,i\na,b,c\n",
        b'h,i\na,b"c\n',
        b'h,i\n"a"b,c\n',
        b'h,i\n"a,b\n',
        b'h,i\n"a""",""b"\n',
        b"h,i\na,\xe9\n",
        b"h,i\na,\xfe\n",
        b"h,i\na,\0\n",
        b"h,i\ra,b\r",
        b"h,i\na\rb,c\n",
        b"h,i\r\r\na,b\r\n",
        "h,i\na,b\n".encode("utf-16"),
    ],
)
def test_what_readers_read_in_different_ways_has_no_form(data: bytes) -> None:
    assert canonical(data) is None


def test_of_a_row_without_end_no_more_is_held_than_any_table_needs() -> None:
    piece, taken = b"x" * (1 << 20), 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        yield b"a,b\n1,"
        while True:
            taken += 1
            yield piece

    with pytest.raises(NotATableError):
        list(canonical_blocks(chunks()))
    assert taken < 20


def test_many_lines_after_a_mark_that_is_never_closed_take_no_longer_than_others() -> None:
    # Counting the marks from the start at each line end would take hours here.
    assert canonical(b'"h,i\n' + b"a,b\n" * 200_000) is None


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b"\xef\xbb\xbf", b"\xef", b""]), max_size=12))
def test_the_form_of_text_does_not_depend_on_the_pieces_it_comes_in(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    assert b"".join(canonical_text(chunks)) == whole.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
