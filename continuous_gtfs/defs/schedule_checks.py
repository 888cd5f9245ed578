"""The gates that compare a transformed schedule with what is published: trips, references, coverage, size.

One op, so that each feed is opened once.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSpec,
    multi_asset_check,
)

from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.failures import SCHEDULE_RETRIES, failures_explained
from continuous_gtfs.defs.resources import Artifacts, Operator
from continuous_gtfs.defs.schedule_gates import (
    COVERAGE_CHECK,
    REFERENCES_CHECK,
    SHRINKAGE_CHECK,
    TRIPS_CHECK,
    Verdict,
    check_result,
    gate_fact,
    operator_accepts,
    trip_count,
)
from continuous_gtfs.defs.schedule_ops import SCHEDULE_POOL
from continuous_gtfs.defs.schedule_versions import (
    TransformedVersion,
    live_schedule,
    published_schedule_feed,
    transformed_versions,
    version_ids_of_run,
)
from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.checks.coverage import feed_covers_next_days
from continuous_gtfs.gtfs.checks.outcome import CheckOutcome
from continuous_gtfs.gtfs.checks.references import Dangling, dangling_references, references_resolve
from continuous_gtfs.gtfs.checks.service_levels import ServiceLevels, dates_from, service_levels
from continuous_gtfs.gtfs.checks.shrinkage import does_not_shrink
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.zipped import ACCEPTED_BEFORE


def schedule_checks(agency: Agency, environment: str) -> AssetChecksDefinition:
    """The blocking checks of one environment's transformed feed, apart from validation."""
    asset = keys.transformed_feed_key(environment)
    limits = agency.schedule
    claims = {
        TRIPS_CHECK: "It has at least one trip with stop times; an operator cannot accept otherwise.",
        REFERENCES_CHECK: "Every reference resolves that does in the vendor's own feed or in what is published.",
        COVERAGE_CHECK: (
            f"Trips run on each of the next {limits.covers_next_days} days but {limits.days_without_trips}, or on no "
            "fewer of them than in what is published."
        ),
        SHRINKAGE_CHECK: (
            f"Against what is published, stop times fall by at most {limits.stop_times_fall_percent:g} %, trips by "
            f"{limits.trips_fall_percent:g} %, trips on any of the next {limits.compared_days} days by "
            f"{limits.day_fall_percent:g} %."
        ),
    }

    @multi_asset_check(
        name=f"schedule_{environment}_checks",
        specs=[AssetCheckSpec(name, asset=asset, blocking=True, description=claims[name]) for name in claims],
        pool=SCHEDULE_POOL,
    )
    def checks(
        context: AssetCheckExecutionContext, artifacts: Artifacts, operator: Operator
    ) -> Iterator[AssetCheckResult]:
        verdicts: dict[str, dict[str, Verdict]] = {check: {} for check in claims}
        with failures_explained(SCHEDULE_RETRIES, context.op_execution_context.retry_number):
            accepts = operator_accepts(context.run, operator)
            version_ids = version_ids_of_run(context.run, context.instance, environment)
            for subject in transformed_versions(artifacts, environment, version_ids):
                found = {outcome.check: _verdict(outcome, accepts) for outcome in _outcomes(agency, artifacts, subject)}
                gates = {check: gate_fact(subject.record, verdict) for check, verdict in found.items()}
                artifacts.transformed().save(replace(subject.record, gates=gates))
                for check, verdict in found.items():
                    verdicts[check][subject.version.version_id] = verdict
        for check, by_version in verdicts.items():
            yield check_result(by_version, check_name=check)

    return checks


def _outcomes(agency: Agency, artifacts: Artifacts, subject: TransformedVersion) -> list[CheckOutcome]:
    limits = agency.schedule
    transformed = artifacts.transformed()
    live = live_schedule(artifacts, subject.version.environment)
    first = subject.service_date(agency)
    covered, compared = dates_from(first, limits.covers_next_days), dates_from(first, limits.compared_days)
    dates = max(covered, compared, key=len)
    # One feed is open at a time: a large one fills a good part of the memory.
    trips = trip_count(subject.record, transformed)
    levels, dangling = _measured(
        Feed.from_bytes(transformed.read_bytes(subject.record.feed_digest), limits=ACCEPTED_BEFORE), dates
    )
    is_whole = not dangling.rows and not dangling.unreadable
    published_levels = None if live is None else service_levels(published_schedule_feed(artifacts, live), dates)
    levels_before, known = published_levels, []
    if live is None or not is_whole:
        vendors = Feed.from_bytes(artifacts.archive().read(subject.version), limits=ACCEPTED_BEFORE)
        levels_before = published_levels or _levels_of_vendor(vendors, dates)
        known = [] if is_whole else [dangling_references(vendors)]
        del vendors
    if live is not None and not is_whole:
        known.append(dangling_references(published_schedule_feed(artifacts, live)))
    return [
        CheckOutcome(check=TRIPS_CHECK, is_passed=trips > 0, message=f"{trips:,} trips", numbers={"trips": trips}),
        references_resolve(dangling, *known),
        feed_covers_next_days(levels, levels_before, dates=covered, may_be_empty=limits.days_without_trips),
        does_not_shrink(
            levels,
            # A version older than the live one does not replace it, or is made to by name: nothing is compared.
            None if subject.is_older_than(live) else published_levels,
            dates=compared,
            stop_times_fall_percent=limits.stop_times_fall_percent,
            trips_fall_percent=limits.trips_fall_percent,
            day_fall_percent=limits.day_fall_percent,
        ),
    ]


def _measured(feed: Feed, dates: tuple[date, ...]) -> tuple[ServiceLevels, Dangling]:
    return service_levels(feed, dates), dangling_references(feed)


def _levels_of_vendor(vendors: Feed, dates: tuple[date, ...]) -> ServiceLevels | None:
    """None where the vendor's calendars cannot be read, which a step may well have mended."""
    try:
        return service_levels(vendors, dates)
    except FeedStructureError:
        return None


def _verdict(outcome: CheckOutcome, accepts: frozenset[str]) -> Verdict:
    is_accepted = not outcome.is_passed and outcome.check in accepts
    return Verdict(
        is_passed=outcome.is_passed,
        accepted={outcome.check: outcome.message} if is_accepted else {},
        message=outcome.message,
        metadata=outcome.numbers,
    )
