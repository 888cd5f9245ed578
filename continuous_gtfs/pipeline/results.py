"""What a step run leaves behind: findings and a result. Plain data that survives JSON; nothing runs here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Literal

from continuous_gtfs.foreign_text import shown

Severity = Literal["info", "warning", "error"]
Status = Literal["success", "failed"]

SAMPLE_SIZE = 10
MOST_ID_CHARACTERS = 500


def sample_of(ids: Iterable[str]) -> tuple[str, ...]:
    """The first ``SAMPLE_SIZE`` of ``ids`` as they are, but for what is too long to be an id."""
    return tuple(one[:MOST_ID_CHARACTERS] for one in islice(ids, SAMPLE_SIZE))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a step noticed about the feed, counted and sampled, never the full list.

    A finding of severity ``error`` fails the step that reports it.

    Attributes:
        severity: ``info``, ``warning`` or ``error``.
        code: snake_case, the same for every finding of its kind.
        message: One sentence for the reader of the run; on one line, and cut where it is very long.
        file: The file (schedule) or feed (realtime) it is about.
        count: How many rows or entities it is about.
        sample: At most ``SAMPLE_SIZE`` of their ids, very long ones cut; what is beyond is cut off.
    """

    severity: Severity
    code: str
    message: str
    file: str | None = None
    count: int = 0
    sample: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", shown(self.message))
        object.__setattr__(self, "sample", sample_of(self.sample))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"sample": list(self.sample)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Finding:
        return cls(**(dict(fields) | {"sample": tuple(fields["sample"])}))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChanges:
    """Rows (or entities) of one file that a step removed and added: before - removed + added = after.

    Attributes:
        changed: Rows that stayed and hold another value; a new column alone changes no row.
        removed_sample: At most ``SAMPLE_SIZE`` ids of those removed, very long ones cut; what is beyond is cut off.
    """

    removed: int = 0
    added: int = 0
    changed: int = 0
    removed_sample: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "removed_sample", sample_of(self.removed_sample))

    def __add__(self, later: RowChanges) -> RowChanges:
        return RowChanges(
            removed=self.removed + later.removed,
            added=self.added + later.added,
            changed=self.changed + later.changed,
            removed_sample=self.removed_sample + later.removed_sample,
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "removed": self.removed,
            "added": self.added,
            "changed": self.changed,
            "removed_sample": list(self.removed_sample),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RowChanges:
        return cls(**(dict(fields) | {"removed_sample": tuple(fields["removed_sample"])}))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What one run of one step did.

    Attributes:
        name: The step's name in its list.
        status: ``success`` or ``failed``.
        duration_s: Elapsed seconds; the one field that differs between equal runs.
        rows_before: Rows by file, of the files the step declared or changed. A file that was not there
            is not in the mapping.
        rows_after: The same, after the step.
        changes: By file, the rows that the step removed, added and changed; files without any are left out.
        findings: In the order they were reported.
        logs: The step's own log lines.
        source_hash: What code and parameters ran, see ``pipeline.hashing``.
    """

    name: str
    status: Status
    duration_s: float
    rows_before: dict[str, int] = field(default_factory=dict)
    rows_after: dict[str, int] = field(default_factory=dict)
    changes: dict[str, RowChanges] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    logs: tuple[str, ...] = ()
    source_hash: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe; ``from_dict`` gives an equal result back."""
        return {
            "name": self.name,
            "status": self.status,
            "duration_s": self.duration_s,
            "rows_before": dict(self.rows_before),
            "rows_after": dict(self.rows_after),
            "changes": {file: changes.to_dict() for file, changes in self.changes.items()},
            "findings": [finding.to_dict() for finding in self.findings],
            "logs": list(self.logs),
            "source_hash": self.source_hash,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> StepResult:
        return cls(
            **(
                dict(fields)
                | {
                    "changes": {file: RowChanges.from_dict(c) for file, c in fields.get("changes", {}).items()},
                    "findings": tuple(Finding.from_dict(finding) for finding in fields["findings"]),
                    "logs": tuple(fields["logs"]),
                }
            )
        )
