"""How step results look in Dagster: one table for schedule and realtime alike."""

from __future__ import annotations

from collections.abc import Sequence

from dagster import MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

from continuous_gtfs.pipeline.results import StepResult

_SCHEMA = TableSchema(
    columns=[
        TableColumn("step", "string"),
        TableColumn("status", "string"),
        TableColumn("duration_ms", "float"),
        TableColumn("rows", "string", description="rows before -> after, by file or feed, where they differ"),
        TableColumn("findings", "string"),
        TableColumn("source_hash", "string"),
    ]
)


def step_table(results: Sequence[StepResult]) -> TableMetadataValue:
    """A row a step, in order."""
    return MetadataValue.table(records=[_record(result) for result in results], schema=_SCHEMA)


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
            "findings": "; ".join(findings),
            "source_hash": result.source_hash,
        }
    )
