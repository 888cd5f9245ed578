"""The vendor's feeds as external assets, and the checks that the vendor answers for each and that it moves."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetMaterialization,
    AssetSpec,
    FreshnessPolicy,
    PartitionsDefinition,
    asset_check,
)

from continuous_gtfs.agencies.agency import Freshness
from continuous_gtfs.defs.health import frozen_after_s, stamp_of
from continuous_gtfs.defs.identify import identify
from continuous_gtfs.defs.keys import pims_key
from continuous_gtfs.defs.resources import Artifacts, VendorAccess
from continuous_gtfs.errors import PermanentError
from continuous_gtfs.names import VENDOR_ANSWERS_CHECK, VENDOR_FEED_MOVES_CHECK
from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pims.outcomes import Body, CouldNotTell, FetchOutcome
from continuous_gtfs.versions import FeedVersion

DATA_VERSION_TAG = "dagster/data_version"


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


def version_materialization(version: FeedVersion, *, is_partitioned: bool) -> AssetMaterialization:
    """A version as Dagster is told of it: a materialization of the vendor's feed."""
    metadata: dict[str, str | int | float] = {
        "version_id": version.version_id,
        "content_digest": version.content_digest,
        "body_digest": version.body_digest,
        "body_bytes": version.body_bytes,
        "fetched_at": version.fetched_at.isoformat(timespec="milliseconds"),
    }
    if version.header_timestamp is not None:
        metadata["header_timestamp"] = version.header_timestamp
        metadata["header_age_s"] = round(version.fetched_at.timestamp() - version.header_timestamp, 3)
    return AssetMaterialization(
        asset_key=pims_key(version.environment, version.feed),
        partition=version.version_id if is_partitioned else None,
        metadata=metadata,
        tags={DATA_VERSION_TAG: version.version_id},
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


def vendor_feed_moves_checks(sources: Sequence[FeedSource]) -> list[AssetChecksDefinition]:
    """A check for each realtime feed. The sensor reports it when a feed stands still and when it moves again."""
    return [_vendor_feed_moves_check(source) for source in sources if source.kind is FeedKind.REALTIME]


def _vendor_feed_moves_check(source: FeedSource) -> AssetChecksDefinition:
    stands_for_s = frozen_after_s(source)

    @asset_check(
        asset=pims_key(source.environment, source.feed),
        name=VENDOR_FEED_MOVES_CHECK,
        description=(
            f"The header timestamp of this feed moves: it is not the same in {source.frozen_after_polls} answers and "
            f"for {stands_for_s:g} s. Run it to compare what the vendor sends now with the newest archived version."
        ),
    )
    def vendor_feed_moves(artifacts: Artifacts, vendor_access: VendorAccess) -> AssetCheckResult:
        outcome = asyncio.run(_fetch_once(vendor_access, source))
        if not isinstance(outcome, Body):
            return AssetCheckResult(passed=False, description=f"could not tell: {outcome}")
        fetched_at = datetime.now(UTC)
        try:
            sent = identify(source, outcome, fetched_at)
        except PermanentError as error:
            return AssetCheckResult(passed=False, description=f"could not tell: {error}")
        known = artifacts.archive().latest(source.environment, source.feed)
        if known is None or stamp_of(known) != stamp_of(sent):
            return AssetCheckResult(
                passed=True, description="the vendor has moved on since the newest archived version"
            )
        # Other bytes under the same timestamp are a version of their own, and not a movement.
        stands_since = min(known.fetched_at.timestamp(), sent.header_timestamp or known.fetched_at.timestamp())
        seconds = fetched_at.timestamp() - stands_since
        return AssetCheckResult(passed=seconds < stands_for_s, description=f"the same for {seconds:.0f} s")

    return vendor_feed_moves


async def _fetch_once(vendor_access: VendorAccess, source: FeedSource) -> FetchOutcome:
    async with vendor_access.client() as client:
        return await client.fetch(source)
