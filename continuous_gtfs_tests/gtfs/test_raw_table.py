from __future__ import annotations

import contextlib
import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.csv_tables import parse_table
from continuous_gtfs.gtfs.raw_table import RawTable, quoted

TEXT = '\ufeffa, b ,c\r\n1,"x, y",\r\n\r\n 2 ,"line\r\nend",z\r\n3,"say ""so""",q'
cells = st.text('ab,"\n\r é ', max_size=4) | st.sampled_from(["", "007", "NA"])
QUOTE = '"'
line_ends = st.sampled_from(["\n", "\r\n"])


def table(text: str = TEXT) -> RawTable:
    return RawTable.parse(text.encode(), "t.txt")


@st.composite
def written(draw: st.DrawFn) -> tuple[list[list[str]], str]:
    """Rows, and a file that holds them, quoted by chance where it need not be."""
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=6))
    end = draw(line_ends)
    mark = draw(st.booleans())
    lines = [",".join(f"c{i}" for i in range(width))]
    lines += [",".join(f'"{cell.replace(QUOTE, QUOTE * 2)}"' if mark else quoted(cell) for cell in row) for row in rows]
    # An empty line would be no row.
    text = end.join(line or '""' for line in lines)
    return rows, text + (end if draw(st.booleans()) else "")


def rows_of(data: bytes) -> list[list[str]]:
    return parse_table(data, "t.txt").to_numpy().tolist()


@given(written(), st.data())
def test_rows_that_are_left_keep_their_cells_and_their_bytes(
    file: tuple[list[list[str]], str], data: st.DataObject
) -> None:
    rows, text = file
    raw = table(text)
    assert len(raw) == len(rows)
    dropped = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    left = raw.without(dropped)
    assert rows_of(left.to_bytes()) == [row for row, gone in zip(rows, dropped, strict=True) if not gone]
    assert all(line in text.encode() + b"\r\n" for line in left.to_bytes().split(b"\n")[1:])
    assert len(left) == len(rows) - dropped.sum()


@given(written(), st.data())
def test_only_the_cells_that_were_set_are_others(file: tuple[list[list[str]], str], data: st.DataObject) -> None:
    rows, text = file
    width = len(rows[0])
    mask = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    names = data.draw(st.lists(st.sampled_from([f"c{i}" for i in range(width)]), min_size=1, unique=True))
    new = {name: data.draw(st.lists(cells, min_size=sum(mask), max_size=sum(mask))) for name in names}
    changed = table(text).with_cells(np.array(mask), new)
    expected = [list(row) for row in rows]
    for position, row in enumerate(np.flatnonzero(mask)):
        for name in names:
            expected[row][int(name[1:])] = new[name][position]
    assert rows_of(changed.to_bytes()) == expected
    for i in range(width):
        assert changed.keys(f"c{i}").texts() == [row[i].strip(" \t") for row in expected]


@given(written(), cells)
def test_a_column_is_added_to_every_row(file: tuple[list[list[str]], str], value: str) -> None:
    rows, text = file
    added = table(text).with_column("new", value)
    assert rows_of(added.to_bytes()) == [[*row, value] for row in rows]
    assert added.columns[-1] == "new"


@given(written(), st.data())
def test_rows_are_put_in_any_order_and_others_added(file: tuple[list[list[str]], str], data: st.DataObject) -> None:
    rows, text = file
    order = data.draw(st.permutations(range(len(rows))))
    more = data.draw(st.lists(st.lists(cells, min_size=len(rows[0]), max_size=len(rows[0])), max_size=3))
    raw = (
        table(text)
        .in_order(np.array(order))
        .with_rows({f"c{i}": [row[i] for row in more] for i in range(len(rows[0]))})
    )
    assert rows_of(raw.to_bytes()) == [rows[i] for i in order] + more


@given(st.lists(st.sampled_from(["a", ",", '"', "\n", "\r\n", '""', " "]), max_size=14).map("".join))
def test_rows_are_found_as_another_reader_finds_them_or_the_file_is_refused(body: str) -> None:
    text = "x,y\n" + body
    with contextlib.suppress(FeedStructureError):
        raw = table(text)
        expected = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row][1:]
        assert [list(row.values()) for row in raw.records(np.arange(len(raw)))] == expected


def test_what_no_one_changes_keeps_mark_padding_quotes_and_line_ends() -> None:
    changed = table().with_cells(np.array([False, False, True]), {"c": "new"})
    assert changed.to_bytes() == TEXT.replace("q", "new").encode() + b"\r\n"


def test_keys_are_trimmed_and_equal_where_only_padding_differs() -> None:
    keys = table("a\n x\nx \n\tx\ny\n").keys("a")
    assert keys.texts() == ["x", "x", "x", "y"]
    assert sorted(keys.values) == ["x", "y"]
    assert keys.is_in({"x"}).tolist() == [True, True, True, False]


def test_header_names_are_trimmed_and_the_header_is_written_as_it_came() -> None:
    raw = table(" a , b\n1,2\n3,4\n")
    assert raw.columns == ("a", "b")
    assert raw.without(np.array([True, False])).to_bytes() == b" a , b\n3,4\n"


def test_a_ragged_row_is_found_even_if_only_rows_are_dropped() -> None:
    with pytest.raises(FeedStructureError, match="line 3, column 2"):
        table("a,b\n1,2\n3\n").keys("a")


def test_a_file_of_a_header_has_no_rows_and_takes_some() -> None:
    for text in ("a,b", "a,b\r\n", "a,b\n\n"):
        raw = table(text)
        assert (len(raw), raw.keys("b").texts()) == (0, [])
        assert raw.with_rows({"b": ["2"]}).to_bytes().split() == [b"a,b", b",2"]


def test_many_scattered_rows_of_a_large_table_are_dropped() -> None:
    count = 300_000
    data = ("id,name\n" + "".join(f"{i},row {i}\n" for i in range(count))).encode()
    raw = RawTable.parse(data, "t.txt")
    left = raw.without(np.arange(count) % 3 == 0)
    assert left.to_bytes() == ("id,name\n" + "".join(f"{i},row {i}\n" for i in range(count) if i % 3)).encode()
    assert left.without(left.keys("id").is_in({"1"})).keys("id").texts()[:2] == ["2", "4"]


@pytest.mark.parametrize("count", [1, 3])
def test_more_or_fewer_values_than_rows_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} values for 2 rows"):
        table("a,b\n1,2\n3,4\n5,6\n").with_cells(np.array([True, False, True]), {"a": ["x"] * count})
    with pytest.raises(ValueError, match=f"{count} values for 2 rows"):
        table("a\n1\n2\n").with_column("b", ["x"] * count)


def test_cells_and_names_of_any_length_are_read() -> None:
    long = "x" * 200_000
    raw = table(f"a,{long}\n1,{long}\n")
    assert raw.columns == ("a", long)
    assert raw.records(np.array([0])) == [{"a": "1", long: long}]
