"""Steps on whole tables: sort rows, add rows, fill in fields from a reference table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from continuous_gtfs.errors import FeedStructureError, StepDefinitionError
from continuous_gtfs.gtfs.builtin.selection import counted, declare, missing
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.keys import PADDING, Keys
from continuous_gtfs.gtfs.raw_table import RawTable
from continuous_gtfs.gtfs.spec import PRIMARY_KEYS
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import Step, StepContext

# Not all that float() takes: "nan" and "1_9" are ids.
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class ReferenceTable:
    """Rows that an agency keeps beside its steps. Their text is part of the hash of the step that uses them.

    Attributes:
        columns: Column names.
        rows: For each row its cells, in the order of the columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def from_path(cls, path: Path | str) -> ReferenceTable:
        """The CSV file at ``path``, usually ``Path(__file__).with_name("stations.csv")``.

        Raises:
            StepDefinitionError: It is not there or cannot be read as a table.
        """
        try:
            return cls._from_bytes(Path(path).read_bytes(), Path(path).name)
        except OSError as error:
            raise StepDefinitionError(f"reference table {path}: {error.strerror or error}") from None

    @classmethod
    def from_text(cls, text: str) -> ReferenceTable:
        """The rows of a CSV text.

        Raises:
            StepDefinitionError: It cannot be read as a table.
        """
        return cls._from_bytes(text.encode(), "reference table")

    @classmethod
    def _from_bytes(cls, data: bytes, name: str) -> ReferenceTable:
        try:
            table = RawTable.parse(data, name)
            records = table.records(np.arange(len(table)))
        except FeedStructureError as error:
            raise StepDefinitionError(f"reference table: {error}") from None
        return cls(table.columns, tuple(tuple(cell.strip(PADDING) for cell in row.values()) for row in records))

    def column(self, name: str) -> list[str]:
        position = self.columns.index(name)
        return [row[position] for row in self.rows]

    def keys(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        """For each row its cells in these columns."""
        return list(zip(*(self.column(name) for name in names), strict=True)) if names else [()] * len(self.rows)


@dataclass(frozen=True)
class SortRows(Step[Feed]):
    """Sort the rows of one file by columns, the first one first; equal rows stay in their order.

    A column of numbers only is sorted by number, any other by its text; blanks come first.
    """

    file: str
    by: Sequence[str]
    _: KW_ONLY
    required: bool = False
    name: str = ""
    files: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        declare(self, "sort", self.file)
        if isinstance(self.by, str) or not self.by:
            raise StepDefinitionError(f"step {self.name}: by={self.by!r}; give a list of columns")
        object.__setattr__(self, "by", tuple(self.by))

    def apply(self, feed: Feed, context: StepContext) -> None:
        if file_is_missing(self, feed, self.by, context):
            return
        raw = feed.raw(self.file)
        raw.load(self.by)
        order = np.lexsort([_ranks(raw.keys(name)) for name in reversed(self.by)])
        moved = order != np.arange(len(order))
        context.find(counted("rows_moved", f"of {self.file} have another place", feed, self.file, moved))
        feed.sort_rows(self.file, order)


@dataclass(frozen=True)
class AddRows(Step[Feed]):
    """Add rows at the end of a file, or a file that the feed has not.

    A row whose primary key the file has already is left out with a warning, or fails the run with ``required``. Columns
    that the file lacks are added to it.
    """

    file: str
    rows: ReferenceTable | Sequence[Mapping[str, str]]
    _: KW_ONLY
    required: bool = False
    name: str = ""
    files: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        declare(self, "add_rows_to", self.file)
        object.__setattr__(self, "rows", _reference(self.rows, self.name))

    def apply(self, feed: Feed, context: StepContext) -> None:
        rows = _reference(self.rows, self.name)
        if self.file not in feed:
            feed.add_table(self.file, {name: rows.column(name) for name in rows.columns})
            context.log(f"{self.file} was not there; it is now, with {len(rows.rows)} rows")
            return
        is_new, present = self._compare(feed.raw(self.file), rows)
        if present:
            message = f"{len(present)} rows are in {self.file} already: {', '.join(present[:3])}"
            severity: Literal["error", "warning"] = "error" if self.required else "warning"
            context.find(Finding(severity, "rows_present", message, self.file, len(present), tuple(present)))
        for name in rows.columns if any(is_new) else ():
            if not feed.has_column(self.file, name):
                feed.add_column(self.file, name)
        added = [row for row, new in zip(rows.rows, is_new, strict=True) if new]
        feed.add_rows(self.file, dict(zip(rows.columns, zip(*added, strict=True), strict=True)) if added else {})
        context.find(Finding("info", "rows_added", f"{len(added)} rows added to {self.file}", self.file, len(added)))

    def _compare(self, raw: RawTable, rows: ReferenceTable) -> tuple[list[bool], list[str]]:
        """Whether each row is new, and what names those that are not. A column that one side lacks is blank there."""
        own = PRIMARY_KEYS.get(self.file, ())
        if not set(own) & set(rows.columns) & set(raw.columns):
            return [True] * len(rows.rows), []
        raw.load(name for name in own if name in raw.columns)
        blanks = [""] * len(raw)
        known = set(zip(*(raw.keys(n).texts() if n in raw.columns else blanks for n in own), strict=True))
        blanks = [""] * len(rows.rows)
        is_new: list[bool] = []
        present: list[str] = []
        for key in zip(*(rows.column(n) if n in rows.columns else blanks for n in own), strict=True):
            is_new.append(key not in known)
            if key in known:
                present.append(" ".join(filter(None, key)))
            known.add(key)
        return is_new, present


@dataclass(frozen=True)
class MergeTable(Step[Feed]):
    """Fill in fields of a file from a reference table, row by row where the ``on`` columns are equal.

    A blank cell of the reference leaves the field as it is. A row of the feed that the reference does not know stays
    as it is.

    Attributes:
        unmatched: What becomes of a row of the reference that matches none: ``warn``, ``add`` it, or ``fail``.
    """

    file: str
    reference: ReferenceTable
    on: Sequence[str]
    _: KW_ONLY
    unmatched: Literal["warn", "add", "fail"] = "warn"
    required: bool = False
    name: str = ""
    files: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        declare(self, "merge_into", self.file)
        on = (self.on,) if isinstance(self.on, str) else tuple(self.on)
        object.__setattr__(self, "on", on)
        absent = [name for name in on if name not in self.reference.columns]
        if absent or not on:
            raise StepDefinitionError(
                f"step {self.name}: the reference table has no column {', '.join(absent) or 'on'}"
            )
        if self.unmatched not in ("warn", "add", "fail"):
            raise StepDefinitionError(f"step {self.name}: unmatched={self.unmatched!r}; say warn, add or fail")
        keys = self.reference.keys(on)
        if not all(any(key) for key in keys):
            raise StepDefinitionError(
                f"step {self.name}: the reference table has a row that is blank in {', '.join(on)}"
            )
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise StepDefinitionError(f"step {self.name}: the reference table has {' '.join(twice)!r} twice")

    def apply(self, feed: Feed, context: StepContext) -> None:
        if file_is_missing(self, feed, self.on, context):
            return
        raw = feed.raw(self.file)
        raw.load(self.on)
        positions = {key: position for position, key in enumerate(self.reference.keys(self.on))}
        found = np.array([positions.get(key, -1) for key in _row_keys_in_order(raw, self.on)], dtype=np.int64)
        changed = np.zeros(len(raw), dtype=bool)
        for name in self.reference.columns:
            if name in self.on:
                continue
            if not feed.has_column(self.file, name):
                feed.add_column(self.file, name)
            cells = self.reference.column(name)
            present = feed.keys(self.file, name).texts()
            differs = np.array(
                [
                    at >= 0 and cells[at] != "" and cells[at] != now
                    for at, now in zip(found.tolist(), present, strict=True)
                ],
                dtype=bool,
            )
            feed.set_cells(self.file, differs, {name: [cells[at] for at in found[differs].tolist()]})
            changed |= differs
        context.find(counted("rows_updated", f"updated in {self.file}", feed, self.file, changed))
        self._report_unmatched(feed, set(found.tolist()), context)

    def _report_unmatched(self, feed: Feed, used: set[int], context: StepContext) -> None:
        left = [row for position, row in enumerate(self.reference.rows) if position not in used]
        if not left:
            return
        keys = [key for position, key in enumerate(self.reference.keys(self.on)) if position not in used]
        sample = tuple(" ".join(key) for key in keys)
        if self.unmatched == "add":
            feed.add_rows(self.file, dict(zip(self.reference.columns, zip(*left, strict=True), strict=True)))
            context.find(
                Finding("info", "rows_added", f"{len(left)} rows added to {self.file}", self.file, len(left), sample)
            )
            return
        message = f"{len(left)} rows of the reference table are not in {self.file}: {', '.join(sample[:3])}"
        severity: Literal["error", "warning"] = "error" if self.required or self.unmatched == "fail" else "warning"
        context.find(Finding(severity, "reference_unmatched", message, self.file, len(left), sample))


def file_is_missing(step: SortRows | MergeTable, feed: Feed, columns: Sequence[str], context: StepContext) -> bool:
    """Whether the step's file or one of these columns is not there; reported if so."""
    if step.file not in feed:
        missing(step, context, "file_missing", f"the feed has no {step.file}", step.file)
        return True
    absent = [name for name in columns if name not in feed.raw(step.file).columns]
    if absent:
        missing(step, context, "column_missing", f"{step.file} has no column {', '.join(absent)}", step.file)
    return bool(absent)


def _reference(rows: ReferenceTable | Sequence[Mapping[str, str]], step: str) -> ReferenceTable:
    if isinstance(rows, ReferenceTable):
        table = rows
    else:
        columns = tuple(dict.fromkeys(name for row in rows for name in row))
        table = ReferenceTable(columns, tuple(tuple(row.get(name, "") for name in columns) for row in rows))
    if not table.columns or not table.rows:
        raise StepDefinitionError(f"step {step}: no rows to add")
    for row in table.rows:
        for name, cell in zip(table.columns, row, strict=True):
            if not isinstance(cell, str):
                raise StepDefinitionError(f"step {step}: {name}={cell!r} is no text; every cell of a feed is")
    return table


def _row_keys_in_order(raw: RawTable, names: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*(raw.keys(name).texts() for name in names), strict=True))


def _ranks(keys: Keys) -> npt.NDArray[np.int64]:
    """For each row the place of its value among the values of the column."""
    if all(_NUMBER.fullmatch(value) for value in keys.values if value):
        ordered = sorted(keys.values, key=lambda value: (value != "", float(value or 0), value))
    else:
        ordered = sorted(keys.values)
    place = {value: position for position, value in enumerate(ordered)}
    ranks = np.array([place[value] for value in keys.values], dtype=np.int64)
    return ranks[keys.codes] if len(ranks) else np.empty(0, dtype=np.int64)
