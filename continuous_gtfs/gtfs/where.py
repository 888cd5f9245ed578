"""Conditions on the rows of a table: ``where("route_id", equals="2LINE") & ~where("block_id", is_blank=True)``.

**A blank cell never matches**, except where ``is_blank`` asks for it. That holds for negations too: the
logic has three values, as in SQL, so ``~where("route_id", equals="1")`` does not match a row whose
``route_id`` is blank. A rule that removes rows must name the blank ones to remove them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from continuous_gtfs.errors import StepDefinitionError

Mask = npt.NDArray[np.bool_]


class Where(ABC):
    """A condition; made with ``where`` and combined with ``&``, ``|`` and ``~``."""

    @property
    @abstractmethod
    def fields(self) -> frozenset[str]:
        """The columns that the condition reads."""

    @abstractmethod
    def verdicts(self, table: pd.DataFrame) -> tuple[Mask, Mask]:
        """Rows for which it holds, and rows for which it does not; a row in neither has a blank cell.

        Raises:
            KeyError: The table lacks one of ``fields``.
        """

    def matches(self, table: pd.DataFrame) -> Mask:
        """Rows for which the condition holds."""
        return self.verdicts(table)[0]

    def __and__(self, other: Where) -> Where:
        return _Both(self, other)

    def __or__(self, other: Where) -> Where:
        return _Either(self, other)

    def __invert__(self) -> Where:
        return _Not(self)

    def __bool__(self) -> bool:
        raise StepDefinitionError("combine conditions with &, | and ~, not with and, or, not")


def where(
    field: str,
    *,
    equals: str | None = None,
    one_of: Iterable[str] | None = None,
    matches: str | None = None,
    is_blank: bool | None = None,
) -> Where:
    """A condition on one column; give exactly one of the four.

    Args:
        equals: The whole value, case and spaces included.
        one_of: Any of these values.
        matches: A regular expression (``re.search``: anchor it with ``^`` and ``$``).
        is_blank: True for the cells that hold nothing, False for those that hold something.

    Raises:
        StepDefinitionError: None or several given, a value that is blank or no text, or a bad expression.
    """
    given = [
        name
        for name, value in (("equals", equals), ("one_of", one_of), ("matches", matches), ("is_blank", is_blank))
        if value is not None
    ]
    if len(given) != 1:
        said = " and ".join(given) or "nothing"
        raise StepDefinitionError(f"where({field!r}): give one of equals=, one_of=, matches=, is_blank=; it has {said}")
    if is_blank is not None:
        return _IsBlank(field, is_blank)
    if matches is not None:
        try:
            return _Matches(field, re.compile(matches))
        except re.error as error:
            raise StepDefinitionError(f"where({field!r}): {matches!r} is no regular expression: {error}") from None
    if isinstance(one_of, str):
        raise StepDefinitionError(f"where({field!r}): one_of={one_of!r} is one text; use equals= or a list")
    values = (equals,) if equals is not None else tuple(one_of or ())
    if not values:
        raise StepDefinitionError(f"where({field!r}): one_of is empty, so nothing could ever match")
    for value in values:
        if not isinstance(value, str):
            raise StepDefinitionError(f"where({field!r}): {value!r} is no text; every cell of a feed is")
        if value == "":
            raise StepDefinitionError(f"where({field!r}): a blank never matches; ask with is_blank=True")
    return _IsOneOf(field, frozenset(values))


@dataclass(frozen=True)
class _IsOneOf(Where):
    field: str
    values: frozenset[str]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.field})

    def verdicts(self, table: pd.DataFrame) -> tuple[Mask, Mask]:
        return _against_blanks(table[self.field], self.values)


@dataclass(frozen=True)
class _Matches(Where):
    field: str
    pattern: re.Pattern[str]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.field})

    def verdicts(self, table: pd.DataFrame) -> tuple[Mask, Mask]:
        # Each distinct value once: columns of millions of rows hold few.
        column = table[self.field]
        return _against_blanks(column, {value for value in column.unique() if self.pattern.search(value)})


@dataclass(frozen=True)
class _IsBlank(Where):
    field: str
    wanted: bool

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.field})

    def verdicts(self, table: pd.DataFrame) -> tuple[Mask, Mask]:
        blank = _blanks(table[self.field])
        return (blank, ~blank) if self.wanted else (~blank, blank)


@dataclass(frozen=True)
class _Both(Where):
    left: Where
    right: Where

    @property
    def fields(self) -> frozenset[str]:
        return self.left.fields | self.right.fields

    def verdicts(self, table: pd.DataFrame) -> tuple[Mask, Mask]:
        (left, not_left), (right, not_right) = self.left.verdicts(table), self.right.verdicts(table)
        return left & right, not_left | not_right


@dataclass(frozen=True)
class _Either(Where):
    left: Where
    right: Where

    @property
    def fields(self) -> frozenset[str]:
        return self.left.fields | self.right.fields

    def verdicts(self, table: pd.DataFrame) -> tuple[Mask, Mask]:
        (left, not_left), (right, not_right) = self.left.verdicts(table), self.right.verdicts(table)
        return left | right, not_left & not_right


@dataclass(frozen=True)
class _Not(Where):
    condition: Where

    @property
    def fields(self) -> frozenset[str]:
        return self.condition.fields

    def verdicts(self, table: pd.DataFrame) -> tuple[Mask, Mask]:
        holds, fails = self.condition.verdicts(table)
        return fails, holds


def _blanks(column: pd.Series) -> Mask:
    return (column == "").to_numpy(dtype=bool)


def _against_blanks(column: pd.Series, values: Iterable[str]) -> tuple[Mask, Mask]:
    blank = _blanks(column)
    found = column.isin(list(values)).to_numpy(dtype=bool) & ~blank
    return found, ~found & ~blank
