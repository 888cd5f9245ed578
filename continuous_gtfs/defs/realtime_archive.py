"""The archive of realtime feeds as assets, an hour a partition: when small files become packs, and what is reported.

How they do: ``artifacts.packing``. Nothing here is in the way of a realtime run.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    DefaultScheduleStatus,
    HourlyPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    define_asset_job,
    in_process_executor,
    multi_asset,
    schedule,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from continuous_gtfs import names
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.pack_format import EntityColumns
from continuous_gtfs.artifacts.packing import Packer, PackResult
from continuous_gtfs.artifacts.packs import hour_of
from continuous_gtfs.artifacts.unpacked_hours import HOUR, Span, spans_to_pack
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.asked_partitions import asked_partitions
from continuous_gtfs.defs.failures import Retries, failures_explained
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.errors import ArchiveCorruptError, UnreadableMessageError
from continuous_gtfs.realtime.entity_rows import ENTITY_COLUMNS, entity_rows
from continuous_gtfs.realtime.messages import parse_feed

ARCHIVE_POOL = "realtime_archive"
# A few minutes after the hour: runs of its last versions are over then, retries included.
ARCHIVE_CRON = "6 * * * *"
_RETRIES = Retries(attempts=3)


def archive_assets(environment: str, feeds: Sequence[str], hours: HourlyPartitionsDefinition) -> AssetsDefinition:
    """``realtime/<environment>/archive_<feed>`` for each feed, made together in one step to keep events few."""

    @multi_asset(
        name=f"pack_realtime_{environment}",
        specs=[
            AssetSpec(
                keys.archive_key(environment, feed),
                group_name=f"realtime_{environment}",
                description=(
                    f"Every {feed} of an hour, as fetched and as published, in one Parquet file: the bytes, what they "
                    "were made from, and their entities in columns."
                ),
                kinds={"parquet"},
                deps=[keys.pims_key(environment, feed), keys.published_realtime_key(environment, feed)],
            )
            for feed in feeds
        ],
        partitions_def=hours,
        backfill_policy=BackfillPolicy.single_run(),
        can_subset=True,
        pool=ARCHIVE_POOL,
    )
    def archive_realtime(context: AssetExecutionContext, artifacts: Artifacts) -> Iterator[MaterializeResult[None]]:
        wanted = [feed for feed in feeds if keys.archive_key(environment, feed) in context.selected_asset_keys]
        with failures_explained(_RETRIES, context.op_execution_context.retry_number):
            keys_asked_for = asked_partitions(context.partition_keys)
        asked_for = [hours.time_window_for_partition_key(key).start for key in keys_asked_for]
        packer = Packer(open_store(artifacts.archive_url), ENTITIES)
        unreadable: list[str] = []
        for feed in wanted:
            with failures_explained(_RETRIES, context.op_execution_context.retry_number):
                kept = {version_id for of, version_id in published_from(artifacts, environment, feeds) if of == feed}
                results = packer.pack(environment, feed, [hour_of(hour) for hour in asked_for], kept=kept)
            unreadable += [one for result in results.values() for one in result.unreadable]
            yield MaterializeResult(
                asset_key=keys.archive_key(environment, feed), metadata=_metadata(artifacts, results)
            )
        if unreadable:
            with failures_explained(_RETRIES, context.op_execution_context.retry_number):
                raise ArchiveCorruptError(f"packed without what cannot be read: {'; '.join(unreadable)}")

    return archive_realtime


def archive_job(environment: str, feeds: Sequence[str]) -> UnresolvedAssetJobDefinition:
    """The job of the archive assets."""
    return define_asset_job(
        names.archive_job_name(environment),
        selection=[keys.archive_key(environment, feed) for feed in feeds],
        executor_def=in_process_executor,
        description=f"Packs hours of {environment}'s realtime feeds.",
        tags={
            names.PIPELINE_TAG: names.pipeline_name("archive", environment),
            "dagster/max_runtime": "1800",
        },
    )


def archive_schedule(environment: str, feeds: Sequence[str], hours: HourlyPartitionsDefinition) -> ScheduleDefinition:
    """Packs the past hour every hour, and catches up with hours that were missed."""

    @schedule(
        name=names.archive_job_name(environment),
        job_name=names.archive_job_name(environment),
        cron_schedule=ARCHIVE_CRON,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description=f"Packs the past hour of {environment}'s realtime feeds, and what was left behind before.",
    )
    def pack_past_hours(context: ScheduleEvaluationContext, artifacts: Artifacts) -> list[RunRequest]:
        last = hour_of(context.scheduled_execution_time) - HOUR
        spans = spans_to_pack(
            open_store(artifacts.archive_url),
            environment,
            feeds,
            last=last,
            kept=published_from(artifacts, environment, feeds),
        )
        return [request for span in spans for request in _run_requests(span, hours)]

    return pack_past_hours


def published_from(artifacts: Artifacts, environment: str, feeds: Sequence[str]) -> Collection[tuple[str, str]]:
    """Feed and version_id of every version that something live was made from; these stay at hand as small files."""
    publisher = artifacts.publisher()
    manifests = [publisher.current(names.realtime_publication(environment, feed)) for feed in feeds]
    return {
        (feed, version["version_id"])
        for manifest in manifests
        if manifest is not None
        for feed, version in manifest.facts.get("inputs", {}).items()
    }


def _run_requests(span: Span, hours: HourlyPartitionsDefinition) -> list[RunRequest]:
    """One run for the span, as far as there are partitions for it."""
    first, last = max(span[0], hours.start.astimezone(UTC)), span[1]
    if last < first:
        return []
    if first == last:
        return [RunRequest(run_key=_key(last), partition_key=_key(last))]
    tags = {ASSET_PARTITION_RANGE_START_TAG: _key(first), ASSET_PARTITION_RANGE_END_TAG: _key(last)}
    return [RunRequest(run_key=f"{_key(first)}...{_key(last)}", tags=tags)]


def _key(hour: datetime) -> str:
    return f"{hour:{keys.HOUR_PARTITION}}"


def _rows_of(body: bytes) -> list[dict[str, object]] | None:
    try:
        return entity_rows(parse_feed(body, name="snapshot"))
    except UnreadableMessageError:
        # Its bytes are kept all the same.
        return None


ENTITIES = EntityColumns(ENTITY_COLUMNS, _rows_of)
"""The columns of a pack."""


def _metadata(artifacts: Artifacts, results: Mapping[datetime, PackResult]) -> dict[str, Any]:
    made = [result for result in results.values() if result.key]
    totals: dict[str, Any] = {
        name: sum(getattr(result, name) for result in made)
        for name in ("fetched", "published", "added", "body_bytes", "pack_bytes", "removed")
    }
    if len(results) == 1 and made and made[0].key:
        return totals | {"pack": artifacts.link(made[0].key)}
    if len(results) > 1:
        by_hour = {
            _key(hour): f"{result.fetched} fetched, {result.published} published, {result.added} added"
            for hour, result in results.items()
        }
        return totals | {"hours": MetadataValue.json(by_hour)}
    return totals
