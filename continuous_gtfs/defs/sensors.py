"""PIMS sensors: one for each pipeline of each environment. A thin shell: gather, ask ``watch``, report."""

import logging
import os
import time
from collections.abc import Collection, Sequence
from functools import cache
from uuid import uuid4

from dagster import (
    AddDynamicPartitionsRequest,
    AssetCheckEvaluation,
    AssetKey,
    DagsterInstance,
    DefaultSensorStatus,
    DynamicPartitionsDefinition,
    Failure,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from continuous_gtfs import names
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.between_ticks import ContinuedPolling, Polling
from continuous_gtfs.defs.cursor import Cursor
from continuous_gtfs.defs.external_assets import DATA_VERSION_TAG, version_materialization
from continuous_gtfs.defs.health import FeedHealth
from continuous_gtfs.defs.identify import identify
from continuous_gtfs.defs.resources import Artifacts, VendorAccess
from continuous_gtfs.defs.run_history import read_history
from continuous_gtfs.defs.watch_seams import USUAL_TIMING, Vendor, WatchResult, WatchTiming
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pims.client import PimsClient
from continuous_gtfs.pims.outcomes import FetchOutcome
from continuous_gtfs.pipeline_version import pipeline_version
from continuous_gtfs.versions import FeedVersion

# How long after a tick that asked the vendor in vain the next ones say so, by failing, before one asks again.
TOLD_FOR_S = 15.0


@cache
def process_identity() -> str:
    """Names this code server process; the first call makes the name, so that importing does nothing."""
    return uuid4().hex


def pims_sensor(
    *,
    pipeline: str,
    environment: str,
    sources: Sequence[FeedSource],
    code_version: str,
    assets: Collection[AssetKey],
    partitions_def: DynamicPartitionsDefinition | None = None,
    timing: WatchTiming = USUAL_TIMING,
) -> SensorDefinition:
    """The sensor that polls the feeds of one pipeline and asks for its runs.

    Args:
        pipeline: ``schedule`` or ``realtime``.
        environment: ``production`` or ``qa``.
        sources: The feeds to poll.
        code_version: Hash over the pipeline's code; another one than the last success ran makes it dirty.
        assets: What the pipeline makes; a run that makes one of them holds the pipeline, whoever started it.
        partitions_def: Where runs are partitioned by the version of the only feed.
        timing: How long a tick lasts and what it waits for.
    """
    slowest = max(sources, key=lambda source: source.timeout_s)
    if slowest.timeout_s >= timing.tick_s:
        raise ConfigurationError(
            f"{slowest.feed_id}: timeout_s is {slowest.timeout_s:g}; it must be below the {timing.tick_s:g} s of a tick"
        )
    name = names.pipeline_name(pipeline, environment)
    kept, continued = _LastCursor(), ContinuedPolling()

    @sensor(
        name=names.sensor_name(pipeline, environment),
        job_name=names.job_name(pipeline, environment),
        minimum_interval_seconds=1,
        default_status=DefaultSensorStatus.RUNNING,
        description=(
            f"Polls {', '.join(s.feed_id for s in sources)}; archives each new version, reports it as a "
            "materialization of its external asset and asks for one run."
        ),
    )
    def poll_pims(context: SensorEvaluationContext, artifacts: Artifacts, vendor_access: VendorAccess) -> SensorResult:
        cursor = Cursor.from_json(context.cursor, (source.feed for source in sources))
        _fail_where_a_person_must_act(cursor, environment, now=time.time())
        archive = artifacts.archive()

        def seams(client: PimsClient) -> Vendor:
            async def fetch(source: FeedSource, etag: str | None, last_modified: str | None) -> FetchOutcome:
                return await client.fetch(source, etag=etag, last_modified=last_modified)

            return Vendor(
                fetch=fetch,
                identify=identify,
                save=archive.save,
                history=lambda: read_history(context.instance, name, assets),
            )

        polling = Polling(sources=sources, code_version=code_version, process=process_identity(), timing=timing)
        ticked = continued.tick(polling, context.cursor, vendor_access.client, seams)
        result, cursor = ticked.result, Cursor.from_json(ticked.cursor, (source.feed for source in sources))
        new_versions = result.new_versions
        if not kept.is_what_came_back(context.cursor):
            new_versions = [version for version in new_versions if not _is_reported(context.instance, version)]
        for health in result.health:
            level = logging.WARNING if health.is_failing else logging.INFO
            context.log.log(level, "%s/%s: %s", environment, health.feed, health.message)
        return SensorResult(
            run_requests=_run_requests(result, cursor, name, code_version, partitions_def is not None),
            skip_reason=_skip_reason(cursor, environment) if result.trigger is None else None,
            cursor=kept.remembered(ticked.cursor),
            dynamic_partitions_requests=_partitions_to_add(result, cursor, partitions_def),
            asset_events=[
                *(
                    version_materialization(version, is_partitioned=partitions_def is not None)
                    for version in new_versions
                ),
                *(_check_evaluation(environment, health) for health in result.health),
            ],
        )

    return poll_pims


def _run_requests(
    result: WatchResult, cursor: Cursor, pipeline: str, code_version: str, is_partitioned: bool
) -> list[RunRequest]:
    if result.trigger is None:
        return []
    latest = cursor.latest()
    tags = {
        names.PIPELINE_TAG: pipeline,
        names.TRIGGER_TAG: result.trigger.value,
        names.CODE_VERSION_TAG: code_version,
        names.PIPELINE_VERSION_TAG: pipeline_version(os.environ),
        names.CHANGED_TAG: ",".join(sorted(result.changed)) or names.NONE_CHANGED,
        **{names.version_tag(feed): version_id for feed, version_id in latest.items()},
    }
    return [
        RunRequest(
            # Never a key again, even after a reset of the cursor: Dagster asks once for each, for ever.
            run_key=f"{pipeline}:{cursor.requests}:{uuid4().hex}",
            tags=tags,
            partition_key=next(iter(latest.values())) if is_partitioned else None,
        )
    ]


def _partitions_to_add(
    result: WatchResult, cursor: Cursor, partitions_def: DynamicPartitionsDefinition | None
) -> list[AddDynamicPartitionsRequest]:
    """The new versions' partitions, and that of the version asked for: somebody may have deleted it since."""
    if partitions_def is None:
        return []
    wanted = [version.version_id for version in result.new_versions]
    if result.trigger is not None:
        wanted += cursor.latest().values()
    return [partitions_def.build_add_request(list(dict.fromkeys(wanted)))] if wanted else []


class _LastCursor:
    """The cursor that the last tick of this process gave back.

    Where the next tick is handed another one, a tick's result was lost, at least in part, or this is the first tick of
    the process: only then may a version have been reported already.
    """

    def __init__(self) -> None:
        self._cursor: str | None = None

    def is_what_came_back(self, cursor: str | None) -> bool:
        return self._cursor is not None and cursor == self._cursor

    def remembered(self, cursor: str) -> str:
        self._cursor = cursor
        return cursor


def _is_reported(instance: DagsterInstance, version: FeedVersion) -> bool:
    """Whether it is the newest reported: a daemon that dies after the report has not kept the tick's cursor."""
    event = instance.get_latest_materialization_event(keys.pims_key(version.environment, version.feed))
    newest = event.asset_materialization if event else None
    return newest is not None and (newest.tags or {}).get(DATA_VERSION_TAG) == version.version_id


def _check_evaluation(environment: str, health: FeedHealth) -> AssetCheckEvaluation:
    return AssetCheckEvaluation(
        asset_key=keys.pims_key(environment, health.feed),
        check_name=health.check,
        passed=not health.is_failing,
        description=health.message,
    )


def _fail_where_a_person_must_act(cursor: Cursor, environment: str, *, now: float) -> None:
    """Fails the tick, so that it is red, where the tick before it found that asking again cannot help for any feed.

    A failed tick leaves the stored cursor as it was. So it asks nothing of the vendor, and nothing is forgotten; after
    ``TOLD_FOR_S`` the next tick asks again.
    """
    if cursor.is_helpless and 0 <= now - cursor.polled_at < TOLD_FOR_S:
        told = "; ".join(f"{environment}/{feed}: {memory.failure}" for feed, memory in cursor.feeds.items())
        raise Failure(description=told, allow_retries=False)


def _skip_reason(cursor: Cursor, environment: str) -> SkipReason:
    told = []
    for feed, memory in cursor.feeds.items():
        version = memory.version.version_id if memory.version else "none yet"
        if memory.failure:
            told.append(
                f"{environment}/{feed}: could not tell, {memory.failures_in_row} in a row ({memory.failure}); "
                f"last version {version}"
            )
        elif memory.reported_frozen:
            told.append(f"{environment}/{feed}: frozen at the vendor, {memory.unmoved} answers since version {version}")
        elif feed in cursor.waiting():
            told.append(f"{environment}/{feed}: version {version} waits for the run before it")
        else:
            told.append(f"{environment}/{feed}: no newer version than {version}")
    return SkipReason("; ".join(told))
