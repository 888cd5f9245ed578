"""The realtime pipeline's assets: one run takes what is new of an environment's realtime feeds and publishes it.

The whole list of steps is one Dagster step, since a run happens every 20 s; the step results ride along as metadata.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    DataVersion,
    Failure,
    MaterializeResult,
    multi_asset,
)

from continuous_gtfs import __version__, names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.publication import Publication, PublicationObject
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.external_assets import freshness_policy
from continuous_gtfs.defs.failures import failures_explained
from continuous_gtfs.defs.published_schedule import PublishedSchedule, read_published_schedule
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.step_results import step_table
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pipeline.hashing import steps_hash
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
    """What the steps made of one run's feeds."""

    versions: dict[str, FeedVersion]
    feeds: RealtimeFeeds
    results: list[StepResult]
    schedule: PublishedSchedule | None


def realtime_assets(
    agency: Agency, environment: str, sources: Sequence[FeedSource], steps: Sequence[Step[RealtimeFeeds]]
) -> AssetsDefinition:
    """``realtime/<environment>/published_<feed>`` for each feed, made together in one step."""
    feeds = tuple(source.feed for source in sources)
    code_version = steps_hash(steps)

    @multi_asset(
        name=f"publish_realtime_{environment}",
        specs=[_spec(agency, environment, feed, feeds, code_version) for feed in feeds],
        check_specs=[check for feed in feeds for check in _check_specs(agency, environment, feed)],
        can_subset=True,
    )
    def publish_realtime(
        context: AssetExecutionContext, artifacts: Artifacts
    ) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
        wanted = [f for f in feeds if keys.published_realtime_key(environment, f) in context.selected_asset_keys]
        with failures_explained():
            transformed = _transform(context, artifacts, environment, feeds, steps)
        for line in (line for result in transformed.results for line in result.logs):
            context.log.info(line)
        refused: list[str] = []
        for feed in wanted:
            if feed not in transformed.versions:
                context.log.warning("%s/%s: no version has been fetched yet", environment, feed)
                continue
            name = names.realtime_publication(environment, feed)
            with failures_explained():
                publisher = artifacts.publisher()
                objects, label = _encode(transformed, feed)
                live = publisher.current(name)
            is_live = live is not None and live.label == label
            if not is_live:
                guards = _guards(agency, transformed, feed, live)
                yield from (_check_result(environment, feed, guard) for guard in guards)
                failed = [guard.message for guard in guards if not guard.passed]
                if failed:
                    refused.append(f"{environment}/{feed}: {'; '.join(failed)}")
                    continue
            # What is live already is published again all the same: a run that died half-way left something to finish.
            with failures_explained():
                publication = publisher.publish(
                    name,
                    objects,
                    label=label,
                    order=_order(transformed.versions[feed]),
                    manifest=_facts(transformed, steps, code_version, context.run.run_id),
                    now=datetime.now(UTC),
                    keep_versions=agency.keep_realtime_versions,
                )
            # A feed that did not change is not materialized again: that would hide that it has gone stale.
            if is_live and _is_materialized(context, environment, feed, label):
                context.log.info("%s: %s is live already", name, label)
                continue
            yield _materialization(environment, feed, transformed, publication, objects)
        if refused:
            raise Failure(
                description=f"not published, the last good feed stays: {' | '.join(refused)}",
                allow_retries=False,
            )

    return publish_realtime


def _spec(agency: Agency, environment: str, feed: str, feeds: Sequence[str], code_version: str) -> AssetSpec:
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
        code_version=code_version,
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
        inputs={"schedule_index": schedule.index} if schedule else {},
    )
    return Transformed(versions, made, results, schedule)


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
    label = f"{transformed.versions[feed].version_id}-{hashlib.sha256(encoded).hexdigest()[:12]}"
    return objects, label


def _guards(
    agency: Agency, transformed: Transformed, feed: str, live: Manifest | None
) -> tuple[GuardResult, GuardResult]:
    now = datetime.now(UTC)
    message = transformed.feeds.message(feed)
    return (
        header_age(message, now=now, max_age_s=agency.realtime.header_age_s),
        has_entities(
            message,
            published_entities=live.facts.get("entities", {}).get(feed) if live else None,
            trips_running=transformed.schedule.index.trips_running_at(now) if transformed.schedule else None,
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


def _facts(
    transformed: Transformed, steps: Sequence[Step[RealtimeFeeds]], code_version: str, run_id: str
) -> dict[str, object]:
    schedule = transformed.schedule
    return {
        "inputs": {feed: version.to_dict() for feed, version in transformed.versions.items()},
        "schedule": schedule.label if schedule else None,
        "entities": {feed: len(transformed.feeds.message(feed).entity) for feed in transformed.versions},
        "code_version": code_version,
        "package_version": __version__,
        "step_hashes": {step.name: step.source_hash() for step in steps},
        "run_id": run_id,
    }


def _is_materialized(context: AssetExecutionContext, environment: str, feed: str, label: str) -> bool:
    event = context.instance.get_latest_materialization_event(keys.published_realtime_key(environment, feed))
    materialization = event.asset_materialization if event else None
    return materialization is not None and materialization.metadata["live_label"].value == label


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
            "schedule_label": transformed.schedule.label if transformed.schedule else "none published",
            "steps": step_table(transformed.results),
        },
        data_version=DataVersion(manifest.label),
    )
