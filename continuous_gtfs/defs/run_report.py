"""What one run did, in one form for schedule and realtime: inputs, steps, findings, checks, outputs. Data only.

Not here: how it is read from Dagster's events (``run_reports``), how it looks (``run_report_text``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class OpReport:
    """One op: a step of the schedule, a gate, or the whole of a realtime run.

    Attributes:
        status: ``success``, ``failed``, ``skipped`` or ``in_progress``.
        duration_ms: None where it did not end well.
        retries: How often it was tried again.
        error: Why it failed, in a sentence.
    """

    name: str
    status: str
    duration_ms: float | None
    retries: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One step of the agency's list.

    Attributes:
        files: By file (schedule) or feed (realtime): rows or entities before and after, removed, added, changed, ids
            of some that were removed. Where nothing changed only what was counted all the same.
    """

    name: str
    status: str
    duration_ms: float
    removed: int
    added: int
    changed: int
    source_hash: str
    files: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingReport:
    """What a step said of the feed."""

    step: str
    severity: str
    finding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """A check that did not pass.

    Attributes:
        severity: ``error`` where it blocked, ``warn`` where it was let pass.
    """

    asset: str
    name: str
    severity: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReport:
    """An asset that the run made.

    Attributes:
        outcome: ``published``, ``unchanged``, ``superseded``; of a difference ``same`` or ``different``.
        version_id: Of the feed version that it was made from.
        label: What is live under the URL.
        url_path: Below the address at which the published store is served.
        age_at_publication_s: Seconds from the feed's header timestamp.
    """

    asset: str
    outcome: str | None
    version_id: str | None
    label: str | None
    url_path: str | None
    digest: str | None
    bytes: int | None
    entities: int | None
    age_at_publication_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One run.

    Attributes:
        pipeline: ``realtime/production``; None for a run that is about neither pipeline.
        trigger: Why the sensor asked for it; ``backfill``; ``by_timer``; ``by_hand``.
        retry_of: The run that it repeats.
        inputs: By feed, the version it was asked to process.
        changed: The feeds among them that were new.
        duration_s: None before it has begun; up to now where it has not ended.
        ops: In the order in which they began.
        steps: In their order.
        checks_passed: How many checks passed.
        error: Why the run failed where no op says so.
    """

    run_id: str
    pipeline: str | None
    job: str
    status: str
    trigger: str
    retry_of: str | None
    created_at: datetime
    duration_s: float | None
    inputs: Mapping[str, str]
    changed: Sequence[str]
    code_version: str | None
    ops: Sequence[OpReport]
    steps: Sequence[StepReport]
    findings: Sequence[FindingReport]
    checks_passed: int
    failed_checks: Sequence[CheckReport]
    outputs: Sequence[OutputReport]
    error: str | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return asdict(self) | {"created_at": self.created_at.isoformat(timespec="milliseconds")}
