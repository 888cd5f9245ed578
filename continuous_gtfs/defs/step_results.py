"""How step results look in Dagster: the same tables for schedule and realtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

from dagster import TableMetadataValue

from continuous_gtfs.defs.tables import Record, table
from continuous_gtfs.pipeline.results import RowChanges, StepResult

_STEPS = {
    "step": "string",
    "status": "string",
    "duration_ms": "float",
    "removed": "int",
    "added": "int",
    "changed": "int",
    "findings": "string",
    "source_hash": "string",
}
_ROWS = {
    "step": "string",
    "file": "string",
    "before": "int",
    "after": "int",
    "removed": "int",
    "added": "int",
    "changed": "int",
    "removed_ids": "string",
}
_FINDINGS = {"step": "string", "severity": "string", "finding": "string"}


def step_tables(results: Sequence[StepResult], *, feed: str | None = None) -> Mapping[str, TableMetadataValue]:
    """Metadata by name: ``steps``, a row a step in order; ``step_rows``, a row for each file (or feed) of which a step
    removed, added or changed rows; ``step_findings``, a row a finding. The last two only where they have rows.

    Args:
        feed: For a realtime run, the feed whose page it is: of the last two only the rows about it or about no
            feed, since what is about its sibling stands at the sibling; and its entities also after a step that
            changed none of them.
    """
    tables: dict[str, tuple[Mapping[str, str], list[Record]]] = {
        "steps": (_STEPS, [_step(result) for result in results]),
        "step_rows": (
            _ROWS,
            [_rows(result, file) for result in results for file in sorted(_counted(result, feed))],
        ),
        "step_findings": (
            _FINDINGS,
            [
                {"step": result.name, "severity": finding.severity, "finding": finding.message}
                for result in results
                for finding in result.findings
                if feed is None or finding.file in (None, feed)
            ],
        ),
    }
    return {name: table(columns, records) for name, (columns, records) in tables.items() if records or name == "steps"}


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


def _step(result: StepResult) -> Record:
    changes = result.changes.values()
    severities = Counter(finding.severity for finding in result.findings)
    return {
        "step": result.name,
        "status": result.status,
        "duration_ms": round(result.duration_s * 1000, 3),
        "removed": sum(found.removed for found in changes),
        "added": sum(found.added for found in changes),
        "changed": sum(found.changed for found in changes),
        "findings": ", ".join(f"{count} {severity}" for severity, count in sorted(severities.items())),
        "source_hash": result.source_hash,
    }


def _counted(result: StepResult, feed: str | None) -> Set[str]:
    if feed is None:
        return result.changes.keys()
    return {feed} & (result.changes.keys() | result.rows_before.keys() | result.rows_after.keys())


def _rows(result: StepResult, file: str) -> Record:
    found = result.changes.get(file, RowChanges())
    return {
        "step": result.name,
        "file": file,
        "before": result.rows_before.get(file, 0),
        "after": result.rows_after.get(file, 0),
        "removed": found.removed,
        "added": found.added,
        "changed": found.changed,
        "removed_ids": ", ".join(found.removed_sample),
    }
