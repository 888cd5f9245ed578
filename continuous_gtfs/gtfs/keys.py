"""Keys: one column of a table as small numbers, one for each distinct value. What conditions and cascades work on.

A column of five million trip ids has some thousand distinct ones: a question is asked once for each of them and
answered for every row by its number. No pandas here: a run of built-in steps does not pay for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
PADDING = " \t"


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """A column's values without the spaces around them, by row.

    Attributes:
        codes: For each row the position of its value in ``values``.
        values: The distinct values, in no order that means anything; some may be on no row any more.
    """

    codes: Codes
    values: tuple[str, ...]

    @classmethod
    def of(cls, cells: Iterable[str]) -> Keys:
        """The keys of a column given cell by cell."""
        positions: dict[str, int] = {}
        codes = [positions.setdefault(cell.strip(PADDING), len(positions)) for cell in cells]
        return cls(np.array(codes, dtype=np.int32), tuple(positions))

    def __len__(self) -> int:
        return len(self.codes)

    def holds(self, predicate: Callable[[str], bool]) -> Mask:
        """The rows whose value the predicate holds for; it is asked once for each distinct value."""
        verdicts = np.fromiter(map(predicate, self.values), dtype=bool, count=len(self.values))
        return verdicts[self.codes] if len(self.values) else np.zeros(len(self.codes), dtype=bool)

    def is_in(self, ids: Collection[str]) -> Mask:
        """The rows whose value is one of ``ids``; pass a set."""
        return self.holds(ids.__contains__)

    def is_blank(self) -> Mask:
        return self.holds(lambda value: value == "")

    def at(self, rows: npt.NDArray[np.intp] | Mask | slice) -> Keys:
        """The same column, these rows only."""
        return Keys(self.codes[rows], self.values)

    def present(self) -> frozenset[str]:
        """The values that at least one row has, blank left out."""
        is_present = np.zeros(len(self.values), dtype=bool)
        is_present[self.codes] = True
        return frozenset(itertools.compress(self.values, is_present.tolist())) - {""}

    def texts(self, rows: npt.NDArray[np.intp] | slice = slice(None)) -> list[str]:
        """The values row by row."""
        values = self.values
        return [values[code] for code in self.codes[rows].tolist()]
