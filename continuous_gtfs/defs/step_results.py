"""How step results look in Dagster: one table for schedule and realtime alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dagster import MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

from continuous_gtfs.pipeline.results import RowChanges, StepResult

_SCHEMA = TableSchema(
    columns=[
        TableColumn("step", "string"),
        TableColumn("status", "string"),
        TableColumn("duration_ms", "float"),
        TableColumn("rows", "string", description="rows before -> after, by file or feed, where they differ"),
        TableColumn("removed", "string", description="rows removed, by file or feed"),
        TableColumn("added", "string", description="rows added, by file or feed"),
        TableColumn("changed", "string", description="rows that stayed with another value, by file or feed"),
        TableColumn("removed_ids", "string", description="some of the rows removed, by file or feed"),
        TableColumn("findings", "string"),
        TableColumn("source_hash", "string"),
    ]
)


def step_table(results: Sequence[StepResult]) -> TableMetadataValue:
    """A row a step, in order."""
    return MetadataValue.table(records=[_record(result) for result in results], schema=_SCHEMA)


def step_summary(results: Sequence[StepResult]) -> str:
    """One line for a run's tag: ``16 ok, 8,123 rows removed``."""
    changes = [found for result in results for found in result.changes.values()]
    counted = [
        (sum(found.removed for found in changes), "removed"),
        (sum(found.added for found in changes), "added"),
        (sum(found.changed for found in changes), "changed"),
    ]
    told = [f"{count:,} {'row' if count == 1 else 'rows'} {what}" for count, what in counted if count]
    return ", ".join([f"{sum(result.status == 'success' for result in results)} ok", *told])


def _record(result: StepResult) -> TableRecord:
    files = sorted(result.rows_before.keys() | result.rows_after.keys())
    rows = [
        f"{file}: {result.rows_before.get(file, 0)} -> {result.rows_after.get(file, 0)}"
        for file in files
        if result.rows_before.get(file) != result.rows_after.get(file)
    ]
    findings = [f"{finding.severity}: {finding.message}" for finding in result.findings]
    return TableRecord(
        {
            "step": result.name,
            "status": result.status,
            "duration_ms": round(result.duration_s * 1000, 3),
            "rows": "; ".join(rows),
            "removed": _by_file(result, lambda found: f"{found.removed:,}" if found.removed else ""),
            "added": _by_file(result, lambda found: f"{found.added:,}" if found.added else ""),
            "changed": _by_file(result, lambda found: f"{found.changed:,}" if found.changed else ""),
            "removed_ids": _by_file(result, lambda found: ", ".join(found.removed_sample)),
            "findings": "; ".join(findings),
            "source_hash": result.source_hash,
        }
    )


def _by_file(result: StepResult, tell: Callable[[RowChanges], str]) -> str:
    told = {file: tell(found) for file, found in sorted(result.changes.items())}
    return "; ".join(f"{file}: {text}" for file, text in told.items() if text)
