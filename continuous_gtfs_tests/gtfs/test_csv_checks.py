"""Each defect that a CSV member can carry, and the place that the message must name."""

from __future__ import annotations

import pytest

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.canonical import MOST_ROW_BYTES
from continuous_gtfs.gtfs.csv_tables import parse_table

DEFECTS = {
    "empty": (b"", "stops.txt is empty: it has not even a header"),
    "only line ends": (b"\r\n\n", "stops.txt is empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", "stops.txt line 1: a blank line where the header should be"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), r"stops.txt is UTF-16 \(it begins with ff fe\)"),
    "NUL": (b"stop_id,stop_name\nA,Al\x00der\n", r"line 2, column 2 \(stop_name\): a NUL byte at offset 22"),
    "Latin-1": (
        b"stop_id,stop_name\nA,Alder\nB,Caf\xe9\n",
        r"line 3, column 2 \(stop_name\): byte 0xe9 at offset 31 is not UTF-8",
    ),
    "Latin-1 in the header": (b"stop_id,nam\xe9\n", "line 1, column 2: byte 0xe9 at offset 11"),
    "CR alone as line end": (b"a,b\r1,2\r", "ends its lines with CR alone"),
    "a CR in the middle of a line": (b"a,b\n1,2\n3,\r4\n", r"line 3, column 2 \(b\): a CR that ends no line"),
    "a blank header": (b"\na,b\n1,2\n", "line 1: a blank line where the header should be"),
    "a column twice": (b"a,b,a\n1,2,3\n", "line 1, column 3: the name 'a', as column 1 has already"),
    "a column twice but for spaces": (b"a,b, a \n1,2,3\n", "line 1, column 3: the name 'a'"),
    "two columns without a name": (b"a,,\n1,,\n", "line 1, column 3: no name, as column 2 has already"),
    "columns without end": (
        b",".join(b"c%d" % n for n in range(1001)),
        "line 1: 1,001 columns; a table may have 1,000",
    ),
    "a row too short": (
        b"a,b,c\n1,2,3\n1,2\n",
        r"line 3, column 3 \(c\): the row ends after 2 values, the header has 3 columns",
    ),
    "a row too long": (b"a,b\n1,2\n1,2,3\n", "line 3, column 3: the row has 3 values, the header has 2 columns"),
    "a trailing comma": (b"a,b\n1,2,\n3,4,\n", "line 2, column 3: the row has 3 values"),
    "a line of spaces": (b"a,b\n1,2\n  \n", r"line 3, column 2 \(b\): the row ends after 1 value,"),
    "a row too short after a value of two lines": (b'a,b\n"1\n1",2\n3\n', r"line 4, column 2 \(b\)"),
    "an unclosed quotation mark": (b'a,b\n1,"2\n3,4\n', r"line 2, column 2 \(b\): a quoted value that is never closed"),
    "an unclosed mark in the last field": (b'a,b\n1,"', r"line 2, column 2 \(b\): a quoted value that is never"),
    "a mark inside a plain value": (b'a,b\n1,12" gauge\n', r"line 2, column 2 \(b\): a quotation mark inside a value"),
    "text after a quoted value": (b'a,b\n1,"2"nd\n', r"line 2, column 2 \(b\): text after the closing quotation mark"),
    "a cell without end": (
        b"a,b\n1,2\n3," + b"x" * MOST_ROW_BYTES + b"\n",
        r"line 3, column 1 \(a\): a line of more than 16,777,216 bytes: '3,xxx",
    ),
    "a quoted value without end": (
        b'a,b\n1,"' + (b"x" * 999 + b"\n") * 20_000 + b'"\n',
        r"line 2, column 2 \(b\): a quoted value of more than 8,388,608 bytes",
    ),
    "a space before a quoted value": (b'a,b\n1, "2"\n', r"line 2, column 2 \(b\): a quotation mark inside a value"),
}


@pytest.mark.parametrize(("data", "said"), DEFECTS.values(), ids=DEFECTS.keys())
def test_a_defect_is_refused_with_its_place(data: bytes, said: str) -> None:
    with pytest.raises(FeedStructureError, match=said) as caught:
        parse_table(data, "stops.txt")
    assert str(caught.value).startswith("stops.txt ")


def test_a_defect_is_shown_with_the_text_around_it() -> None:
    for data, shown in (
        (b"stop_id,stop_name\r\nB,Caf\xe9 Royal\r\n", "'B,Caf\ufffd Royal'"),
        (b"a,b\n" + b"x" * 99 + b',1"2\n', f"""'{"x" * 38},1"2'"""),
        (b"a,b\n1,2\n3,4,5\n", "'3,4,5'"),
    ):
        with pytest.raises(FeedStructureError) as caught:
            parse_table(data, "stops.txt")
        assert str(caught.value).endswith(f": {shown}")


SOUND = {
    "CRLF": b"a,b\r\n1,2\r\n",
    "a byte order mark": b"\xef\xbb\xbfa,b\n1,2\n",
    "no line end after the last row": b"a,b\n1,2",
    "blank lines": b"a,b\n\n1,2\n\n\n",
    "quoted header": b'"a","b"\n1,2\n',
    "quoted values": b'a,b\n"1","2"\n',
    "CRLF after a quoted value": b'a,b\r\n1,"2"\r\n',
    "spaces around column names": b" a , b\n1,2\n",
}


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND.keys())
def test_what_is_no_defect_reads_as_the_same_table(data: bytes) -> None:
    table = parse_table(data, "stops.txt")
    assert table.to_dict("list") == {"a": ["1"], "b": ["2"]}


def test_a_defect_far_into_a_large_file_is_found_at_its_line() -> None:
    rows = [b"%d,x\n" % n for n in range(300_000)]
    rows[250_000] = b"250000,x,y\n"
    with pytest.raises(FeedStructureError, match="line 250002, column 3: the row has 3 values"):
        parse_table(b"a,b\n" + b"".join(rows), "stop_times.txt")
