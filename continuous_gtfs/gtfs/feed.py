"""Feed: a GTFS Schedule feed whose files are read only when touched and written back as they came.

Reading is separate from judging: a feed that breaks a rule of the specification can be loaded, so that a
step can repair it. What is refused here is what cannot be read without guessing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.keys import Keys, Mask
from continuous_gtfs.gtfs.members import Edited, Member, Stored, Written
from continuous_gtfs.gtfs.raw_table import RawTable, Value, line_of
from continuous_gtfs.gtfs.spec import PRIMARY_KEYS
from continuous_gtfs.gtfs.zip_writing import write_zip
from continuous_gtfs.gtfs.zipped import FeedLimits, ZippedFeed
from continuous_gtfs.pipeline.results import SAMPLE_SIZE, RowChanges

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Feed", "FeedLimits"]

_TABLE_SUFFIX = ".txt"


class Feed:
    """The files of one feed, by the name they have in it.

    A file that no one has changed keeps its exact bytes through ``to_bytes``: unknown files, free text, line ends and
    byte order mark included. There are two ways to change one. ``drop_rows``, ``set_cells`` and their like change
    rows and cells and leave the bytes of all others. ``table`` gives a copy as a pandas frame, and ``set_table``
    writes it back as a whole.
    """

    def __init__(self, members: Mapping[str, Member]) -> None:
        self._members = dict(members)
        self._changes: dict[str, RowChanges] = {}
        # The rows of each file that set_cells reached, so that one set twice counts once.
        self._reached: dict[str, Mask] = {}

    @classmethod
    def from_bytes(cls, data: bytes, *, limits: FeedLimits | None = None) -> Self:
        """Open a zipped feed; no member is read yet.

        Raises:
            FeedStructureError: Not a zip, no stops.txt, over the limits, or a member that cannot be trusted:
                see ``ZippedFeed``.
        """
        zipped = ZippedFeed(data, limits=limits)
        return cls({name: Stored(zipped, name) for name in zipped.names})

    @classmethod
    def from_path(cls, path: Path, *, limits: FeedLimits | None = None) -> Self:
        """Open the zipped feed at ``path``; see ``from_bytes``."""
        return cls.from_bytes(path.read_bytes(), limits=limits)

    @property
    def files(self) -> tuple[str, ...]:
        """File names in the order of the zip, then those added since."""
        return tuple(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def has_column(self, name: str, column: str) -> bool:
        """Whether the feed has the file, and the file the column."""
        return name in self._members and column in self.raw(name).columns

    def raw(self, name: str) -> RawTable:
        """One file as a table of text, to read keys from; it is shared and never changes.

        Raises:
            FeedStructureError: The file is not there, is no table, or cannot be read as one; the message
                names line and column.
        """
        return self._table_member(name).raw()

    def keys(self, name: str, column: str) -> Keys:
        """One column of a file; raises as ``raw`` does, and KeyError where there is no such column."""
        return self.raw(name).keys(column)

    def table(self, name: str) -> pd.DataFrame:
        """The rows of one file, every column text (``string[pyarrow]``), blank cells ``""``.

        The frame is the caller's own: changing it changes no feed. The copy costs nothing to speak of, since
        Arrow memory is never written to.

        Raises:
            FeedStructureError: See ``raw``.
        """
        return self._table_member(name).frame().copy(deep=True)

    def drop_rows(self, name: str, dropped: Mask) -> None:
        """Leave out the rows of the mask; every other keeps its bytes."""
        if not dropped.any():
            return
        raw = self.raw(name)
        count = int(dropped.sum())
        self._note(
            name, RowChanges(removed=count, removed_sample=row_names(raw, np.flatnonzero(dropped)[:SAMPLE_SIZE]))
        )
        self._members[name] = Edited(name, raw.without(dropped))
        if name in self._reached:
            self._reached[name] = self._reached[name][~dropped]

    def set_cells(self, name: str, changed: Mask, values: Mapping[str, Value]) -> None:
        """Set cells of the rows of the mask; every other cell keeps its bytes.

        Args:
            values: By column, one value for all of these rows or one for each of them in order.

        Raises:
            KeyError: The file has no such column.
        """
        raw = self.raw(name)
        missing = [column for column in values if column not in raw.columns]
        if missing:
            raise KeyError(missing[0])
        if changed.any():
            self._members[name] = Edited(name, raw.with_cells(changed, values))
            self._reached[name] = self._reached[name] | changed if name in self._reached else changed.copy()

    def add_column(self, name: str, column: str, value: Value = "") -> None:
        """Add a column at the end: one value for all rows, or one for each.

        Raises:
            ValueError: There is such a column.
        """
        self._members[name] = Edited(name, self.raw(name).with_column(column, value))

    def add_rows(self, name: str, rows: Mapping[str, Sequence[str]]) -> None:
        """Add rows at the end of a file, blank in the columns that ``rows`` does not name.

        Raises:
            KeyError: The file has no such column.
        """
        count = len(next(iter(rows.values()), ()))
        if count:
            self._members[name] = Edited(name, self.raw(name).with_rows(rows))
            self._note(name, RowChanges(added=count))
            if name in self._reached:
                self._reached[name] = np.append(self._reached[name], np.zeros(count, dtype=bool))

    def sort_rows(self, name: str, order: npt.NDArray[np.intp]) -> None:
        """Put the rows of a file in another order, each once."""
        if (np.diff(order) == 1).all():
            return
        self._members[name] = Edited(name, self.raw(name).in_order(order))
        if name in self._reached:
            self._reached[name] = self._reached[name][order]

    def add_table(self, name: str, rows: Mapping[str, Sequence[str]]) -> None:
        """Add a file that is not there yet.

        Raises:
            ValueError: It is there, or its name is no table's.
        """
        _check_table_name(name)
        if name in self._members:
            raise ValueError(f"the feed has {name} already")
        lines = [line_of(tuple(rows)), *map(line_of, zip(*rows.values(), strict=True))]
        self._members[name] = Edited(name, RawTable.parse("".join(f"{line}\n" for line in lines).encode(), name))
        self._note(name, RowChanges(added=len(lines) - 1))

    def set_table(self, name: str, table: pd.DataFrame) -> None:
        """Write one file, new or instead of the one that is there.

        A table equal to the present one leaves the file untouched, bytes and all.

        Raises:
            TypeError, ValueError: See ``csv_tables.as_text``, or a name that is no table's.
        """
        from continuous_gtfs.gtfs.csv_tables import as_text, row_changes

        _check_table_name(name)
        text = as_text(table, name)
        present = self._members.get(name)
        padded: dict[str, str] = {}
        if present is None:
            changes = RowChanges(added=len(text))
        else:
            try:
                before = present.frame()
            except FeedStructureError:
                # A file beyond reading is replaced as a whole: that is how a step repairs it.
                changes = RowChanges(removed=present.row_count(), added=len(text))
            else:
                if before.equals(text):
                    return
                changes = row_changes(before, text, PRIMARY_KEYS.get(name))
                padded = dict(zip(before.columns, present.raw().padded_columns, strict=True))
        self._note(name, self._reached_rows(name) + changes)
        self._reached.pop(name, None)
        self._members[name] = Written(name, text, [padded.get(column, column) for column in text.columns])

    def remove_file(self, name: str) -> None:
        """Leave one file out.

        Raises:
            FeedStructureError: It is not there.
        """
        self._note(name, RowChanges(removed=self._member(name).row_count()))
        del self._members[name]
        self._reached.pop(name, None)

    def member_bytes(self, name: str) -> bytes:
        """The bytes of one file as ``to_bytes`` would zip them.

        Raises:
            FeedStructureError: The file is not there or is damaged in the zip.
        """
        return self._member(name).read()

    def to_bytes(self) -> bytes:
        """The feed as a zip. The same files in the same order give the same bytes, whenever and wherever.

        Raises:
            FeedStructureError: A file that no one changed is damaged in the input's zip.
        """
        return write_zip((name, member.content) for name, member in self._members.items())

    def fork(self) -> Self:
        """A copy that shares every file until one side changes it."""
        return type(self)(self._members)

    def row_counts(self) -> Mapping[str, int]:
        """Rows by file, counted when asked for; for a file that is no CSV, its lines but the first."""
        return _RowCounts(self._members)

    def row_changes(self) -> Mapping[str, RowChanges]:
        """By file, the rows removed, added and changed since this fork was made."""
        names = dict.fromkeys((*self._changes, *self._reached))
        return {name: self._changes.get(name, RowChanges()) + self._reached_rows(name) for name in names}

    def changed_since(self, other: Self) -> frozenset[str]:
        """Files set, added or removed since one of the two was forked from the other."""
        names = self._members.keys() | other._members.keys()
        return frozenset(name for name in names if self._members.get(name) is not other._members.get(name))

    def _note(self, name: str, changes: RowChanges) -> None:
        self._changes[name] = self._changes.get(name, RowChanges()) + changes

    def _reached_rows(self, name: str) -> RowChanges:
        return RowChanges(changed=int(self._reached[name].sum())) if name in self._reached else RowChanges()

    def _table_member(self, name: str) -> Member:
        if not name.endswith(_TABLE_SUFFIX):
            raise FeedStructureError(f"{name} is no table; a table's name ends in {_TABLE_SUFFIX}")
        return self._member(name)

    def _member(self, name: str) -> Member:
        try:
            return self._members[name]
        except KeyError:
            raise FeedStructureError(f"the feed has no {name}; it has {', '.join(self.files)}") from None


def _check_table_name(name: str) -> None:
    if not name.endswith(_TABLE_SUFFIX) or name.startswith(("/", ".")) or "\\" in name:
        raise ValueError(f"{name!r} is no name for a table of a feed; it must end in {_TABLE_SUFFIX}")


def row_names(raw: RawTable, rows: npt.NDArray[np.intp]) -> tuple[str, ...]:
    """What names these rows: their primary key, or for a file that the reference does not know their first cell."""
    own = [column for column in PRIMARY_KEYS.get(raw.file, ()) if column in raw.columns] or [raw.columns[0]]
    return tuple(" ".join(record[column] for column in own).strip() for record in raw.records(rows))


class _RowCounts(Mapping[str, int]):
    def __init__(self, members: Mapping[str, Member]) -> None:
        self._members = dict(members)

    def __getitem__(self, name: str) -> int:
        return self._members[name].row_count()

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)
