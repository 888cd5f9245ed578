"""The vendor's feeds as external assets, and the check that the vendor answers for each."""

import asyncio
from collections.abc import Sequence

from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetSpec,
    FreshnessPolicy,
    PartitionsDefinition,
    asset_check,
)

from continuous_gtfs.agencies.agency import Freshness
from continuous_gtfs.defs.keys import pims_key
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.names import VENDOR_ANSWERS_CHECK
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pims.outcomes import CouldNotTell, FetchOutcome


def freshness_policy(freshness: Freshness) -> FreshnessPolicy:
    return FreshnessPolicy.time_window(fail_window=freshness.fail_after, warn_window=freshness.warn_after)


def vendor_feed_spec(
    source: FeedSource, freshness: Freshness, partitions_def: PartitionsDefinition[str] | None
) -> AssetSpec:
    """The external asset of one vendor feed; its versions are reported by the sensor that polls it."""
    return AssetSpec(
        pims_key(source.environment, source.feed),
        group_name=f"pims_{source.environment}",
        description=(
            f"{source.feed} as PIMS serves it ({source.environment}). A materialization is a new version that the "
            "sensor has fetched and archived."
        ),
        kinds={"pims", "protobuf" if source.kind == "realtime" else "gtfs"},
        metadata={"poll_every_s": source.poll_every_s, "max_bytes": source.max_bytes},
        freshness_policy=freshness_policy(freshness),
        partitions_def=partitions_def,
    )


def vendor_answers_checks(sources: Sequence[FeedSource]) -> list[AssetChecksDefinition]:
    """A check for each feed. The sensor reports it when a feed begins to fail and when it recovers."""
    return [_vendor_answers_check(source) for source in sources]


def _vendor_answers_check(source: FeedSource) -> AssetChecksDefinition:
    @asset_check(
        asset=pims_key(source.environment, source.feed),
        name=VENDOR_ANSWERS_CHECK,
        description="The vendor answers with this feed. Run it to ask the vendor once, now.",
    )
    def vendor_answers(vendor_access: VendorAccess) -> AssetCheckResult:
        outcome = asyncio.run(_fetch_once(vendor_access, source))
        if isinstance(outcome, CouldNotTell):
            return AssetCheckResult(passed=False, description=f"{outcome.kind}: {outcome.reason}")
        return AssetCheckResult(passed=True)

    return vendor_answers


async def _fetch_once(vendor_access: VendorAccess, source: FeedSource) -> FetchOutcome:
    async with vendor_access.client() as client:
        return await client.fetch(source)
