"""Steps on the rows and fields of one file: remove, update, clear, describe the feed.

Each is a frozen dataclass, so that its parameters are part of its hash. What a step finds missing (its file,
a column, any row that matches) is a warning, since the vendor's next version may have it again; with
``required=True`` it is an error and fails the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from continuous_gtfs.gtfs.builtin.selection import (
    counted,
    declare,
    missing,
    require_texts,
    require_where,
    select,
)
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.keys import PADDING
from continuous_gtfs.gtfs.where import Mask, Where
from continuous_gtfs.pipeline.results import Finding
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
    """Remove the rows of one file that match, save those that ``exclude`` matches.

    Rows of other files that refer to them stay; ``RemoveRoutes`` and its like take those along.
    """

    file: str
    where: Where
    exclude: Where | None = None
    _: KW_ONLY
    required: bool = False
    name: str = ""
    files: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        declare(self, "remove_rows", self.file)
        require_where(self.name, self.where)
        if self.exclude is not None:
            require_where(self.name, self.exclude)

    def apply(self, feed: Feed, context: StepContext) -> None:
        excluded = () if self.exclude is None else self.exclude.fields
        mask = select(feed, self.file, self.where, excluded, self, context)
        if mask is None:
            return
        if self.exclude is not None:
            mask &= ~self.exclude.matches(feed.raw(self.file))
        context.find(counted("rows_removed", f"removed from {self.file}", feed, self.file, mask))
        feed.drop_rows(self.file, mask)


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
        declare(self, "update_fields", self.file)
        require_where(self.name, self.where)
        require_texts(self.name, self.values)

    def apply(self, feed: Feed, context: StepContext) -> None:
        mask = select(feed, self.file, self.where, self.values, self, context)
        if mask is None:
            return
        changed = mask & _differs(feed, self.file, self.values)
        context.find(counted("rows_updated", f"updated in {self.file}", feed, self.file, changed))
        feed.set_cells(self.file, changed, self.values)


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
        declare(self, "clear_field", self.file)
        require_where(self.name, self.where)

    def apply(self, feed: Feed, context: StepContext) -> None:
        mask = select(feed, self.file, self.where, (self.field,), self, context)
        if mask is None:
            return
        changed = mask & ~feed.keys(self.file, self.field).is_blank()
        context.find(counted("fields_cleared", f"of {self.file} lost their {self.field}", feed, self.file, changed))
        feed.set_cells(self.file, changed, {self.field: ""})


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
        require_texts(self.name, self.values)

    def apply(self, feed: Feed, context: StepContext) -> None:
        if FEED_INFO not in feed:
            if not all(self.values.get(name) for name in _FEED_INFO_REQUIRED):
                missing(self, context, "file_missing", f"the feed has no {FEED_INFO}", FEED_INFO)
                return
            feed.add_table(FEED_INFO, {name: [""] for name in _FEED_INFO_REQUIRED})
            context.log(f"{FEED_INFO} was not there; it is now")
        elif not len(feed.raw(FEED_INFO)):
            feed.add_rows(FEED_INFO, {feed.raw(FEED_INFO).columns[0]: [""]})
        changed = [name for name, value in self.values.items() if self._set(feed, name, value, context)]
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

    def _set(self, feed: Feed, name: str, value: str, context: StepContext) -> bool:
        """Set one field; whether that changed anything."""
        if name not in feed.raw(FEED_INFO).columns:
            if name not in _FEED_INFO_FIELDS:
                message = f"{FEED_INFO} has no column {name}, and the specification knows none of that name"
                missing(self, context, "column_missing", message, FEED_INFO)
                return False
            feed.add_column(FEED_INFO, name)
            if not value:
                return True
        differs = ~feed.keys(FEED_INFO, name).is_in({value.strip(PADDING)})
        feed.set_cells(FEED_INFO, differs, {name: value})
        return bool(differs.any())


def _differs(feed: Feed, file: str, values: Mapping[str, str]) -> Mask:
    """Rows of which some field is not what it is to be."""
    differs = np.zeros(len(feed.raw(file)), dtype=bool)
    for name, value in values.items():
        differs |= ~feed.keys(file, name).is_in({value.strip(PADDING)})
    return differs
