"""The first gate: no validation error that was not there before. The reports are kept beside the version."""

import json
from collections.abc import Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    MetadataValue,
    asset_check,
)

from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.failures import SCHEDULE_RETRIES, failures_explained
from continuous_gtfs.defs.resources import Artifacts, Operator
from continuous_gtfs.defs.schedule_gates import VALIDATION_CHECK, Verdict, check_result, operator_accepts
from continuous_gtfs.defs.schedule_ops import SCHEDULE_POOL
from continuous_gtfs.defs.schedule_versions import (
    TransformedVersion,
    live_schedule,
    published_zip,
    transformed_versions,
    version_ids_of_run,
)
from continuous_gtfs.gtfs.validation import ValidationReport, new_errors, unzipped_bytes, validate_feed
from continuous_gtfs.gtfs.validation_report import report_html
from continuous_gtfs.gtfs.zipped import ACCEPTED_BEFORE

# The validator takes four to ten times a feed's text in memory: two large feeds are judged one after the other, each
# in a process of its own.
_AT_ONCE_UP_TO_BYTES = 120_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reports:
    """What the validator says of a version before and after the steps, and what it is held against.

    Attributes:
        baseline: Notices by code, of every severity.
        against: What the baseline is, in words.
    """

    before: ValidationReport
    after: ValidationReport
    baseline: Mapping[str, int]
    against: str


def validation_check(agency: Agency, environment: str) -> AssetChecksDefinition:
    """The gate before publication: no validation error that was not accepted before."""

    @asset_check(
        asset=keys.transformed_feed_key(environment),
        name=VALIDATION_CHECK,
        blocking=True,
        pool=SCHEDULE_POOL,
        description=(
            "gtfs-guru finds no error, by notice code and count, that the published version (or, before the first "
            "publication, the vendor's own feed) does not have as well."
        ),
    )
    def has_no_new_validation_errors(
        context: AssetCheckExecutionContext, artifacts: Artifacts, operator: Operator
    ) -> AssetCheckResult:
        verdicts = {}
        with failures_explained(SCHEDULE_RETRIES, context.op_execution_context.retry_number):
            accepts = operator_accepts(context.run, operator)
            version_ids = version_ids_of_run(context.run, context.instance, environment)
            for subject in transformed_versions(artifacts, environment, version_ids):
                verdict = _judge(agency, artifacts, subject, accepts)
                verdicts[subject.version.version_id] = verdict
                if verdict.metadata["old_errors"].value:
                    context.log.warning("errors that were there before: %s", verdict.metadata["old_errors"].value)
        return check_result(verdicts)

    return has_no_new_validation_errors


def _judge(agency: Agency, artifacts: Artifacts, subject: TransformedVersion, accepts: frozenset[str]) -> Verdict:
    record = subject.record
    reports = _validate(agency, artifacts, subject)
    allowed = {
        code: max(reports.baseline.get(code, 0), record.accepted_errors.get(code, 0))
        for code in reports.baseline.keys() | record.accepted_errors.keys()
    }
    news = new_errors(reports.after, allowed, agency.schedule.notices)
    accepted = {
        code: _count(code, count, let_pass)
        for code, (count, let_pass) in news.items()
        if code in accepts or VALIDATION_CHECK in accepts
    }
    is_passed, is_accepted = not news, bool(news) and len(accepted) == len(news)
    found = "; ".join(_count(code, count, let_pass) for code, (count, let_pass) in news.items())
    if is_passed:
        message = f"no new errors against {reports.against}"
    else:
        message = f"new errors against {reports.against}: {found}"
    artifacts.transformed().save(
        replace(
            record,
            validation={
                "is_passed": is_passed or is_accepted,
                "feed_digest": record.feed_digest,
                "errors": dict(reports.after.errors),
                "warnings": dict(reports.after.warnings),
                "infos": dict(reports.after.infos),
                "validator": reports.after.validator,
                "service_date": reports.after.service_date.isoformat(),
                "accepted": accepted if is_accepted else {},
            },
        )
    )
    made_by_steps = new_errors(reports.after, _all_codes(reports.before.counts), agency.schedule.notices)
    return Verdict(
        is_passed=is_passed,
        accepted=accepted if is_accepted else {},
        message=message,
        metadata={
            "new_errors": MetadataValue.json({code: count for code, (count, _) in news.items()}),
            "old_errors": MetadataValue.json({c: n for c, n in reports.after.errors.items() if c not in news}),
            "errors": MetadataValue.json(dict(reports.after.errors)),
            "warnings": MetadataValue.json(dict(reports.after.warnings)),
            "vendor_errors": MetadataValue.json(dict(reports.before.errors)),
            "errors_made_by_steps": MetadataValue.json(
                {code: n - before for code, (n, before) in made_by_steps.items()}
            ),
            "notices": MetadataValue.json(reports.after.summary()),
            "service_date": reports.after.service_date.isoformat(),
            "duration_s": reports.after.duration_s,
            **_save_reports(artifacts, subject, reports),
        },
    )


def _validate(agency: Agency, artifacts: Artifacts, subject: TransformedVersion) -> _Reports:
    judge = partial(
        validate_feed,
        service_date=subject.service_date(agency),
        country_code=agency.country_code,
        limits=ACCEPTED_BEFORE,
    )
    vendors = artifacts.archive().read(subject.version)
    ours = artifacts.transformed().read_bytes(subject.record.feed_digest)
    is_large = unzipped_bytes(vendors) + unzipped_bytes(ours) > _AT_ONCE_UP_TO_BYTES
    with _one_after_the_other() if is_large else ThreadPoolExecutor(2) as pool:
        before, after = pool.map(judge, (vendors, ours))
    live = live_schedule(artifacts, subject.version.environment)
    if live is None:
        return _Reports(before=before, after=after, baseline=_all_codes(before.counts), against="the vendor's feed")
    label = f"published version {live.label}"
    if live.facts["validation"]["validator"] == after.validator:
        return _Reports(before=before, after=after, baseline=_recorded(live), against=label)
    # Another validator knows other rules: what is live is judged anew, or every successor would be refused.
    with _one_after_the_other() if is_large else ThreadPoolExecutor(1) as pool:
        anew = pool.submit(judge, published_zip(artifacts, live)).result()
    return _Reports(
        before=before,
        after=after,
        baseline=_all_codes(anew.counts),
        against=f"{label}, validated again by {after.validator}",
    )


def _one_after_the_other() -> Executor:
    """A process for each feed: the validator keeps half of what it took of a large one until its process ends."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)


def _save_reports(artifacts: Artifacts, subject: TransformedVersion, reports: _Reports) -> dict[str, Any]:
    """Both reports, whole, as JSON and as a page, beside the version; where to find them."""
    links: dict[str, Any] = {}
    version = subject.version
    for name, report, of in (
        ("validation", reports.after, "after the steps"),
        ("vendor_validation", reports.before, "as the vendor sent it"),
    ):
        page = report_html(report, title=f"{version.feed_id} version {version.version_id}, {of}")
        for extension, text, content_type in (
            ("json", json.dumps(report.to_dict()), "application/json"),
            ("html", page, "text/html; charset=utf-8"),
        ):
            key = artifacts.transformed().save_report(
                version.environment, version.version_id, f"{name}.{extension}", text.encode(), content_type=content_type
            )
            links[f"{name}_{extension}"] = artifacts.link(key)
    return links


def _recorded(live: Manifest) -> dict[str, int]:
    validation = live.facts["validation"]
    return _all_codes({name: validation.get(name, {}) for name in ("infos", "warnings", "errors")})


def _all_codes(by_severity: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {code: count for counts in by_severity.values() for code, count in counts.items()}


def _count(code: str, count: int, let_pass: int) -> str:
    return f"{code}: {count} (was {let_pass})"
