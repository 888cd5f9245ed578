"""The built-in steps on a schedule: remove rows, set fields, clear a field, describe the feed.

Each is a frozen dataclass, so that its parameters are part of its hash. What a step finds missing (its file,
a column, any row that matches) is a warning, since the vendor's next version may have it again; with
``required=True`` it is an error and fails the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

import numpy as np
import pandas as pd

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.gtfs.csv_tables import TEXT
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.where import Mask, Where
from continuous_gtfs.pipeline.results import SAMPLE_SIZE, Finding
from continuous_gtfs.pipeline.step import Step, StepContext

FEED_INFO = "feed_info.txt"
_FEED_INFO_REQUIRED = ("feed_publisher_name", "feed_publisher_url", "feed_lang")
# https://gtfs.org/documentation/schedule/reference/#feed_infotxt
_FEED_INFO_FIELDS = (
    *_FEED_INFO_REQUIRED,
    "default_lang",
    "feed_start_date",
    "feed_end_date",
    "feed_version",
    "feed_contact_email",
    "feed_contact_url",
)


@dataclass(frozen=True)
class RemoveRows(Step[Feed]):
    """Remove the rows of one file that match.

    Rows of other files that refer to them stay: remove those first, in steps of their own.
    """

    file: str
    where: Where
    _: KW_ONLY
    required: bool = False
    name: str = ""
    files: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _declare(self, "remove_rows", self.file)
        _require_where(self.name, self.where)

    def apply(self, feed: Feed, context: StepContext) -> None:
        selected = _select(self, feed, self.file, self.where, (), self.required, context)
        if selected is None:
            return
        table, mask = selected
        feed.set_table(self.file, table[~mask])
        context.find(_counted("rows_removed", f"removed from {self.file}", self.file, table, mask))


@dataclass(frozen=True)
class UpdateFields(Step[Feed]):
    """Set fields of the rows of one file that match; every other row and field stays as it is."""

    file: str
    where: Where
    values: Mapping[str, str]
    _: KW_ONLY
    required: bool = False
    name: str = ""
    files: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _declare(self, "update_fields", self.file)
        _require_where(self.name, self.where)
        _require_texts(self.name, self.values)

    def apply(self, feed: Feed, context: StepContext) -> None:
        selected = _select(self, feed, self.file, self.where, self.values, self.required, context)
        if selected is None:
            return
        table, mask = selected
        changed = _set_fields(table, mask, self.values)
        feed.set_table(self.file, table)
        context.find(_counted("rows_updated", f"updated in {self.file}", self.file, table, changed))


@dataclass(frozen=True)
class ClearField(Step[Feed]):
    """Blank one field in the rows of one file that match. The column stays."""

    file: str
    where: Where
    field: str
    _: KW_ONLY
    required: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        _declare(self, "clear_field", self.file)
        _require_where(self.name, self.where)

    def apply(self, feed: Feed, context: StepContext) -> None:
        selected = _select(self, feed, self.file, self.where, (self.field,), self.required, context)
        if selected is None:
            return
        table, mask = selected
        changed = _set_fields(table, mask, {self.field: ""})
        feed.set_table(self.file, table)
        context.find(_counted("fields_cleared", f"of {self.file} lost their {self.field}", self.file, table, changed))


@dataclass(frozen=True)
class UpdateFeedInfo(Step[Feed]):
    """Set fields of feed_info.txt. A field of the specification that has no column yet gets one.

    A feed without feed_info.txt gets the file if the values hold all that it must have.
    """

    values: Mapping[str, str]
    _: KW_ONLY
    required: bool = False
    name: str = "update_feed_info"
    files: frozenset[str] = field(default=frozenset({FEED_INFO}), init=False, repr=False)

    def __post_init__(self) -> None:
        _require_texts(self.name, self.values)

    def apply(self, feed: Feed, context: StepContext) -> None:
        if FEED_INFO in feed:
            table = feed.table(FEED_INFO)
            if table.empty:
                table = pd.DataFrame({name: pd.Series([""], dtype=TEXT) for name in table.columns})
        elif all(self.values.get(name) for name in _FEED_INFO_REQUIRED):
            table = pd.DataFrame({name: pd.Series([""], dtype=TEXT) for name in _FEED_INFO_REQUIRED})
            context.log(f"{FEED_INFO} was not there; it is now")
        else:
            _missing(self.required, context, "file_missing", f"the feed has no {FEED_INFO}", FEED_INFO)
            return
        values = {}
        for name, value in self.values.items():
            if name not in table.columns and name not in _FEED_INFO_FIELDS:
                message = f"{FEED_INFO} has no column {name}, and the specification knows none of that name"
                _missing(self.required, context, "column_missing", message, FEED_INFO)
                continue
            if name not in table.columns:
                table[name] = pd.Series([""] * len(table), dtype=TEXT)
            values[name] = value
        before = feed.table(FEED_INFO) if FEED_INFO in feed else pd.DataFrame()
        _set_fields(table, np.ones(len(table), dtype=bool), values)
        feed.set_table(FEED_INFO, table)
        changed = [name for name in values if name not in before or not before[name].equals(table[name])]
        context.find(
            Finding(
                "info",
                "fields_set",
                f"{len(changed)} fields of {FEED_INFO} changed: {', '.join(changed) or 'none'}",
                FEED_INFO,
                len(changed),
                tuple(changed),
            )
        )


def _declare(step: Step[Feed], verb: str, file: str) -> None:
    """Fill in what follows from the other fields of a frozen step: its name and the file it may change."""
    if not step.name:
        stem = file.removesuffix(".txt")
        object.__setattr__(step, "name", f"{verb}_{stem}")
    object.__setattr__(step, "files", frozenset({file}))


def _require_where(name: str, where: object) -> None:
    if not isinstance(where, Where):
        raise StepDefinitionError(f'step {name}: {where!r} is no condition; write where("field", equals=...)')


def _require_texts(name: str, values: Mapping[str, str]) -> None:
    if not values:
        raise StepDefinitionError(f"step {name}: no fields to set")
    for key, value in values.items():
        if not isinstance(value, str):
            raise StepDefinitionError(f"step {name}: {key}={value!r} is no text; every cell of a feed is")


def _select(
    step: Step[Feed],
    feed: Feed,
    file: str,
    where: Where,
    fields: Mapping[str, str] | tuple[str, ...],
    required: bool,
    context: StepContext,
) -> tuple[pd.DataFrame, Mask] | None:
    """The table and the rows that match; None, with a finding, where there is nothing to work on."""
    if file not in feed:
        _missing(required, context, "file_missing", f"the feed has no {file}", file)
        return None
    table = feed.table(file)
    absent = [name for name in (*sorted(where.fields), *fields) if name not in table.columns]
    if absent:
        message = f"{file} has no column {', '.join(dict.fromkeys(absent))}"
        _missing(required, context, "column_missing", message, file)
        return None
    mask = where.matches(table)
    if not mask.any():
        _missing(required, context, "nothing_matched", f"no row of {file} matches {step.name}", file)
        return None
    return table, mask


def _missing(required: bool, context: StepContext, code: str, message: str, file: str) -> None:
    context.find(Finding("error" if required else "warning", code, message, file))


def _set_fields(table: pd.DataFrame, mask: Mask, values: Mapping[str, str]) -> Mask:
    """Set ``values`` in the rows of ``mask``; the rows in which that changed anything."""
    changed = np.zeros(len(table), dtype=bool)
    for name, value in values.items():
        differs = mask & (table[name] != value).to_numpy(dtype=bool)
        table[name] = table[name].mask(differs, value)
        changed |= differs
    return changed


def _counted(code: str, what: str, file: str, table: pd.DataFrame, mask: Mask) -> Finding:
    """An info finding with the number of rows and, as a sample, their ids (or what their first column holds)."""
    count = int(mask.sum())
    own_id = file.removesuffix(".txt").removesuffix("s") + "_id"
    shown = own_id if own_id in table.columns else table.columns[0]
    sample = table.loc[mask, shown].head(SAMPLE_SIZE).tolist()
    rows = "1 row" if count == 1 else f"{count:,} rows"
    return Finding("info", code, f"{rows} {what}", file, count, tuple(sample))
