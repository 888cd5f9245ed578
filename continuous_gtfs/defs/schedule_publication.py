"""The published schedule: the transformed feed at its stable URL, and an operator's way back to an older one."""

import hashlib
import os
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    BackfillPolicy,
    DagsterRun,
    DataVersion,
    DynamicPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    asset,
)

from continuous_gtfs import __version__, names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.publication import Publication, PublicationObject
from continuous_gtfs.artifacts.transformed import TransformedFeed, TransformedFeeds
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.beta import knowingly_beta
from continuous_gtfs.defs.external_assets import freshness_policy
from continuous_gtfs.defs.failures import SCHEDULE_RETRIES, failures_explained
from continuous_gtfs.defs.published_schedule import INDEX_EXTENSION
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.schedule_gates import accepted_facts, require_passed_gates
from continuous_gtfs.defs.schedule_versions import TransformedVersion, transformed_versions
from continuous_gtfs.pipeline_version import pipeline_version

SCHEDULE_CACHE_CONTROL = "public, max-age=60"


@knowingly_beta()
def published_feed_asset(
    agency: Agency, environment: str, partitions_def: DynamicPartitionsDefinition
) -> AssetsDefinition:
    """``schedule/<environment>/published_feed``: the transformed feed at its stable URL, with a manifest."""
    publication = names.schedule_publication(environment)

    @asset(
        key=keys.published_schedule_key(environment),
        group_name=f"schedule_{environment}",
        description=f"What consumers get at {publication}.zip, and the schedule index beside it.",
        kinds={"gtfs"},
        partitions_def=partitions_def,
        backfill_policy=BackfillPolicy.single_run(),
        # After the diff, which compares with what is published before.
        deps=[keys.transformed_feed_key(environment), keys.feed_diff_key(environment)],
        freshness_policy=freshness_policy(agency.schedule_freshness),
        code_version=__version__,
    )
    def published_feed(context: AssetExecutionContext, artifacts: Artifacts) -> MaterializeResult[None]:
        published: dict[str, MaterializeResult[None]] = {}
        with failures_explained(SCHEDULE_RETRIES, context.op_execution_context.retry_number):
            subjects = list(transformed_versions(artifacts, environment, tuple(context.partition_keys)))
            for subject in sorted(subjects, key=lambda one: one.order):
                result = _publish(agency, artifacts, subject, context.run)
                if result.outcome == "superseded":
                    context.log.warning("not moved: %s is already at a newer version", publication)
                published[subject.version.version_id] = _materialized(subject.record, result, publication)
        if len(published) == 1:
            (only,) = published.values()
            return only
        outcomes = {version_id: (one.metadata or {})["outcome"] for version_id, one in published.items()}
        return MaterializeResult(metadata={"outcomes": MetadataValue.json(outcomes)})

    return published_feed


def _publish(agency: Agency, artifacts: Artifacts, subject: TransformedVersion, run: DagsterRun) -> Publication:
    record, version, transformed = subject.record, subject.version, artifacts.transformed()
    require_passed_gates(record, transformed)
    return artifacts.publisher().publish(
        names.schedule_publication(version.environment),
        _publication_objects(record, transformed),
        label=_label(record),
        order=subject.order,
        manifest={
            "inputs": {"schedule": version.to_dict()},
            "code_version": record.code_version,
            "package_version": __version__,
            "pipeline_version": pipeline_version(os.environ),
            "step_hashes": record.step_hashes,
            "run_id": run.run_id,
            "transform_run_id": record.run_id,
            "validation": record.validation,
            "gates": record.gates,
            "accepted": accepted_facts(record),
            "zip_writer": record.zip_writer,
        },
        now=datetime.now(UTC),
        force_older=run.tags.get(names.ROLLBACK_TAG) == "true",
        keep_versions=agency.keep_schedule_versions,
    )


def _materialized(record: TransformedFeed, result: Publication, publication: str) -> MaterializeResult[None]:
    accepted = accepted_facts(record)
    metadata: dict[str, Any] = {
        "outcome": result.outcome,
        "version_id": record.version_id,
        "feed_digest": record.feed_digest,
        "feed_bytes": record.feed_bytes,
        "url_path": f"{publication}.zip",
        "version_url_path": _version_path(result),
        "code_version": record.code_version,
        "pipeline_version": pipeline_version(os.environ),
        "live_label": result.manifest.label,
    }
    if accepted:
        metadata["accepted"] = MetadataValue.json(accepted)
    return MaterializeResult(metadata=metadata, data_version=DataVersion(record.feed_digest))


def _version_path(result: Publication) -> str:
    """Where the zip that is live stays reachable after its successor."""
    return next(item.version_path for item in result.manifest.objects if item.extension == "zip")


def _label(record: TransformedFeed) -> str:
    """Names what is published: the input version, and the bytes made of it."""
    made = hashlib.sha256(f"{record.feed_digest} {record.index_digest}".encode()).hexdigest()
    return f"{record.version_id}-{made[:12]}"


def _publication_objects(record: TransformedFeed, transformed: TransformedFeeds) -> list[PublicationObject]:
    return [
        PublicationObject(
            extension="zip",
            data=transformed.read_bytes(record.feed_digest),
            content_type="application/zip",
            cache_control=SCHEDULE_CACHE_CONTROL,
        ),
        PublicationObject(
            extension=INDEX_EXTENSION,
            data=transformed.read_bytes(record.index_digest),
            content_type="application/octet-stream",
            cache_control=SCHEDULE_CACHE_CONTROL,
        ),
    ]
