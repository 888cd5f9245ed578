"""Feed: a GTFS Schedule feed whose files are read only when touched and written back as they came.

Reading is separate from judging: a feed that breaks a rule of the specification can be loaded, so that a
step can repair it. What is refused here is what cannot be read without guessing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import pandas as pd

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.csv_tables import as_text, parse_table, write_table
from continuous_gtfs.gtfs.zip_writing import write_zip
from continuous_gtfs.gtfs.zipped import FeedLimits, ZippedFeed

__all__ = ["Feed", "FeedLimits"]

_TABLE_SUFFIX = ".txt"


class _Stored:
    """A member as it lies in the zip. Its table, once parsed, is shared by all forks and never changed."""

    def __init__(self, zipped: ZippedFeed, name: str) -> None:
        self._zipped = zipped
        self._name = name
        self._table: pd.DataFrame | None = None

    def read(self) -> bytes:
        return self._zipped.read(self._name)

    def table(self) -> pd.DataFrame:
        if self._table is None:
            self._table = parse_table(self.read(), self._name)
        return self._table

    @property
    def is_parsed(self) -> bool:
        return self._table is not None

    def row_count(self) -> int:
        return len(self._table) if self._table is not None else _count_rows(self.read())


class _Written:
    """A member that a step wrote. Its table is never changed; another write makes another object."""

    is_parsed = True

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table

    def read(self) -> bytes:
        return write_table(self._table)

    def table(self) -> pd.DataFrame:
        return self._table

    def row_count(self) -> int:
        return len(self._table)


class Feed:
    """The files of one feed, by the name they have in it.

    A file that no one has set keeps its exact bytes through ``to_bytes``: unknown files, free text, line ends
    and byte order mark included. ``table`` gives a copy; a change takes effect with ``set_table`` only.
    """

    def __init__(self, members: Mapping[str, _Stored | _Written]) -> None:
        self._members = dict(members)

    @classmethod
    def from_bytes(cls, data: bytes, *, limits: FeedLimits | None = None) -> Self:
        """Open a zipped feed; no member is read yet.

        Raises:
            FeedStructureError: Not a zip, no stops.txt, over the limits, or a member that cannot be trusted:
                see ``ZippedFeed``.
        """
        zipped = ZippedFeed(data, limits=limits)
        return cls({name: _Stored(zipped, name) for name in zipped.names})

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

    def table(self, name: str) -> pd.DataFrame:
        """The rows of one file, every column text (``string[pyarrow]``), blank cells ``""``.

        The frame is the caller's own: changing it changes no feed. The copy costs nothing to speak of, since
        Arrow memory is never written to.

        Raises:
            FeedStructureError: The file is not there, is no table, or cannot be read as one; the message
                names line and column.
        """
        if not name.endswith(_TABLE_SUFFIX):
            raise FeedStructureError(f"{name} is no table; a table's name ends in {_TABLE_SUFFIX}")
        return self._member(name).table().copy(deep=True)

    def set_table(self, name: str, table: pd.DataFrame) -> None:
        """Write one file, new or instead of the one that is there.

        A table equal to the present one leaves the file untouched, bytes and all.

        Raises:
            TypeError, ValueError: See ``csv_tables.as_text``, or a name that is no table's.
        """
        if not name.endswith(_TABLE_SUFFIX) or name.startswith(("/", ".")) or "\\" in name:
            raise ValueError(f"{name!r} is no name for a table of a feed; it must end in {_TABLE_SUFFIX}")
        text = as_text(table, name)
        present = self._members.get(name)
        if present is not None and present.is_parsed and present.table().equals(text):
            return
        self._members[name] = _Written(text)

    def remove_file(self, name: str) -> None:
        """Leave one file out.

        Raises:
            FeedStructureError: It is not there.
        """
        self._member(name)
        del self._members[name]

    def member_bytes(self, name: str) -> bytes:
        """The bytes of one file as ``to_bytes`` would zip them.

        Raises:
            FeedStructureError: The file is not there or is damaged in the zip.
        """
        return self._member(name).read()

    def to_bytes(self) -> bytes:
        """The feed as a zip. The same files in the same order give the same bytes, whenever and wherever."""
        return write_zip((name, member.read()) for name, member in self._members.items())

    def fork(self) -> Self:
        """A copy that shares every file until one side sets it."""
        return type(self)(self._members)

    def row_counts(self) -> Mapping[str, int]:
        """Rows by file, counted when asked for; for a file that is no CSV, its lines but the first."""
        return _RowCounts(self._members)

    def changed_since(self, other: Self) -> frozenset[str]:
        """Files set, added or removed since one of the two was forked from the other."""
        names = self._members.keys() | other._members.keys()
        return frozenset(name for name in names if self._members.get(name) is not other._members.get(name))

    def _member(self, name: str) -> _Stored | _Written:
        try:
            return self._members[name]
        except KeyError:
            raise FeedStructureError(f"the feed has no {name}; it has {', '.join(self.files)}") from None


class _RowCounts(Mapping[str, int]):
    def __init__(self, members: Mapping[str, _Stored | _Written]) -> None:
        self._members = dict(members)

    def __getitem__(self, name: str) -> int:
        return self._members[name].row_count()

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _count_rows(data: bytes) -> int:
    """Rows of CSV bytes without parsing them, so that a file that cannot be parsed can be counted too."""
    if b'"' not in data and b"\n\n" not in data and b"\n\r" not in data:
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        return max(lines - 1, 0)
    rows, is_open = -1, False
    for line in data.splitlines():
        if not is_open and not line:
            continue
        rows += not is_open
        is_open ^= line.count(b'"') % 2 == 1
    return max(rows, 0)
