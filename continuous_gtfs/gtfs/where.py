"""Conditions on the rows of a table: ``where("route_id", equals="2LINE") & ~where("block_id", is_blank=True)``.

**A blank cell never matches**, except where ``is_blank`` asks for it. That holds for negations too: the
logic has three values, as in SQL, so ``~where("route_id", equals="1")`` does not match a row whose
``route_id`` is blank. A rule that removes rows must name the blank ones to remove them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.gtfs.keys import PADDING, Keys, Mask

__all__ = ["Mask", "Where", "where"]


class Where(ABC):
    """A condition; made with ``where`` and combined with ``&``, ``|`` and ``~``."""

    @property
    @abstractmethod
    def fields(self) -> frozenset[str]:
        """The columns that the condition reads."""

    @abstractmethod
    def verdicts(self, keys: Callable[[str], Keys]) -> tuple[Mask, Mask]:
        """Rows for which it holds, and rows for which it does not; a row in neither has a blank cell."""

    def matches(self, table: Any) -> Mask:
        """Rows for which the condition holds, of a table of a feed (``feed.raw``) or of a pandas DataFrame of text.

        Spaces around a value are not part of it.

        Raises:
            KeyError: The table lacks one of ``fields``.
        """
        if hasattr(table, "columns") and hasattr(table, "loc"):
            return self.verdicts(lambda column: Keys.of(table[column]))[0]
        return self.verdicts(table.keys)[0]

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
        equals: The whole value, case included; spaces around it are not part of it.
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
        if not value.strip(PADDING):
            raise StepDefinitionError(f"where({field!r}): a blank never matches; ask with is_blank=True")
    return _IsOneOf(field, frozenset(value.strip(PADDING) for value in values))


@dataclass(frozen=True)
class _IsOneOf(Where):
    field: str
    values: frozenset[str]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.field})

    def verdicts(self, keys: Callable[[str], Keys]) -> tuple[Mask, Mask]:
        return _against_blanks(keys(self.field), self.values.__contains__)


@dataclass(frozen=True)
class _Matches(Where):
    field: str
    pattern: re.Pattern[str]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.field})

    def verdicts(self, keys: Callable[[str], Keys]) -> tuple[Mask, Mask]:
        return _against_blanks(keys(self.field), lambda value: self.pattern.search(value) is not None)


@dataclass(frozen=True)
class _IsBlank(Where):
    field: str
    wanted: bool

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.field})

    def verdicts(self, keys: Callable[[str], Keys]) -> tuple[Mask, Mask]:
        blank = keys(self.field).is_blank()
        return (blank, ~blank) if self.wanted else (~blank, blank)


@dataclass(frozen=True)
class _Both(Where):
    left: Where
    right: Where

    @property
    def fields(self) -> frozenset[str]:
        return self.left.fields | self.right.fields

    def verdicts(self, keys: Callable[[str], Keys]) -> tuple[Mask, Mask]:
        (left, not_left), (right, not_right) = self.left.verdicts(keys), self.right.verdicts(keys)
        return left & right, not_left | not_right


@dataclass(frozen=True)
class _Either(Where):
    left: Where
    right: Where

    @property
    def fields(self) -> frozenset[str]:
        return self.left.fields | self.right.fields

    def verdicts(self, keys: Callable[[str], Keys]) -> tuple[Mask, Mask]:
        (left, not_left), (right, not_right) = self.left.verdicts(keys), self.right.verdicts(keys)
        return left | right, not_left & not_right


@dataclass(frozen=True)
class _Not(Where):
    condition: Where

    @property
    def fields(self) -> frozenset[str]:
        return self.condition.fields

    def verdicts(self, keys: Callable[[str], Keys]) -> tuple[Mask, Mask]:
        holds, fails = self.condition.verdicts(keys)
        return fails, holds


def _against_blanks(column: Keys, holds: Callable[[str], bool]) -> tuple[Mask, Mask]:
    blank = column.is_blank()
    found = column.holds(holds) & ~blank
    return found, ~found & ~blank
