from __future__ import annotations

import contextlib
import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.csv_tables import TEXT, as_text, parse_table, write_table

cells = st.text('ab,"\n\r é\u00a0', max_size=4) | st.sampled_from(["", "007", "NA", "null", "1e5", "true", "\ufeff"])


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6))
    return pd.DataFrame(rows, columns=[f"c{i}" for i in range(width)], dtype=TEXT)


@given(tables())
@example(pd.DataFrame({"only": pd.array(["", "x", ""], dtype=TEXT)}))
@example(pd.DataFrame({"only": pd.array(["\ufeff", "x"], dtype=TEXT)}))
def test_any_table_of_text_is_read_back_as_it_was_written(table: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(parse_table(write_table(table), "t.txt"), table)


@given(st.lists(st.sampled_from(["a", ",", '"', "\n", "\r\n", '""', " "]), max_size=14).map("".join))
def test_rows_are_those_of_another_reader_or_the_file_is_refused(body: str) -> None:
    text = "x,y\n" + body
    with contextlib.suppress(FeedStructureError):
        table = parse_table(text.encode(), "t.txt")
        expected = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        assert [list(table.columns), *table.to_numpy().tolist()] == expected


def test_a_file_with_a_header_only_is_a_table_without_rows() -> None:
    for data in (b"a,b", b"a,b\n", b"a,b\r\n\r\n"):
        table = parse_table(data, "t.txt")
        assert (list(table.columns), len(table)) == (["a", "b"], 0)
        assert write_table(table) == b"a,b\n"


def test_every_column_is_text_and_nothing_is_coerced() -> None:
    table = parse_table(b"a,b,c,d\n007,,NA, 1.50 \n", "t.txt")
    assert table.to_dict("list") == {"a": ["007"], "b": [""], "c": ["NA"], "d": [" 1.50 "]}
    assert set(table.dtypes) == {TEXT}


def test_marks_are_written_only_where_a_value_needs_them() -> None:
    table = pd.DataFrame({"a": ["plain", "a,b", 'say "x"', "two\nlines", " padded "], "b,c": ["1"] * 5}, dtype=TEXT)
    assert write_table(table) == (b'a,"b,c"\nplain,1\n"a,b",1\n"say ""x""",1\n"two\nlines",1\n padded ,1\n')


@pytest.mark.parametrize(
    "cell", ["=1+1", "=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "\t=1", "<b>", "\u202e", "\x1b[31m"]
)
def test_what_a_spreadsheet_or_a_terminal_would_obey_stays_in_a_feed_as_it_came(cell: str) -> None:
    assert write_table(parse_table(f"a,b\n{cell},x\n".encode(), "t.txt")) == f"a,b\n{cell},x\n".encode()


def test_a_row_longer_than_a_block_of_the_parser_is_read() -> None:
    long = "x" * 9_000_000
    table = parse_table(f"a,b\n1,{long}\n2,y\n".encode(), "t.txt")
    assert table["b"].tolist() == [long, "y"]


def test_the_unnamed_column_of_a_header_that_ends_in_a_comma_is_kept() -> None:
    table = parse_table(b"a,b,\n1,2,\n", "t.txt")
    assert write_table(table) == b'a,b,""\n1,2,\n'


def test_whole_numbers_become_digits_and_missing_values_blanks() -> None:
    frame = pd.DataFrame(
        {
            "number": [1, 2],
            "nullable": pd.array([3, None], dtype="Int64"),
            "object": ["x", None],
            "text": pd.array(["y", pd.NA], dtype=TEXT),
        },
        index=[7, 9],
    )
    assert as_text(frame, "t.txt").to_dict("list") == {
        "number": ["1", "2"],
        "nullable": ["3", ""],
        "object": ["x", ""],
        "text": ["y", ""],
    }


@pytest.mark.parametrize(
    ("column", "kind"),
    [([1.0, 2.5], "float"), ([True, False], "bool"), (pd.to_datetime(["2026-01-01"]), "Timestamp"), (["x", 3], "int")],
)
def test_a_column_whose_text_form_is_open_is_refused_by_name(column: list[object], kind: str) -> None:
    with pytest.raises(TypeError, match=f"stops.txt column stop_lat holds a {kind}"):
        as_text(pd.DataFrame({"stop_lat": column}), "stops.txt")


@pytest.mark.parametrize("names", [["a", "a"], ["a", 1], []])
def test_columns_are_named_by_text_each_once(names: list[object]) -> None:
    frame = pd.DataFrame(np.full((1, len(names)), "x"), columns=names)
    with pytest.raises(ValueError, match="column names must be text, each once"):
        as_text(frame, "stops.txt")


def test_values_of_several_lines_are_whole_wherever_a_block_of_the_parser_ends() -> None:
    value = "first\nsecond,third\n" + "x" * 80
    rows = 120_000
    table = parse_table(b"a,b\n" + f'1,"{value}"\n'.encode() * rows, "t.txt")
    assert len(table) == rows
    assert table["b"].unique().tolist() == [value]
