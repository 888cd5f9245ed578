"""``realtime/<environment>/replay``: today's steps on an archived hour, and what would have gone out differently.

Publishes nothing. What is compared with what: ``realtime.replay``; where the hour is read from: ``past_hours``.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    BackfillPolicy,
    HourlyPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    asset,
    define_asset_job,
    in_process_executor,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from continuous_gtfs import __version__, names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.packs import hour_name, hour_of
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.asked_partitions import asked_partitions
from continuous_gtfs.defs.beta import knowingly_beta
from continuous_gtfs.defs.failures import Retries, failures_explained
from continuous_gtfs.defs.past_hours import PastHours
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.pipeline.hashing import code_version
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.replay import Replay
from continuous_gtfs.realtime.replay_report import ReplayReport

REPLAY_POOL = "realtime_replay"
_RETRIES = Retries(attempts=3)


@knowingly_beta()
def replay_asset(
    agency: Agency,
    environment: str,
    feeds: Sequence[str],
    steps: Sequence[Step[RealtimeFeeds]],
    hours: HourlyPartitionsDefinition,
) -> AssetsDefinition:
    """The asset; several hours at once are one run, told together on its page and kept hour by hour."""

    @asset(
        key=keys.replay_key(environment),
        group_name=f"realtime_{environment}",
        description=(
            f"Today's steps and guards on an archived hour of {environment}, and what they would have published "
            "differently. Publishes nothing; packed or not, the hour is read from the archive."
        ),
        kinds={"protobuf"},
        partitions_def=hours,
        backfill_policy=BackfillPolicy.single_run(),
        deps=[keys.archive_key(environment, feed) for feed in feeds],
        pool=REPLAY_POOL,
        code_version=code_version(steps, __version__),
    )
    def replay(context: AssetExecutionContext, artifacts: Artifacts) -> MaterializeResult[None]:
        together = ReplayReport()
        reports: list[str] = []
        with failures_explained(_RETRIES, context.op_execution_context.retry_number):
            past = PastHours(artifacts, environment, feeds)
            keys_asked_for = asked_partitions(context.partition_keys)
            asked_for = {key: hour_of(hours.time_window_for_partition_key(key).start) for key in keys_asked_for}
            today = Replay(
                environment,
                steps,
                {feed: agency.thresholds_of(feed) for feed in feeds},
                past.last_published(min(asked_for.values()) - timedelta(hours=1)),
            )
            for key, hour in asked_for.items():
                report = ReplayReport()
                for moment in past.moments(hour):
                    replayed = today.replay(moment)
                    report.add(replayed)
                    together.add(replayed)
                report.note_schedules(past.schedules)
                reports.append(f"replays/{environment}/{hour_name(hour)}.json")
                _save(artifacts, reports[-1], report.to_dict())
                context.log.info("%s: %d of %d snapshots differ", key, report.differing, report.snapshots)
        together.note_schedules(past.schedules)
        for sentence in past.unreadable:
            context.log.warning("left out: %s", sentence)
        return MaterializeResult(metadata=_metadata(artifacts, together, reports, past.unreadable))

    return replay


def replay_job(environment: str) -> UnresolvedAssetJobDefinition:
    """The job of the replay asset."""
    return define_asset_job(
        names.replay_job_name(environment),
        selection=[keys.replay_key(environment)],
        executor_def=in_process_executor,
        description=f"Runs today's realtime steps on archived hours of {environment}; publishes nothing.",
        tags={
            names.PIPELINE_TAG: names.pipeline_name("replay", environment),
            # Weeks of hours take hours.
            "dagster/max_runtime": "21600",
        },
    )


def _save(artifacts: Artifacts, key: str, document: dict[str, Any]) -> None:
    store = open_store(artifacts.archive_url)
    found = store.stat(key)
    store.replace(
        key,
        json.dumps(document, indent=1).encode(),
        if_generation=found.generation if found else None,
        content_type="application/json",
    )


def _metadata(
    artifacts: Artifacts, report: ReplayReport, reports: Sequence[str], unreadable: Sequence[str]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "snapshots": report.snapshots,
        "differing": report.differing,
        "replay": MetadataValue.md(report.to_markdown()),
        "report": artifacts.link(reports[0] if len(reports) == 1 else reports[0].rpartition("/")[0]),
    }
    if unreadable:
        metadata["left_out"] = len(unreadable)
    return metadata
