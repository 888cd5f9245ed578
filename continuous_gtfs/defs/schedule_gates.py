"""The gates between a transformed schedule and its publication: their names, what they said, what was accepted.

Here: what all gates share. Not here: what each asks (``schedule_validation``, ``schedule_checks``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagster import AssetCheckResult, AssetCheckSeverity, DagsterRun, MetadataValue

from continuous_gtfs import names
from continuous_gtfs.artifacts.transformed import TransformedFeed, TransformedFeeds
from continuous_gtfs.defs.resources import Operator
from continuous_gtfs.errors import ConfigurationError, GateFailedError
from continuous_gtfs.foreign_text import shown
from continuous_gtfs.gtfs.checks import coverage, references, shrinkage
from continuous_gtfs.gtfs.checks.accept import accepted_names
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex

VALIDATION_CHECK = "has_no_new_validation_errors"
TRIPS_CHECK = "has_trips"
REFERENCES_CHECK = references.CHECK
COVERAGE_CHECK = coverage.CHECK
SHRINKAGE_CHECK = shrinkage.CHECK
GATES = (VALIDATION_CHECK, TRIPS_CHECK, REFERENCES_CHECK, COVERAGE_CHECK, SHRINKAGE_CHECK)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says of one version.

    Attributes:
        is_passed: The claim holds.
        accepted: Where it does not: by name, what the operator accepted and why it would have blocked. Then it warns.
        message: One sentence.
        metadata: For Dagster; plain values.
    """

    is_passed: bool
    accepted: Mapping[str, str]
    message: str
    metadata: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", shown(self.message))

    @property
    def blocks(self) -> bool:
        return not self.is_passed and not self.accepted


def operator_accepts(run: DagsterRun, operator: Operator) -> frozenset[str]:
    """The checks and notice codes that are accepted in a run, by its tag or its config.

    Raises:
        ConfigurationError: They are not named one by one, or what is named cannot be accepted.
    """
    accepted = accepted_names(run.tags.get(names.ACCEPT_TAG, ""), operator.accept)
    if TRIPS_CHECK in accepted:
        raise ConfigurationError(f"{TRIPS_CHECK} cannot be accepted: a schedule without trips is never published")
    return accepted


def check_result(verdicts: Mapping[str, Verdict], *, check_name: str | None = None) -> AssetCheckResult:
    """One result for all versions of a run: the worst of them decides, each is told."""
    judged = list(verdicts.values())
    if len(judged) == 1:
        (verdict,) = judged
        description, metadata = _told(verdict), dict(verdict.metadata)
    else:
        description = "; ".join(f"{version_id}: {_told(verdict)}" for version_id, verdict in verdicts.items())
        metadata = {version_id: MetadataValue.text(_told(verdict)) for version_id, verdict in verdicts.items()}
    is_passed = all(verdict.is_passed for verdict in judged)
    only_warns = not is_passed and not any(verdict.blocks for verdict in judged)
    return AssetCheckResult(
        passed=is_passed,
        check_name=check_name,
        severity=AssetCheckSeverity.WARN if only_warns else AssetCheckSeverity.ERROR,
        description=description,
        metadata=metadata,
    )


def gate_fact(record: TransformedFeed, verdict: Verdict) -> dict[str, Any]:
    """What is stored of a gate's verdict beside the version."""
    return {
        "feed_digest": record.feed_digest,
        "is_passed": not verdict.blocks,
        "message": verdict.message,
        "accepted": dict(verdict.accepted),
    }


def trip_count(record: TransformedFeed, transformed: TransformedFeeds) -> int:
    """Trips that have stop times."""
    index = ScheduleIndex.from_bytes(transformed.read_bytes(record.index_digest))
    return sum(trip.start_s is not None for trip in index.trips.values())


def require_passed_gates(record: TransformedFeed, transformed: TransformedFeeds) -> None:
    """Publication stands behind the gates even when it is run alone.

    Raises:
        GateFailedError: A gate has not judged these bytes, or refused them.
    """
    what = f"version {record.version_id} of {record.environment}/schedule"
    if not trip_count(record, transformed):
        raise GateFailedError(f"{what} has no trips")
    facts = {VALIDATION_CHECK: record.validation} | {check: record.gates.get(check) for check in GATES[1:]}
    for check, fact in facts.items():
        if fact is None or fact["feed_digest"] != record.feed_digest or not fact["is_passed"]:
            raise GateFailedError(
                f"{what} has not passed {check} as it stands: materialize transformed_feed, with its checks, "
                "for this partition"
            )


def accepted_facts(record: TransformedFeed) -> dict[str, str]:
    """By name, what an operator accepted before this version could be published, and why it would have blocked."""
    accepted: dict[str, str] = {}
    for fact in (record.validation or {}, *record.gates.values()):
        accepted.update(fact.get("accepted", {}))
    return accepted


def _told(verdict: Verdict) -> str:
    if not verdict.accepted or verdict.is_passed:
        return verdict.message
    return f"accepted by the operator ({', '.join(sorted(verdict.accepted))}): {verdict.message}"
