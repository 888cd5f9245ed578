"""Validation by gtfs-guru, in process, and the policy that new errors block and old ones warn.

Not here: how a report looks to a reader (``validation_report``).
"""

from __future__ import annotations

import io
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import gtfs_guru

from continuous_gtfs.gtfs.checks.thresholds import NoticeRule
from continuous_gtfs.gtfs.zipped import FeedLimits, ZippedFeed

SAMPLE_PER_CODE = 3
KEPT_PER_CODE = 10_000

SEVERITIES: Final = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice of the validator.

    Attributes:
        line: From 1, the header being line 1; None where the notice is about no one line.
        context: What else the notice names, e.g. ``tripId``.
    """

    code: str
    severity: str
    file: str | None
    line: int | None
    field: str | None
    message: str
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationReport:
    """What the validator said of one feed on one date.

    Attributes:
        errors: Number of notices by code; likewise ``warnings`` and ``infos``.
        notices: Every notice, errors first; of a code that has very many, the first ``KEPT_PER_CODE``.
        service_date: The date taken for today; a later one can find an expired calendar.
    """

    errors: Mapping[str, int]
    warnings: Mapping[str, int]
    infos: Mapping[str, int]
    notices: tuple[Notice, ...]
    service_date: date
    validator_version: str
    duration_s: float

    @property
    def validator(self) -> str:
        """Who judged: another validator, or another version of it, knows other rules."""
        return f"gtfs-guru {self.validator_version}"

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Number of notices by severity, then by code."""
        return {"error": dict(self.errors), "warning": dict(self.warnings), "info": dict(self.infos)}

    @property
    def sample(self) -> tuple[Notice, ...]:
        """The first few notices of each code, errors first."""
        return _first_of_each_code(self.notices, SAMPLE_PER_CODE)

    def to_dict(self) -> dict[str, Any]:
        """The whole report, JSON-safe."""
        return self.summary() | {"notices": [asdict(notice) for notice in self.notices]}

    def summary(self) -> dict[str, Any]:
        """The counts and a few notices of each code, JSON-safe: what fits beside a run."""
        return {
            "errors": dict(self.errors),
            "warnings": dict(self.warnings),
            "infos": dict(self.infos),
            "sample": [asdict(notice) for notice in self.sample],
            "service_date": self.service_date.isoformat(),
            "validator_version": self.validator_version,
            "duration_s": self.duration_s,
        }


def validate_feed(
    data: bytes, *, service_date: date, country_code: str | None = None, limits: FeedLimits | None = None
) -> ValidationReport:
    """Validate a zipped feed as of ``service_date``.

    Args:
        country_code: Two letters, for the form of phone numbers.
        limits: How large the feed may be.

    Raises:
        FeedStructureError: The bytes cannot be opened as a feed at all.
    """
    started = time.perf_counter()
    zipped = ZippedFeed(data, limits=limits)
    # The validator takes a path only. Given the files rather than the zip, it judges what Feed reads, whatever
    # sub-folder or compression the zip has (it knows neither bzip2 nor LZMA), so that a vendor's zip and ours
    # can be compared.
    with tempfile.TemporaryDirectory(prefix="continuous_gtfs_") as folder:
        for name in zipped.names:
            if "/" not in name:
                with Path(folder, name).open("wb") as file:
                    file.writelines(zipped.chunks(name))
        result = gtfs_guru.validate(folder, country_code=country_code, date=service_date.isoformat())
        notices = [_notice(notice) for notice in result.notices]
    by_severity = {
        severity: dict(sorted(Counter(n.code for n in notices if n.severity == severity).items()))
        for severity in SEVERITIES
    }
    notices.sort(key=lambda notice: (SEVERITIES.index(notice.severity), notice.code))
    return ValidationReport(
        errors=by_severity["error"],
        warnings=by_severity["warning"],
        infos=by_severity["info"],
        notices=_first_of_each_code(notices, KEPT_PER_CODE),
        service_date=service_date,
        validator_version=gtfs_guru.version(),
        duration_s=time.perf_counter() - started,
    )


def unzipped_bytes(data: bytes) -> int:
    """How much text a zipped feed holds, by its directory: what the validator's memory grows with."""
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        return sum(entry.file_size for entry in zipped.infolist())


def new_errors(
    report: ValidationReport, baseline: Mapping[str, int], rules: Mapping[str, NoticeRule] | None = None
) -> dict[str, tuple[int, int]]:
    """Blocking notices that the baseline does not have as many of: ``{code: (count, how many are let pass)}``.

    What the last published version already had must not stop its successor; more of it, or another, must.

    Args:
        baseline: Notices by code, of every severity that a rule makes blocking.
        rules: By notice code. Without a rule every error blocks, and nothing else.
    """
    rules = rules or {}
    found = {}
    for severity, counts in report.counts.items():
        for code, count in counts.items():
            rule = rules.get(code, "block" if severity == "error" else "ignore")
            allowed = max(baseline.get(code, 0), rule if isinstance(rule, int) else 0)
            if rule != "ignore" and count > allowed:
                found[code] = (count, allowed)
    return dict(sorted(found.items()))


def _notice(notice: gtfs_guru.Notice) -> Notice:
    context = dict(notice.context())
    return Notice(
        code=notice.code,
        severity=notice.severity.lower(),
        # A dangling reference names its own file apart from the one it points into.
        file=notice.file or context.get("childFilename"),
        line=notice.row,
        field=notice.field or context.get("childFieldName"),
        message=notice.message,
        context=context,
    )


def _first_of_each_code(notices: Iterable[Notice], limit: int) -> tuple[Notice, ...]:
    taken: Counter[str] = Counter()
    kept = []
    for notice in notices:
        taken[notice.code] += 1
        if taken[notice.code] <= limit:
            kept.append(notice)
    return tuple(kept)
