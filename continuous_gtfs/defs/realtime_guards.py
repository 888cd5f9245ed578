"""The guards as blocking checks inside the published assets: their names, what they are held against, their results.

Not here: what each guard measures (``realtime.guards``).
"""

from __future__ import annotations

from datetime import UTC, datetime

from dagster import AssetCheckResult, AssetCheckSpec

from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.realtime_transform import Transformed
from continuous_gtfs.realtime.guards import GuardResult, has_entities, header_age

HEADER_AGE_CHECK = "header_age_is_within_limit"
ENTITIES_CHECK = "has_entities_while_trips_run"


def check_specs(agency: Agency, environment: str, feed: str) -> list[AssetCheckSpec]:
    """The blocking checks of one published feed."""
    asset = keys.published_realtime_key(environment, feed)
    return [
        AssetCheckSpec(
            HEADER_AGE_CHECK,
            asset=asset,
            blocking=True,
            description=f"The header timestamp is at most {agency.realtime.header_age_s:g} s old.",
        ),
        AssetCheckSpec(
            ENTITIES_CHECK,
            asset=asset,
            blocking=True,
            description="The feed has entities while the published schedule has trips running.",
        ),
    ]


def judge(
    agency: Agency, transformed: Transformed, feed: str, live: Manifest | None
) -> tuple[GuardResult, GuardResult]:
    """What the guards say of one feed of a run, held against what is live."""
    now = datetime.now(UTC)
    index = transformed.schedule.index
    return (
        # The vendor's own header: a step may have written another, and the order of publications is the vendor's.
        header_age(transformed.raw[feed], now=now, max_age_s=agency.realtime.header_age_s),
        has_entities(
            transformed.feeds.message(feed),
            published_entities=live.facts.get("entities", {}).get(feed) if live else None,
            # A schedule that has expired cannot tell that no trip runs.
            trips_running=index.trips_running_at(now) if index is not None and index.covers(now) else None,
        ),
    )


def check_result(environment: str, feed: str, guard: GuardResult) -> AssetCheckResult:
    """A guard's result as Dagster shows it."""
    return AssetCheckResult(
        asset_key=keys.published_realtime_key(environment, feed),
        check_name={"header_age": HEADER_AGE_CHECK, "has_entities": ENTITIES_CHECK}[guard.name],
        passed=guard.passed,
        description=guard.message,
        metadata={
            key: value
            for key, value in {"value": guard.value, "threshold": guard.threshold}.items()
            if value is not None
        },
    )
