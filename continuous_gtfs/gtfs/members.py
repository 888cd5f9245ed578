"""What a file of a feed can be: as it lies in the zip, with rows or cells changed, or written anew from a frame.

Each form gives the file's bytes, its table of text and its frame; what was worked out once is kept, and shared by all
forks of a feed, so nothing here is ever changed. pandas is imported where a frame is asked for, and not before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.raw_table import RawTable
from continuous_gtfs.gtfs.zipped import DeflatedMember, ZippedFeed

if TYPE_CHECKING:
    import pandas as pd


class Member(ABC):
    """One file of a feed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._raw: RawTable | None = None
        self._frame: pd.DataFrame | None = None
        self._count: int | None = None

    @abstractmethod
    def chunks(self) -> Iterable[bytes]:
        """The bytes of the file, a piece at a time."""

    def content(self) -> Iterable[bytes] | DeflatedMember:
        """What ``write_zip`` writes: the bytes, or the file as it lies compressed in the input."""
        return self.chunks()

    def read(self) -> bytes:
        return b"".join(self.chunks())

    def buffer(self) -> bytes | bytearray:
        """The bytes of the file, to be read only; of a large one no second copy is made on the way."""
        return self.read()

    def raw(self) -> RawTable:
        """The file as a table of text.

        Raises:
            FeedStructureError: It cannot be read as one; the message names line and column.
        """
        if self._raw is None:
            self._raw = RawTable.parse(self.buffer(), self.name)
        return self._raw

    def frame(self) -> pd.DataFrame:
        """The file as a frame of Arrow-backed text, not to be changed; raises as ``raw`` does."""
        if self._frame is None:
            from continuous_gtfs.gtfs.csv_tables import frame_of

            self._frame = frame_of(self.raw())
        return self._frame

    def row_count(self) -> int:
        """Rows; of a file that cannot be parsed, its lines but the first."""
        if self._count is None:
            try:
                # Counting the lines of the bytes is quicker than finding the rows, but reading the bytes is not.
                self._count = _count_rows(self.read()) if self._raw is None else len(self._raw)
            except FeedStructureError:
                self._count = _count_rows(self.read())
        return self._count


class Stored(Member):
    """A file as it lies in the zip."""

    def __init__(self, zipped: ZippedFeed, name: str) -> None:
        super().__init__(name)
        self._zipped = zipped

    def chunks(self) -> Iterable[bytes]:
        return self._zipped.chunks(self.name)

    def buffer(self) -> bytes | bytearray:
        return self._zipped.buffer(self.name)

    def content(self) -> Iterable[bytes] | DeflatedMember:
        return self._zipped.deflated(self.name) or self.chunks()


class Edited(Member):
    """A file of which rows or cells were changed; the rest are the bytes that came."""

    def __init__(self, name: str, raw: RawTable) -> None:
        super().__init__(name)
        self._raw = raw

    def chunks(self) -> Iterable[bytes]:
        return self.raw().chunks()

    def row_count(self) -> int:
        return len(self.raw())


class Written(Member):
    """A file that was set as a whole."""

    def __init__(self, name: str, frame: pd.DataFrame, header: Sequence[str]) -> None:
        """``header`` holds the names to write above the columns, with the padding that they came with."""
        super().__init__(name)
        self._frame = frame
        self._header = header

    def chunks(self) -> Iterable[bytes]:
        from continuous_gtfs.gtfs.csv_tables import write_table

        return [write_table(self.frame(), header=self._header)]

    def row_count(self) -> int:
        return len(self.frame())


def _count_rows(data: bytes) -> int:
    """Rows of CSV bytes without parsing them, so that a file that cannot be parsed can be counted too."""
    if b'"' not in data and b"\n\n" not in data and b"\n\r" not in data:
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        return max(lines - 1, 0)
    rows, is_open = -1, False
    for line in data.split(b"\n"):
        if not is_open and not line.strip(b"\r"):
            continue
        rows += not is_open
        is_open ^= line.count(b'"') % 2 == 1
    return max(rows, 0)
