"""How a run of steps looks: a table of text for a terminal, and one JSON document with every row accounted for.

Pure rendering of ``StepResult``; what to do with the text is the caller's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from continuous_gtfs.foreign_text import printable
from continuous_gtfs.pipeline.results import Finding, RowChanges, StepResult

_HEADER = ("step", "status", "file", "removed", "added", "changed", "findings", "ms")
_NUMBERS = frozenset({3, 4, 5, 7})
_NOTHING = ("-", "", "", "")
_SHOWN_IDS = 3


def step_table(results: Sequence[StepResult]) -> str:
    """A table of the steps in their order: a line for each file of which a step removed, added or changed rows."""
    lines: list[Sequence[str]] = [_HEADER]
    for result in results:
        first, *more = [(file, *_numbers(changes)) for file, changes in sorted(result.changes.items())] or [_NOTHING]
        took = f"{result.duration_s * 1000:,.1f}"
        lines.append((result.name, result.status, *first, _severities(result.findings), took))
        lines += [("", "", *row, "", "") for row in more]
    return text_table(lines, numbers=_NUMBERS)


def step_notes(results: Sequence[StepResult]) -> str:
    """What the steps said, a line each: their findings with a sample of ids, and their log lines."""
    notes: list[Sequence[str]] = []
    for result in results:
        notes += [(finding.severity, result.name, _said(finding)) for finding in result.findings]
        notes += [("log", result.name, _one_line(line)) for line in result.logs]
    return text_table(notes)


def file_totals(
    rows_in: Mapping[str, int], rows_out: Mapping[str, int], results: Iterable[StepResult]
) -> dict[str, dict[str, int]]:
    """By file of either side: rows in, removed, added, changed, out. Rows in - removed + added = rows out.

    A row that two steps changed counts twice as changed, one that a step added and a later one removed counts as both.
    """
    totals: dict[str, RowChanges] = {}
    for result in results:
        for file, changes in result.changes.items():
            totals[file] = totals.get(file, RowChanges()) + changes
    names = dict.fromkeys((*rows_in, *rows_out, *totals))
    return {
        name: {
            "rows_in": rows_in.get(name, 0),
            "removed": (found := totals.get(name, RowChanges())).removed,
            "added": found.added,
            "changed": found.changed,
            "rows_out": rows_out.get(name, 0),
        }
        for name in names
    }


def run_report(
    results: Sequence[StepResult],
    *,
    facts: Mapping[str, Any],
    rows_in: Mapping[str, int],
    rows_out: Mapping[str, int] | None,
    error: str | None = None,
) -> dict[str, Any]:
    """The run as one JSON-safe document: status, what the caller knows of the run, steps, totals by file.

    Args:
        facts: What stands between status and steps: input, output, time.
        rows_out: None where a step failed, so that there is no output to account for.
        error: Why it failed.
    """
    return {
        "status": "success" if error is None else "failed",
        "error": error,
        **facts,
        "steps": [result.to_dict() for result in results],
        "files": None if rows_out is None else file_totals(rows_in, rows_out, results),
    }


def text_table(rows: Sequence[Sequence[str]], *, numbers: Collection[int] = ()) -> str:
    """Rows as lines with aligned columns, two spaces between them; ``""`` for none.

    Whatever a feed has put into a cell, it moves no cursor of the terminal and turns no text around.

    Args:
        numbers: Positions of the columns that are aligned to the right.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(
            cell.rjust(width) if position in numbers else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        + "\n"
        for row in rows
    )


def counted(count: int, noun: str) -> str:
    """``1 step``, ``2,000 steps``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _numbers(changes: RowChanges) -> tuple[str, str, str]:
    return f"{changes.removed:,}", f"{changes.added:,}", f"{changes.changed:,}"


def _severities(findings: Iterable[Finding]) -> str:
    found = Counter(finding.severity for finding in findings)
    return ", ".join(counted(found[severity], severity) for severity in ("error", "warning", "info") if found[severity])


def _said(finding: Finding) -> str:
    shown = [text for text in finding.sample if text][:_SHOWN_IDS]
    sample = ", ".join(shown)
    more = ", ..." if finding.count > len(shown) else ""
    return _one_line(f"{finding.message} ({sample}{more})" if sample else finding.message)


def _one_line(text: str) -> str:
    return " ".join(text.split())
