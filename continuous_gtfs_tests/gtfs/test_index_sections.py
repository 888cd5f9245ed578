from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.gtfs.index_sections import Sections, SortedIds, ids_sections, numbers_section, pack

IDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6)


def written(ids: list[str]) -> SortedIds:
    return Sections(pack({}, ids_sections("ids", ids))).ids("ids")


@given(st.sets(IDS, max_size=300), st.lists(IDS, max_size=20))
def test_ids_are_found_where_they_are_and_no_other_is(ids: set[str], others: list[str]) -> None:
    ordered = sorted(ids)
    read = written(ordered)
    assert [read.position(one) for one in ordered] == list(range(len(ordered)))
    assert [read[position] for position in range(len(ordered))] == ordered
    for one in others:
        assert (one in read) == (one in ids)
    assert len(read) == len(ordered)
    assert list(read) == ordered
    assert read == ids


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 129, 1000])
def test_neighbours_of_an_id_at_the_edge_of_a_block_are_not_taken_for_it(count: int) -> None:
    ordered = [f"{number:05}" for number in range(count)]
    read = written(ordered)
    for one in ("", "0", "000", "00000", "0000", "00063", "00064", "000640", "99999", "00064\x0000065", "\ud800"):
        assert (one in read) == (one in ordered)
    assert read.position("00064") == (64 if count > 64 else None)
    assert b"00001" not in read
    assert read & {"00001", "x"} == ({"00001"} if count > 1 else set())


def test_sections_come_back_as_they_were_written() -> None:
    numbers = [0, -1, 2**31 - 1, -(2**31)]
    read = Sections(pack({"a": [1]}, {"empty": b"", "numbers": numbers_section(numbers), "text": b"abc" * 1000}))
    assert read.facts["a"] == [1]
    assert read.content("empty") == b""
    assert read.content("text") == b"abc" * 1000
    assert read.numbers("numbers") == array("i", numbers)
    assert numbers_section([1]) == b"\x01\0\0\0"
