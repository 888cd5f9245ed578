"""The realtime pipeline's assets: one run takes what is new of an environment's realtime feeds and publishes it.

The whole list of steps is one Dagster step, since a run happens every 20 s; the step results ride along as metadata.
"""

from collections.abc import Iterator, Sequence

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    Failure,
    MaterializeResult,
    multi_asset,
)

from continuous_gtfs import __version__, names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.pack_format import PublishedSnapshot
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.external_assets import freshness_policy
from continuous_gtfs.defs.failures import REALTIME_RETRIES, failures_explained
from continuous_gtfs.defs.realtime_guards import guards_spec
from continuous_gtfs.defs.realtime_keeping import keep
from continuous_gtfs.defs.realtime_publication import publish_feed
from continuous_gtfs.defs.realtime_transform import transform
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.step_results import step_tables
from continuous_gtfs.errors import ContinuousGtfsError, PermanentError
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pipeline.hashing import code_version
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.feeds import RealtimeFeeds


def realtime_assets(
    agency: Agency, environment: str, sources: Sequence[FeedSource], steps: Sequence[Step[RealtimeFeeds]]
) -> AssetsDefinition:
    """``realtime/<environment>/published_<feed>`` for each published feed, made together in one step."""
    feeds = tuple(source.feed for source in sources)
    published = tuple(source.feed for source in sources if source.is_published)
    version = code_version(steps, __version__)

    @multi_asset(
        name=f"publish_realtime_{environment}",
        specs=[_spec(agency, environment, feed, feeds, version) for feed in published],
        check_specs=[guards_spec(environment, feed) for feed in published],
        can_subset=True,
    )
    def publish_realtime(
        context: AssetExecutionContext, artifacts: Artifacts
    ) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
        wanted = [f for f in published if keys.published_realtime_key(environment, f) in context.selected_asset_keys]
        with failures_explained(REALTIME_RETRIES, context.op_execution_context.retry_number):
            transformed = transform(context, artifacts, environment, feeds, steps)
        for line in (line for result in transformed.results for line in result.logs):
            context.log.info(line)
        if transformed.schedule.index is None:
            context.log.warning("no schedule index: %s", transformed.schedule.label)
        refused: list[str] = []
        transient: list[ContinuousGtfsError] = []
        kept: list[tuple[PublishedSnapshot, bytes]] = []
        for feed in wanted:
            if feed not in transformed.versions:
                context.log.warning("%s/%s: no version has been fetched yet", environment, feed)
                continue
            # What is wrong with one feed does not keep the other from being published.
            try:
                outcome = yield from publish_feed(agency, environment, context, artifacts, steps, transformed, feed)
            except PermanentError as error:
                refused.append(f"{environment}/{feed}: {error}")
            except ContinuousGtfsError as error:
                transient.append(error)
            else:
                refused += outcome.refusals
                if outcome.snapshot is not None:
                    kept.append((outcome.snapshot, outcome.body))
        # Once every feed is out: nobody waits for the archive.
        for snapshot, body in kept:
            try:
                keep(artifacts, snapshot, body)
            except ContinuousGtfsError as error:
                transient.append(error)
        if transient:
            with failures_explained(REALTIME_RETRIES, context.op_execution_context.retry_number):
                raise transient[0]
        if refused:
            raise Failure(
                description=f"not published, the last good feed stays: {' | '.join(refused)}",
                # What is not published has no materialization that could carry what the steps did.
                metadata=step_tables(transformed.results),
                allow_retries=False,
            )

    return publish_realtime


def _spec(agency: Agency, environment: str, feed: str, feeds: Sequence[str], version: str) -> AssetSpec:
    return AssetSpec(
        keys.published_realtime_key(environment, feed),
        group_name=f"realtime_{environment}",
        description=f"What consumers get at {names.realtime_publication(environment, feed)}.pb and .json.",
        kinds={"protobuf"},
        # Steps may read every feed of the run, and the published schedule where there is one.
        deps=[
            *(keys.pims_key(environment, each) for each in feeds),
            keys.published_schedule_key(environment),
        ],
        code_version=version,
        freshness_policy=freshness_policy(agency.realtime_freshness),
    )
