"""A diff in the form of GTFS Diff v2, for tools that read it.

Schema and specification: https://github.com/MobilityData/gtfs_diff/tree/main/spec/v2 (2.0.0, April 2026). Where the
two name a field in two ways, the schema is followed.

The form knows no trip ids that were re-numbered: a row that is otherwise the same is no change in it, and one that has
other cells too is told as modified, its trip_id among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from continuous_gtfs.gtfs.diff.report import FeedDiff, FileDiff, RowChange
from continuous_gtfs.gtfs.raw_table import line_of
from continuous_gtfs.gtfs.spec import PRIMARY_KEYS

SCHEMA_VERSION = "2.0.0"
_ACTIONS = {"added": "added", "removed": "deleted", "changed": "modified"}


def gtfs_diff_v2(
    diff: FeedDiff,
    *,
    base_source: str,
    base_downloaded_at: datetime,
    new_source: str,
    new_downloaded_at: datetime,
    generated_at: datetime,
) -> dict[str, Any]:
    """The document, ready for JSON.

    Rows are listed up to ``diff.sample`` a file, all kinds together: modified ones first, then those deleted, then
    those added.

    Args:
        base_source: URL or path that the feed before came from. Give no URL with a token in it.

    Raises:
        ValueError: A time without a time zone.
    """
    told = [file for file in diff.files if _is_supported(file.file)]
    summaries = [_summary(file) for file in told]
    return {
        "metadata": {
            "schema_version": SCHEMA_VERSION,
            "generated_at": _instant(generated_at),
            "row_changes_cap_per_file": diff.sample,
            "base_feed": {"source": base_source, "downloaded_at": _instant(base_downloaded_at)},
            "new_feed": {"source": new_source, "downloaded_at": _instant(new_downloaded_at)},
            "unsupported_files": _unsupported(diff),
        },
        "summary": {
            "total_changes": sum(map(_changes, told)),
            "files_added_count": sum(file.status == "added" for file in told),
            "files_deleted_count": sum(file.status == "removed" for file in told),
            "files_modified_count": sum(file.status == "changed" for file in told),
            "files": summaries,
        },
        "file_diffs": [_file_diff(file, diff.sample) for file in told],
    }


def _is_supported(file: str) -> bool:
    return file in PRIMARY_KEYS


def _changes(file: FileDiff) -> int:
    """Rows and columns that differ, and a file that came or went as one more, as MobilityData's own engine counts."""
    rows = (file.rows.added + file.rows.removed + file.rows.changed) if file.rows else 0
    return rows + len(file.columns_added) + len(file.columns_removed) + (file.status != "changed")


def _unsupported(diff: FeedDiff) -> list[dict[str, str]]:
    before, after = set(diff.files_before), set(diff.files_after)
    return [
        {"file_name": file, "present_in": "both" if file in before & after else "base" if file in before else "new"}
        for file in sorted(before | after)
        if not _is_supported(file)
    ]


def _summary(file: FileDiff) -> dict[str, Any]:
    rows = file.rows
    counts = {
        "columns_added_count": len(file.columns_added),
        "columns_deleted_count": len(file.columns_removed),
        "rows_added_count": rows.added if rows else 0,
        "rows_deleted_count": rows.removed if rows else 0,
        "rows_modified_count": rows.changed if rows else 0,
    }
    said = {name: count for name, count in counts.items() if count}
    return {"file_name": file.file, "status": _ACTIONS[file.status], **said}


def _file_diff(file: FileDiff, cap: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        "file_name": file.file,
        "file_action": _ACTIONS[file.status],
        "columns_added_list": list(file.columns_added),
        "columns_deleted_list": list(file.columns_removed),
    }
    rows = file.rows
    # An added or a deleted file is told as such, without its rows.
    if file.status != "changed" or rows is None:
        return said
    # A row that names another trip by the same trip_id has changed and shows no other cell: the form cannot tell it.
    changed = [one for one in rows.changed_sample if one.cells][:cap]
    removed = rows.removed_sample[: cap - len(changed)]
    added = rows.added_sample[: cap - len(changed) - len(removed)]
    # A row that has the key columns has at least one; a file without any is named by all it holds.
    key = rows.key or rows.columns
    said["row_changes"] = {
        "primary_key": list(key),
        "columns_list": list(rows.columns),
        "added_list": [_row(one, one.after, key, rows.columns, "new") for one in added],
        "deleted_list": [_row(one, one.before, key, rows.columns, "base") for one in removed],
        "modified_list": [
            _row(one, one.before, key, rows.columns, "base", "new") | {"field_changes": _field_changes(one)}
            for one in changed
        ],
    }
    omitted = rows.added + rows.removed + rows.changed - len(added) - len(removed) - len(changed)
    if omitted:
        said["truncated"] = {"is_truncated": True, "omitted_count": omitted}
    return said


def _row(
    change: RowChange, cells: Mapping[str, str] | None, key: Iterable[str], columns: Sequence[str], *sides: str
) -> dict[str, Any]:
    row = cells or {}
    lines = {"base": change.line_before, "new": change.line_after}
    return {
        "identifier": {name: row.get(name, "") for name in key},
        "raw_value": line_of([row.get(name, "") for name in columns]),
        **{f"{side}_line_number": lines[side] for side in sides},
    }


def _field_changes(change: RowChange) -> list[dict[str, str]]:
    return [{"field": name, "base_value": old, "new_value": new} for name, (old, new) in change.cells.items()]


def _instant(when: datetime) -> str:
    if when.tzinfo is None:
        raise ValueError(f"{when} has no time zone; which instant is it?")
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
