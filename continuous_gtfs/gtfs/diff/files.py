"""One file of two feeds: opened once, compared as a table where it is one, else as bytes; and how that is told.

What a difference means for routes, stops or trips is said in the modules named for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.diff.report import FileDiff, FileStatus, RowChange, RowsDiff
from continuous_gtfs.gtfs.diff.side_by_side import on_both
from continuous_gtfs.gtfs.diff.tables import Renamed, RowMatch, Table, match_rows
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.spec import PRIMARY_KEYS

_TABLE_SUFFIX = ".txt"


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One file as it is in both feeds.

    Attributes:
        before: Its table; None where the feed has no such file, it is no table, or it cannot be read as one.
        is_equal: The same bytes on both sides, or on neither.
        could_not_tell: Why it cannot be read as a table, on the side that is named.
    """

    file: str
    in_before: bool
    in_after: bool
    is_equal: bool
    before: Table | None = None
    after: Table | None = None
    could_not_tell: str = ""

    @property
    def is_table(self) -> bool:
        """Whether every side that has the file could be read."""
        return (self.before is not None) == self.in_before and (self.after is not None) == self.in_after


def open_pair(before: Feed, after: Feed, file: str, *, is_needed: bool = False) -> Pair:
    """One file of both feeds; equal bytes are not parsed unless ``is_needed``.

    Raises:
        FeedStructureError: The file is damaged in the zip. What merely cannot be parsed is told in the answer.
    """
    in_before, in_after = file in before, file in after
    old, new = on_both(lambda feed: feed.member_bytes(file) if file in feed else None, before, after)
    is_equal = old == new
    if not file.endswith(_TABLE_SUFFIX) or (is_equal and not is_needed):
        return Pair(file, in_before, in_after, is_equal)
    if is_equal:
        (table_before, why_before) = (table_after, why_after) = _table(old, file)
    else:
        (table_before, why_before), (table_after, why_after) = on_both(lambda data: _table(data, file), old, new)
    why = [f"{side}: {said}" for side, said in (("before", why_before), ("after", why_after)) if said]
    return Pair(file, in_before, in_after, is_equal, table_before, table_after, "; ".join(why))


def _table(data: bytes | None, file: str) -> tuple[Table | None, str]:
    if data is None:
        return None, ""
    try:
        return Table(data, file), ""
    except FeedStructureError as error:
        return None, str(error)


def match_pair(pair: Pair, renamed: Renamed) -> RowMatch | None:
    """The rows of a file that both feeds have as a table; None where one has it not."""
    if pair.before is None or pair.after is None:
        return None
    return match_rows(pair.before, pair.after, renamed)


def file_diff(pair: Pair, match: RowMatch | None, sample: int) -> FileDiff | None:
    """How one file differs; None where it is the same."""
    if pair.is_equal and match is None:
        return None
    status: FileStatus = "changed" if pair.in_before and pair.in_after else "added" if pair.in_after else "removed"
    if not pair.is_table or (pair.before is None and pair.after is None):
        return FileDiff(file=pair.file, status=status, could_not_tell=pair.could_not_tell)
    columns_before = pair.before.columns if pair.before else ()
    columns_after = pair.after.columns if pair.after else ()
    rows = _rows_diff(pair, match, sample)
    found = FileDiff(
        file=pair.file,
        status=status,
        columns_added=tuple(name for name in columns_after if name not in columns_before),
        columns_removed=tuple(name for name in columns_before if name not in columns_after),
        rows=rows,
    )
    is_same = status == "changed" and rows.is_same and not found.columns_added and not found.columns_removed
    return None if is_same else found


def _rows_diff(pair: Pair, match: RowMatch | None, sample: int) -> RowsDiff:
    before, after = pair.before, pair.after
    columns = tuple(dict.fromkeys([*(before.columns if before else ()), *(after.columns if after else ())]))
    key = tuple(name for name in PRIMARY_KEYS.get(pair.file, ()) if name in columns)
    count_before, count_after = len(before) if before else 0, len(after) if after else 0
    added, removed, changed = count_after, count_before, 0
    if match is not None:
        added, removed, changed = len(match.added), len(match.removed), len(match.changed_before)
    return RowsDiff(
        key=key,
        columns=columns,
        before=count_before,
        after=count_after,
        added=added,
        removed=removed,
        changed=changed,
        renumbered=match.renumbered if match else 0,
        is_reordered=match.is_reordered if match else False,
        **_samples(before, after, match, key, sample),
    )


def _samples(
    before: Table | None, after: Table | None, match: RowMatch | None, key: tuple[str, ...], sample: int
) -> Mapping[str, tuple[RowChange, ...]]:
    import numpy as np

    found: dict[str, tuple[RowChange, ...]] = {}
    if after is not None:
        rows = (match.added if match else np.arange(len(after)))[:sample]
        told = zip(after.records(rows), after.line_numbers(rows), strict=True)
        found["added_sample"] = tuple(RowChange(key=_key(row, key), after=row, line_after=line) for row, line in told)
    if before is not None:
        rows = (match.removed if match else np.arange(len(before)))[:sample]
        told = zip(before.records(rows), before.line_numbers(rows), strict=True)
        found["removed_sample"] = tuple(
            RowChange(key=_key(row, key), before=row, line_before=line) for row, line in told
        )
    if before is not None and after is not None and match is not None:
        old, new = match.changed_before[:sample], match.changed_after[:sample]
        both = zip(
            before.records(old), after.records(new), before.line_numbers(old), after.line_numbers(new), strict=True
        )
        found["changed_sample"] = tuple(
            RowChange(key=_key(row, key), before=row, after=row_after, line_before=line, line_after=line_after)
            for row, row_after, line, line_after in both
        )
    return found


def _key(row: Mapping[str, str], key: tuple[str, ...]) -> dict[str, str]:
    return {name: row[name] for name in key if name in row} or dict(row)
