"""Two tables of text, row by row: which are the same, which are on one side only, which have other cells.

Rows whose lines are equal to the byte are set aside first, so that only the rest is taken apart into cells. What a row
stands for (a trip, a stop) is no matter here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from continuous_gtfs.gtfs.diff.hashing import Hashes, Rows, combined, key_hashes, line_hashes, others, pairs, text_hashes
from continuous_gtfs.gtfs.diff.report import FileDiff, RowChange, RowsDiff
from continuous_gtfs.gtfs.keys import PADDING, Keys, Mask
from continuous_gtfs.gtfs.raw_table import CsvText, RawTable
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

    def line_hashes(self, rows: Rows) -> Hashes:
        return line_hashes(self._text.data, self._text.starts(), rows)

    def part(self, rows: Rows) -> Table:
        """A table of these rows only; this one, where they are most of it."""
        if 2 * len(rows) > len(self):
            return self
        return Table(self.raw.without(_mask(len(self), others(len(self), rows))).to_bytes(), self.file)

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
        return _match_cells(before, after, renamed)
    rows_before, rows_after = np.arange(len(before)), np.arange(len(after))
    same_before, same_after = pairs(before.line_hashes(rows_before), after.line_hashes(rows_after))
    return match_some_rows(before, after, others(len(before), same_before), others(len(after), same_after), {})


def match_some_rows(before: Table, after: Table, rows_before: Rows, rows_after: Rows, renamed: Renamed) -> RowMatch:
    """``match_rows`` for these rows, the others being known to be the same."""
    part_before, part_after = before.part(rows_before), after.part(rows_after)
    found = _match_cells(
        part_before,
        part_after,
        renamed,
        None if part_before is not before else rows_before,
        None if part_after is not after else rows_after,
    )
    return replace(
        found,
        removed=rows_before[found.removed],
        added=rows_after[found.added],
        changed_before=rows_before[found.changed_before],
        changed_after=rows_after[found.changed_after],
    )


def _match_cells(
    before: Table, after: Table, renamed: Renamed, rows_before: Rows | None = None, rows_after: Rows | None = None
) -> RowMatch:
    """Pair by cells; with rows given, only those, and numbered by their place among them."""
    shared = [name for name in before.columns if name in after.columns]
    known = PRIMARY_KEYS.get(before.file)
    key = [name for name in shared if known is None or name in known]
    cells_before, keys_before = _row_hashes(before, shared, key, {}, rows_before)
    cells_after, keys_after = _row_hashes(after, shared, key, renamed, rows_after)
    same_before, same_after = pairs(cells_before, cells_after)
    left_before, left_after = others(len(cells_before), same_before), others(len(cells_after), same_after)
    if known is None:
        changed_before, changed_after = left_before[:0], left_after[:0]
    else:
        keyed_before, keyed_after = pairs(keys_before[left_before], keys_after[left_after])
        changed_before, changed_after = left_before[keyed_before], left_after[keyed_after]
    removed = np.setdiff1d(left_before, changed_before, assume_unique=True)
    added = np.setdiff1d(left_after, changed_after, assume_unique=True)
    is_reordered = known is None and not len(removed) and not len(added) and bool((cells_before != cells_after).any())
    renumbered = 0
    if renamed:
        is_renamed = _is_renamed(after, renamed)
        same = same_after if rows_after is None else rows_after[same_after]
        renumbered = int(is_renamed[same].sum())
    return RowMatch(removed, added, changed_before, changed_after, renumbered, is_reordered)


def _row_hashes(
    table: Table, columns: Sequence[str], key: Sequence[str], renamed: Renamed, rows: Rows | None
) -> tuple[Hashes, Hashes]:
    """A number for all the cells of each row, and one for its key."""
    table.load(columns)
    count = len(table) if rows is None else len(rows)
    chosen: Rows | slice = slice(None) if rows is None else rows
    in_key, in_rest = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
    for position, name in enumerate(sorted(columns), start=1):
        salt = np.uint64(hash((position, name)) & 0x7FFF_FFFF_FFFF_FFFF)
        keys = table.keys(name).at(chosen)
        if name == "record_id" and table.file == TRANSLATIONS and renamed:
            hashes = _record_hashes(keys, table.keys("table_name").at(chosen), renamed)
        else:
            hashes = _salted(keys, renamed if name in TRIP_COLUMNS.get(table.file, ()) else {}, salt)
        if name in key:
            in_key += hashes
        else:
            in_rest += hashes
    return combined(in_key, in_rest), in_key


def _salted(keys: Keys, renamed: Renamed, salt: np.uint64) -> Hashes:
    """A number for each row, salted by the column and mixed once for each distinct value, not once for each row."""
    values = keys.values if not renamed else [renamed.get(value, value) for value in keys.values]
    by_value = combined(text_hashes(values, len(keys.values)) + salt)
    return by_value[keys.codes] if len(by_value) else np.zeros(len(keys), dtype=np.uint64)


def _record_hashes(records: Keys, tables: Keys, renamed: Renamed) -> Hashes:
    is_trip = tables.is_in(_TRIP_TABLES)
    return combined(np.where(is_trip, key_hashes(records, renamed), key_hashes(records)))


def _is_renamed(table: Table, renamed: Renamed) -> Mask:
    found = np.zeros(len(table), dtype=bool)
    for name in TRIP_COLUMNS.get(table.file, ()):
        found |= table.keys(name).is_in(renamed.keys())
    if table.file == TRANSLATIONS:
        found |= table.keys("record_id").is_in(renamed.keys()) & table.keys("table_name").is_in(_TRIP_TABLES)
    return found


def _present(table: Table, renamed: Renamed) -> Renamed:
    """``renamed``, or nothing where the table has none of those ids."""
    return renamed if renamed and _is_renamed(table, renamed).any() else {}


def _mask(count: int, rows: Rows) -> Mask:
    mask = np.zeros(count, dtype=bool)
    mask[rows] = True
    return mask
