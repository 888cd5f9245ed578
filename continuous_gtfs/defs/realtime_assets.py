"""The realtime pipeline's assets: one run takes what is new of an environment's realtime feeds and publishes it.

The whole list of steps is one Dagster step, since a run happens every 20 s; the step results ride along as metadata.
"""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetMaterialization,
    AssetsDefinition,
    AssetSpec,
    DataVersion,
    Failure,
    MaterializeResult,
    multi_asset,
)
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs import __version__, names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.manifest import Manifest, is_older, normalized_order
from continuous_gtfs.artifacts.publication import Publication, PublicationObject
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.external_assets import freshness_policy
from continuous_gtfs.defs.failures import REALTIME_RETRIES, failures_explained
from continuous_gtfs.defs.published_schedule import PublishedSchedule, read_published_schedule
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.step_results import step_tables
from continuous_gtfs.errors import ConfigurationError, ContinuousGtfsError, PermanentError
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pipeline.hashing import code_version
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.pipeline.running import run_steps
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.encoding import feed_to_json
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.guards import GuardResult, has_entities, header_age
from continuous_gtfs.realtime.messages import parse_feed
from continuous_gtfs.versions import FeedVersion

REALTIME_CACHE_CONTROL = "public, max-age=1"
HEADER_AGE_CHECK = "header_age_is_within_limit"
ENTITIES_CHECK = "has_entities_while_trips_run"


@dataclass(frozen=True, slots=True)
class Transformed:
    """What the steps made of one run's feeds, and the messages as the vendor sent them."""

    versions: dict[str, FeedVersion]
    feeds: RealtimeFeeds
    results: list[StepResult]
    schedule: PublishedSchedule
    raw: dict[str, FeedMessage]


def realtime_assets(
    agency: Agency, environment: str, sources: Sequence[FeedSource], steps: Sequence[Step[RealtimeFeeds]]
) -> AssetsDefinition:
    """``realtime/<environment>/published_<feed>`` for each feed, made together in one step."""
    feeds = tuple(source.feed for source in sources)
    version = code_version(steps, __version__)

    @multi_asset(
        name=f"publish_realtime_{environment}",
        specs=[_spec(agency, environment, feed, feeds, version) for feed in feeds],
        check_specs=[check for feed in feeds for check in _check_specs(agency, environment, feed)],
        can_subset=True,
    )
    def publish_realtime(
        context: AssetExecutionContext, artifacts: Artifacts
    ) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
        wanted = [f for f in feeds if keys.published_realtime_key(environment, f) in context.selected_asset_keys]
        with failures_explained(REALTIME_RETRIES, context.op_execution_context.retry_number):
            transformed = _transform(context, artifacts, environment, feeds, steps)
        for line in (line for result in transformed.results for line in result.logs):
            context.log.info(line)
        if transformed.schedule.index is None:
            context.log.warning("no schedule index: %s", transformed.schedule.label)
        refused: list[str] = []
        transient: list[ContinuousGtfsError] = []
        for feed in wanted:
            if feed not in transformed.versions:
                context.log.warning("%s/%s: no version has been fetched yet", environment, feed)
                continue
            # What is wrong with one feed does not keep the other from being published.
            try:
                refusals = yield from _publish(agency, environment, context, artifacts, steps, transformed, feed)
            except PermanentError as error:
                refused.append(f"{environment}/{feed}: {error}")
            except ContinuousGtfsError as error:
                transient.append(error)
            else:
                refused += refusals
        if transient:
            with failures_explained(REALTIME_RETRIES, context.op_execution_context.retry_number):
                raise transient[0]
        if refused:
            raise Failure(
                description=f"not published, the last good feed stays: {' | '.join(refused)}", allow_retries=False
            )

    return publish_realtime


def _publish(
    agency: Agency,
    environment: str,
    context: AssetExecutionContext,
    artifacts: Artifacts,
    steps: Sequence[Step[RealtimeFeeds]],
    transformed: Transformed,
    feed: str,
) -> Generator[MaterializeResult[None] | AssetCheckResult, None, list[str]]:
    """Guards and publishes one feed; gives back why it was refused, if it was."""
    name = names.realtime_publication(environment, feed)
    publisher = artifacts.publisher()
    objects, label = _encode(transformed, feed)
    order = _order(transformed.versions[feed])
    live = publisher.current(name)
    is_live = live is not None and live.label == label
    # A late run of an older version is superseded, whatever the guards would say of it by now.
    if not is_live and (live is None or not is_older(normalized_order(order), live.order)):
        guards = _guards(agency, transformed, feed, live)
        told = "; ".join(guard.message for guard in guards if not guard.passed)
        changed = context.run.tags.get(names.CHANGED_TAG)
        if told and changed is not None and feed not in changed.split(","):
            # The run that brought this version failed by it; the run for its sibling does not.
            context.log.warning("%s: still not published: %s", name, told)
            return []
        yield from (_check_result(environment, feed, guard) for guard in guards)
        if told:
            return [f"{environment}/{feed}: {told}"]
    # What is live already is published again all the same: a run that died half-way left something to finish.
    publication = publisher.publish(
        name,
        objects,
        label=label,
        order=order,
        manifest=_facts(transformed, steps, context.run.run_id),
        now=datetime.now(UTC),
        keep_versions=agency.keep_realtime_versions,
    )
    if publication.outcome == "superseded":
        context.log.warning("%s: not moved, %s is newer", name, publication.manifest.label)
    # A feed that did not change or is not live is not materialized: that would hide that what is live has gone stale.
    elif is_live and _is_materialized(context, environment, feed, label):
        context.log.info("%s: %s is live already", name, label)
    else:
        yield _materialization(environment, feed, transformed, publication, objects)
    return []


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


def _check_specs(agency: Agency, environment: str, feed: str) -> list[AssetCheckSpec]:
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


def _transform(
    context: AssetExecutionContext,
    artifacts: Artifacts,
    environment: str,
    feeds: Sequence[str],
    steps: Sequence[Step[RealtimeFeeds]],
) -> Transformed:
    archive = artifacts.archive()
    versions: dict[str, FeedVersion] = {}
    for feed in feeds:
        asked_for = context.run.tags.get(names.version_tag(feed))
        # A run that a person starts names no version: it takes the newest.
        version = archive.find(environment, feed, asked_for) if asked_for else archive.latest(environment, feed)
        if version is not None:
            versions[feed] = version
        elif asked_for:
            raise ConfigurationError(f"the archive has no version {asked_for} of {environment}/{feed}")
    if not versions:
        raise ConfigurationError(
            f"no realtime feed of {environment} has been fetched yet: see the tick of "
            f"{names.sensor_name('realtime', environment)}"
        )
    bodies = {feed: archive.read(version) for feed, version in versions.items()}
    messages = {feed: parse_feed(body, name=versions[feed].feed_id) for feed, body in bodies.items()}
    schedule = read_published_schedule(artifacts, environment)
    made, results = run_steps(
        steps,
        RealtimeFeeds(messages, bodies=bodies),
        now=datetime.now(UTC),
        inputs={"schedule_index": schedule.index} if schedule.index else {},
    )
    return Transformed(versions, made, results, schedule, messages)


def _encode(transformed: Transformed, feed: str) -> tuple[list[PublicationObject], str]:
    encoded = transformed.feeds.to_bytes(feed)
    objects = [
        PublicationObject(
            extension="pb",
            data=encoded,
            content_type="application/x-protobuf",
            cache_control=REALTIME_CACHE_CONTROL,
        ),
        PublicationObject(
            extension="json",
            data=feed_to_json(transformed.feeds.message(feed)),
            content_type="application/json",
            cache_control=REALTIME_CACHE_CONTROL,
        ),
    ]
    made = hashlib.sha256(b"".join(hashlib.sha256(item.data).digest() for item in objects)).hexdigest()
    return objects, f"{transformed.versions[feed].version_id}-{made[:12]}"


def _guards(
    agency: Agency, transformed: Transformed, feed: str, live: Manifest | None
) -> tuple[GuardResult, GuardResult]:
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


def _check_result(environment: str, feed: str, guard: GuardResult) -> AssetCheckResult:
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


def _order(version: FeedVersion) -> list[int | str]:
    """By header timestamp; two states of the same second by when they were fetched."""
    fetched_at = version.fetched_at.astimezone(UTC).isoformat(timespec="microseconds")
    return [version.header_timestamp or 0, fetched_at]


def _facts(transformed: Transformed, steps: Sequence[Step[RealtimeFeeds]], run_id: str) -> dict[str, object]:
    return {
        "inputs": {feed: version.to_dict() for feed, version in transformed.versions.items()},
        "schedule": transformed.schedule.label,
        "entities": {feed: len(transformed.feeds.message(feed).entity) for feed in transformed.versions},
        "code_version": code_version(steps, __version__),
        "package_version": __version__,
        "step_hashes": {step.name: step.source_hash() for step in steps},
        "run_id": run_id,
    }


def _is_materialized(context: AssetExecutionContext, environment: str, feed: str, label: str) -> bool:
    event = context.instance.get_latest_materialization_event(keys.published_realtime_key(environment, feed))
    materialization = event.asset_materialization if event else None
    return materialization is not None and _live_label(materialization) == label


def _live_label(materialization: AssetMaterialization) -> object:
    """None for a materialization that a person reported."""
    value = materialization.metadata.get("live_label")
    return None if value is None else value.value


def _materialization(
    environment: str,
    feed: str,
    transformed: Transformed,
    publication: Publication,
    objects: Sequence[PublicationObject],
) -> MaterializeResult[None]:
    version = transformed.versions[feed]
    manifest = publication.manifest
    now = datetime.now(UTC)
    return MaterializeResult(
        asset_key=keys.published_realtime_key(environment, feed),
        metadata={
            "outcome": publication.outcome,
            "version_id": version.version_id,
            "feed_digest": hashlib.sha256(objects[0].data).hexdigest(),
            "feed_bytes": len(objects[0].data),
            "entities": len(transformed.feeds.message(feed).entity),
            "age_at_publication_s": round(now.timestamp() - (version.header_timestamp or 0), 3),
            "detected_to_published_s": round((now - version.fetched_at).total_seconds(), 3),
            "url_path": f"{manifest.name}.pb",
            "live_label": manifest.label,
            "schedule_label": transformed.schedule.label,
            **step_tables(transformed.results),
        },
        data_version=DataVersion(manifest.label),
    )
