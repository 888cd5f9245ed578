"""What all built-in steps on a schedule share: names, checks of their parameters, the rows they are about, findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.gtfs.feed import Feed, row_names
from continuous_gtfs.gtfs.where import Mask, Where
from continuous_gtfs.pipeline.results import SAMPLE_SIZE, Finding
from continuous_gtfs.pipeline.step import Step, StepContext


class Demanding(Protocol):
    """A step that can insist on finding what it is about."""

    @property
    def name(self) -> str: ...

    @property
    def required(self) -> bool: ...


def declare(step: Step[Feed], verb: str, *files: str) -> None:
    """Fill in what follows from the other fields of a frozen step: its name and the files it may change."""
    if not step.name:
        stem = files[0].removesuffix(".txt")
        object.__setattr__(step, "name", f"{verb}_{stem}")
    object.__setattr__(step, "files", frozenset(files))


def require_where(name: str, where: object) -> None:
    """Refuse what is no condition.

    Raises:
        StepDefinitionError: It is none.
    """
    if not isinstance(where, Where):
        raise StepDefinitionError(f'step {name}: {where!r} is no condition; write where("field", equals=...)')


def require_texts(name: str, values: Mapping[str, str]) -> None:
    """Refuse fields without a value, or with one that is no text.

    Raises:
        StepDefinitionError: The message names the field.
    """
    if not values:
        raise StepDefinitionError(f"step {name}: no fields to set")
    for key, value in values.items():
        if not isinstance(value, str):
            raise StepDefinitionError(f"step {name}: {key}={value!r} is no text; every cell of a feed is")


def select(
    feed: Feed, file: str, where: Where, fields: Iterable[str], step: Demanding, context: StepContext
) -> Mask | None:
    """The rows that match; None, with a finding, where there is nothing to work on.

    Args:
        fields: Further columns that the step needs.
    """
    if file not in feed:
        missing(step, context, "file_missing", f"the feed has no {file}", file)
        return None
    table = feed.raw(file)
    needed = dict.fromkeys((*sorted(where.fields), *fields))
    absent = [name for name in needed if name not in table.columns]
    if absent:
        missing(step, context, "column_missing", f"{file} has no column {', '.join(absent)}", file)
        return None
    table.load(sorted(where.fields))
    mask = where.matches(table)
    if not mask.any():
        missing(step, context, "nothing_matched", f"no row of {file} matches {step.name}", file)
        return None
    return mask


def missing(step: Demanding, context: StepContext, code: str, message: str, file: str) -> None:
    """Report what a step did not find: a warning, or an error if the step requires it."""
    context.find(Finding("error" if step.required else "warning", code, message, file))


def counted(code: str, what: str, feed: Feed, file: str, mask: Mask) -> Finding:
    """An info finding with the number of rows and, as a sample, what names them."""
    count = int(mask.sum())
    rows = "1 row" if count == 1 else f"{count:,} rows"
    sample = row_names(feed.raw(file), np.flatnonzero(mask)[:SAMPLE_SIZE])
    return Finding("info", code, f"{rows} {what}", file, count, sample)
