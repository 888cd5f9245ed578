"""Two tables of text, row by row: which are the same, which are on one side only, which have other cells.

Rows whose lines are equal to the byte are set aside first, so that only the rest is taken apart into cells. What a row
stands for (a trip, a stop) is no matter here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from continuous_gtfs.gtfs.csv_text import CsvText
from continuous_gtfs.gtfs.diff.hashing import (
    Hashes,
    Rows,
    blocks,
    combined,
    line_hashes,
    mixed,
    others,
    pairs,
    text_hashes,
)
from continuous_gtfs.gtfs.diff.side_by_side import on_both
from continuous_gtfs.gtfs.keys import PADDING, Codes, Keys, Mask
from continuous_gtfs.gtfs.raw_table import RawTable
from continuous_gtfs.gtfs.spec import PRIMARY_KEYS, REFERENCES, TRANSLATED_RECORDS, TRANSLATIONS

Renamed = Mapping[str, str]

TRIP_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "trips.txt": ("trip_id",),
    **{
        file: tuple(ref.column for ref in REFERENCES if (ref.file, ref.entity) == (file, "trip"))
        for file in dict.fromkeys(ref.file for ref in REFERENCES if ref.entity == "trip")
    },
}
"""The columns of each file that hold a trip_id."""
_TRIP_TABLES = frozenset(name for name, entity in TRANSLATED_RECORDS.items() if entity == "trip")


class Table:
    """A member's bytes, and what is asked of them."""

    def __init__(self, data: bytes, file: str) -> None:
        """Take the bytes for a table.

        Raises:
            FeedStructureError: They are none.
        """
        self._text = CsvText(data, file)
        self._text.check()
        _give_back()
        self.raw = RawTable(self._text)

    @property
    def file(self) -> str:
        return self._text.file

    @property
    def columns(self) -> tuple[str, ...]:
        return self._text.columns

    def __len__(self) -> int:
        return len(self.raw)

    def keys(self, column: str) -> Keys:
        """One column; blank in every row where there is no such column."""
        if column not in self.columns:
            return Keys(np.zeros(len(self), dtype=np.int32), ("",))
        return self.raw.keys(column)

    def load(self, columns: Sequence[str]) -> None:
        self.raw.load([name for name in columns if name in self.columns])
        _give_back()

    def line_hashes(self, rows: Rows) -> Hashes:
        return line_hashes(self._text.data, self._text.starts(), rows)

    def all_line_hashes(self) -> Hashes:
        return self.line_hashes(np.arange(len(self)))

    def part(self, rows: Rows) -> Part:
        """These rows, to be taken apart into cells: as a table of their own where they are the lesser part."""
        if len(rows) == len(self):
            return self.whole()
        if 2 * len(rows) > len(self):
            return Part(self, rows, rows)
        is_left_out = np.ones(len(self), dtype=bool)
        is_left_out[rows] = False
        return Part(Table(self.raw.without(is_left_out).to_bytes(), self.file), rows)

    def whole(self) -> Part:
        return Part(self)

    def records(self, rows: Rows) -> list[dict[str, str]]:
        """These rows, cell by cell, without the spaces around the cells."""
        return [{name: cell.strip(PADDING) for name, cell in row.items()} for row in self.raw.records(rows)]

    def line_numbers(self, rows: Rows) -> list[int]:
        """The lines that these rows begin on, from 1 and with the header, as an editor counts them."""
        starts, data = self._text.starts(), self._text.data
        numbers, line, offset = {}, 1, 0
        for row in np.unique(rows).tolist():
            line += data.count(b"\n", offset, int(starts[row]))
            offset = int(starts[row])
            numbers[row] = line
        return [numbers[row] for row in rows.tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some rows of a table.

    Attributes:
        table: One that has these rows: that table itself, or another with no rows but these.
        rows: Their numbers in the table that they are a part of, ascending; None where they are all of it.
        chosen: Their numbers in ``table``; None where it has no others.
    """

    table: Table
    rows: Rows | None = None
    chosen: Rows | None = None

    def keys(self, column: str) -> Keys:
        keys = self.table.keys(column)
        return keys if self.chosen is None else keys.at(self.chosen)

    def load(self, columns: Sequence[str]) -> None:
        self.table.load(columns)

    def __len__(self) -> int:
        return len(self.table) if self.rows is None else len(self.rows)

    def numbers(self, places: Rows) -> Rows:
        """Row numbers in the table that this is a part of."""
        return places if self.rows is None else self.rows[places]


@dataclass(frozen=True, slots=True, eq=False)
class RowMatch:
    """Row numbers of two tables. ``changed_before[i]`` and ``changed_after[i]`` are the same row, with other cells."""

    removed: Rows
    added: Rows
    changed_before: Rows
    changed_after: Rows
    renumbered: int = 0
    is_reordered: bool = False


def match_rows(before: Table, after: Table, renamed: Renamed | None = None) -> RowMatch:
    """Pair the rows of two versions of a file.

    Rows with the same cells are paired first, then rows with the same key, in the order of the files where several
    have it. Columns that only one side has decide nothing.

    Args:
        renamed: Trip ids of ``after`` and what they were before.
    """
    renamed = _present(after, renamed or {})
    if renamed or before.columns != after.columns or before.file not in PRIMARY_KEYS:
        return match_parts(before.whole(), after.whole(), renamed)
    same_before, same_after = pairs(*on_both(Table.all_line_hashes, before, after))
    return match_parts(before.part(others(len(before), same_before)), after.part(others(len(after), same_after)), {})


def match_parts(before: Part, after: Part, renamed: Renamed) -> RowMatch:
    """``match_rows`` for some of the rows, the others being known to be the same."""
    file = before.table.file
    known = PRIMARY_KEYS.get(file)
    shared = sorted({*before.table.columns} & {*after.table.columns})
    hashes_before, hashes_after = on_both(
        lambda side: _row_hashes(side[0], shared, known, side[1]), (before, {}), (after, renamed)
    )
    same_before, same_after = pairs(hashes_before.cells, hashes_after.cells)
    left_before, left_after = others(len(before), same_before), others(len(after), same_after)
    if known is None:
        changed_before, changed_after = left_before[:0], left_after[:0]
    else:
        keyed_before, keyed_after = pairs(hashes_before.key[left_before], hashes_after.key[left_after])
        changed_before, changed_after = left_before[keyed_before], left_after[keyed_after]
    is_same = not len(left_before) and not len(left_after)
    return RowMatch(
        removed=before.numbers(np.setdiff1d(left_before, changed_before, assume_unique=True)),
        added=after.numbers(np.setdiff1d(left_after, changed_after, assume_unique=True)),
        changed_before=before.numbers(changed_before),
        changed_after=after.numbers(changed_after),
        renumbered=int(_is_renamed(after, renamed)[same_after].sum()) if renamed else 0,
        is_reordered=is_same and known is None and bool((hashes_before.cells != hashes_after.cells).any()),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _RowHashes:
    """A number for all the cells of each row, and one for its key."""

    cells: Hashes
    key: Hashes


def _row_hashes(part: Part, columns: Sequence[str], key: Sequence[str] | None, renamed: Renamed) -> _RowHashes:
    part.load(columns)
    found = [_Column.of(part, name, position, renamed) for position, name in enumerate(columns, start=1)]
    in_key = [column for column in found if key is None or column.name in key]
    in_rest = [column for column in found if column not in in_key]
    hashes = _RowHashes(np.empty(len(part), dtype=np.uint64), np.empty(len(part), dtype=np.uint64))
    for block in blocks(len(part)):
        hashes.key[block] = _sum(in_key, block)
        hashes.cells[block] = combined(hashes.key[block], _sum(in_rest, block))
    return hashes


def _sum(columns: Sequence[_Column], block: slice) -> Hashes:
    total = np.zeros(block.stop - block.start, dtype=np.uint64)
    for column in columns:
        total += column.hashes(block)
    return total


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """Numbers for the cells of a column, made once for each distinct value.

    Attributes:
        by_value: By code. ``by_trip`` instead where ``is_trip`` says that the cell holds a trip_id.
    """

    name: str
    codes: Codes
    by_value: Hashes
    by_trip: Hashes
    is_trip: Mask | None

    @classmethod
    def of(cls, part: Part, name: str, position: int, renamed: Renamed) -> _Column:
        keys = part.keys(name)
        salt = mixed(np.array([position], dtype=np.uint64))
        by_value = mixed(text_hashes(keys.values, len(keys.values)) + salt)
        is_trip = _holds_trips(part, name) if renamed else None
        if is_trip is None:
            return cls(name, keys.codes, by_value, by_value, None)
        values = [renamed.get(value, value) for value in keys.values]
        return cls(name, keys.codes, by_value, mixed(text_hashes(values, len(values)) + salt), is_trip)

    def hashes(self, block: slice) -> Hashes:
        codes = self.codes[block]
        if self.is_trip is None:
            return self.by_value[codes]
        return np.where(self.is_trip[block], self.by_trip[codes], self.by_value[codes])


def _holds_trips(part: Part, column: str) -> Mask | None:
    """The rows in which the column holds a trip_id; None where it never does."""
    if column in TRIP_COLUMNS.get(part.table.file, ()):
        return np.ones(len(part), dtype=bool)
    if part.table.file == TRANSLATIONS and column == "record_id":
        return part.keys("table_name").is_in(_TRIP_TABLES)
    return None


def _is_renamed(part: Part, renamed: Renamed) -> Mask:
    found = np.zeros(len(part), dtype=bool)
    for name in part.table.columns:
        is_trip = _holds_trips(part, name)
        if is_trip is not None:
            found |= part.keys(name).is_in(renamed.keys()) & is_trip
    return found


def _present(table: Table, renamed: Renamed) -> Renamed:
    """``renamed``, or nothing where the table has none of those ids."""
    return renamed if renamed and _is_renamed(table.whole(), renamed).any() else {}


def _give_back() -> None:
    """Let go of what the parser has used: it keeps it for later, and two tables at once are large."""
    pa.default_memory_pool().release_unused()
