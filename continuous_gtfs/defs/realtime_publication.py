"""Publishing one feed of a realtime run, behind its guards, and reporting it as a materialization."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dagster import AssetCheckResult, AssetExecutionContext, AssetMaterialization, DataVersion, MaterializeResult

from continuous_gtfs import __version__, names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.manifest import normalized_order
from continuous_gtfs.artifacts.pack_format import PublishedSnapshot
from continuous_gtfs.artifacts.publication import Publication, PublicationObject
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.realtime_guards import (
    accepted_facts,
    blocking,
    check_result,
    is_late,
    judge,
    operator_accepts,
)
from continuous_gtfs.defs.realtime_keeping import published_snapshot
from continuous_gtfs.defs.realtime_pictures import AGE_HISTORY_FACT, age_history, grown_age_history, pictures
from continuous_gtfs.defs.realtime_transform import Transformed
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.step_results import step_tables
from continuous_gtfs.pipeline.hashing import code_version
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.pipeline_version import pipeline_version
from continuous_gtfs.realtime.encoding import feed_to_json
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.guards.entities import entity_count
from continuous_gtfs.realtime.messages import header_timestamp
from continuous_gtfs.versions import FeedVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOutcome:
    """What became of one feed.

    Attributes:
        refusals: Why it was not published; empty where it was, or where there was nothing to say.
        snapshot: What is to be kept of the publication, if anything.
        body: Its protobuf.
    """

    refusals: tuple[str, ...] = ()
    snapshot: PublishedSnapshot | None = None
    body: bytes = b""


def publish_feed(
    agency: Agency,
    environment: str,
    context: AssetExecutionContext,
    artifacts: Artifacts,
    steps: Sequence[Step[RealtimeFeeds]],
    transformed: Transformed,
    feed: str,
) -> Generator[MaterializeResult[None] | AssetCheckResult, None, FeedOutcome]:
    """Guards and publishes one feed; gives back why it was refused, or what is to be kept of it."""
    name = names.realtime_publication(environment, feed)
    publisher = artifacts.publisher()
    objects, label = _encode(agency, transformed, feed)
    order = _order(transformed.versions[feed])
    seen = publisher.look(name)
    live = seen.manifest
    is_live = live is not None and live.label == label
    accepted: dict[str, str] = {}
    # A late run of a version that was overtaken is superseded, whatever the guards would say of it by now.
    if not is_live and not is_late(normalized_order(order), live):
        accepts = operator_accepts(context.run)
        guards = judge(agency, steps, transformed, feed, live)
        told, accepted = blocking(guards, accepts), accepted_facts(guards, accepts)
        if told and _is_for_others(context, feed):
            # The run that brought this version failed by it; the run for its sibling does not.
            context.log.warning("%s: still not published: %s", name, told)
            return FeedOutcome()
        yield check_result(environment, feed, guards, accepts)
        if told:
            return FeedOutcome(refusals=(f"{environment}/{feed}: {told}",))
    # What is live already is published again all the same: a run that died half-way left something to finish.
    now = datetime.now(UTC)
    ages = age_history(live) if is_live else grown_age_history(live, transformed.versions[feed], now=now)
    publication = publisher.publish(
        name,
        objects,
        label=label,
        order=order,
        manifest={**_facts(transformed, steps, context.run.run_id, accepted), AGE_HISTORY_FACT: ages.to_text()},
        now=now,
        keep_versions=agency.keep_realtime_versions,
        seen=seen,
    )
    if publication.outcome == "superseded":
        context.log.warning("%s: not moved, %s is newer", name, publication.manifest.label)
    # A feed that did not change or is not live is not materialized: that would hide that what is live has gone stale.
    elif is_live and _is_materialized(context, environment, feed, label):
        context.log.info("%s: %s is live already", name, label)
    else:
        yield _materialization(environment, feed, transformed, publication, objects)
    return FeedOutcome(snapshot=published_snapshot(publication, feed), body=objects[0].data)


def _is_for_others(context: AssetExecutionContext, feed: str) -> bool:
    """Whether the run was asked for because of other feeds; one that is owed answers for every feed."""
    changed = context.run.tags.get(names.CHANGED_TAG, names.NONE_CHANGED)
    return changed != names.NONE_CHANGED and feed not in changed.split(",")


def _encode(agency: Agency, transformed: Transformed, feed: str) -> tuple[list[PublicationObject], str]:
    encoded = transformed.feeds.to_bytes(feed)
    objects = [
        PublicationObject(
            extension="pb",
            data=encoded,
            content_type="application/x-protobuf",
            cache_control=agency.realtime_cache_control,
        ),
        PublicationObject(
            extension="json",
            data=feed_to_json(transformed.feeds.message(feed)),
            content_type="application/json",
            cache_control=agency.realtime_cache_control,
        ),
    ]
    made = hashlib.sha256(b"".join(hashlib.sha256(item.data).digest() for item in objects)).hexdigest()
    return objects, f"{transformed.versions[feed].version_id}-{made[:12]}"


def _order(version: FeedVersion) -> list[int | str]:
    """By header timestamp; two states of the same second by when they were fetched."""
    fetched_at = version.fetched_at.astimezone(UTC).isoformat(timespec="microseconds")
    return [version.header_timestamp or 0, fetched_at]


def _facts(
    transformed: Transformed, steps: Sequence[Step[RealtimeFeeds]], run_id: str, accepted: dict[str, str]
) -> dict[str, object]:
    return {
        "inputs": {feed: version.to_dict() for feed, version in transformed.versions.items()},
        "steps_at": transformed.at.isoformat(),
        "schedule": transformed.schedule.label,
        **({"published_inputs": transformed.published} if transformed.published else {}),
        "entities": {feed: entity_count(transformed.feeds.message(feed)) for feed in transformed.versions},
        "header_timestamps": {feed: header_timestamp(transformed.feeds.message(feed)) for feed in transformed.versions},
        "code_version": code_version(steps, __version__),
        "package_version": __version__,
        "pipeline_version": pipeline_version(os.environ),
        "step_hashes": {step.name: step.source_hash() for step in steps},
        "run_id": run_id,
        **({"accepted": accepted} if accepted else {}),
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
    duplicates = transformed.duplicates[feed]
    now = datetime.now(UTC)
    return MaterializeResult(
        asset_key=keys.published_realtime_key(environment, feed),
        metadata={
            "outcome": publication.outcome,
            "version_id": version.version_id,
            "feed_digest": hashlib.sha256(objects[0].data).hexdigest(),
            "feed_bytes": len(objects[0].data),
            "entities": entity_count(transformed.feeds.message(feed)),
            **({"duplicates_dropped": duplicates.told} if duplicates.dropped else {}),
            "age_at_publication_s": round(now.timestamp() - (version.header_timestamp or 0), 3),
            "detected_to_published_s": round((now - version.fetched_at).total_seconds(), 3),
            "url_path": f"{manifest.name}.pb",
            "live_label": manifest.label,
            "pipeline_version": pipeline_version(os.environ),
            "schedule_label": transformed.schedule.label,
            **pictures(transformed.feeds.message(feed), manifest, now=now),
            **step_tables(transformed.results, feed=feed),
        },
        data_version=DataVersion(manifest.label),
    )
