"""The schedule pipeline's assets and its gate: transformed feed, validation, published feed."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    DataVersion,
    DynamicPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    Nothing,
    OpDefinition,
    asset,
    asset_check,
    graph_asset,
)

from continuous_gtfs import __version__, names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.publication import PublicationObject
from continuous_gtfs.artifacts.transformed import TransformedFeed, TransformedFeeds
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.external_assets import freshness_policy
from continuous_gtfs.defs.failures import SCHEDULE_RETRIES, failures_explained
from continuous_gtfs.defs.published_schedule import INDEX_EXTENSION
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.schedule_ops import SCHEDULE_POOL, read_version_op, step_op, store_transformed_op
from continuous_gtfs.errors import ConfigurationError, GateFailedError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.validation import ValidationReport, new_errors, validate_feed
from continuous_gtfs.pipeline.hashing import code_version
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.versions import FeedVersion

VALIDATION_CHECK = "has_no_new_validation_errors"
TRIPS_CHECK = "has_trips"
SCHEDULE_CACHE_CONTROL = "public, max-age=60"


def transformed_feed_assets(
    agency: Agency, steps: Sequence[Step[Feed]], partitions: dict[str, DynamicPartitionsDefinition]
) -> list[AssetsDefinition]:
    """``schedule/<environment>/transformed_feed`` for each environment; the step ops are shared."""
    step_ops = [step_op(step) for step in steps]
    store = store_transformed_op(steps)
    return [
        _transformed_feed(agency, environment, steps, step_ops, store, partitions_def)
        for environment, partitions_def in partitions.items()
    ]


def _transformed_feed(
    agency: Agency,
    environment: str,
    steps: Sequence[Step[Feed]],
    step_ops: Sequence[OpDefinition],
    store: OpDefinition,
    partitions_def: DynamicPartitionsDefinition,
) -> AssetsDefinition:
    read = read_version_op(environment)

    @graph_asset(
        key=keys.transformed_feed_key(environment),
        group_name=f"schedule_{environment}",
        description=f"{agency.title}'s {environment} schedule after its {len(steps)} steps; each step is an op.",
        kinds={"gtfs"},
        partitions_def=partitions_def,
        code_version=code_version(steps, __version__),
        ins={"vendor_feed": AssetIn(keys.pims_key(environment, "schedule"), dagster_type=Nothing)},
    )
    def transformed_feed(vendor_feed):  # type: ignore[no-untyped-def]
        progress = read(vendor_feed)
        for one_step in step_ops:
            progress = one_step(progress)
        return store(progress)

    return transformed_feed


def validation_check(agency: Agency, environment: str) -> AssetChecksDefinition:
    """The gate before publication: no validation error that was not accepted before."""

    @asset_check(
        asset=keys.transformed_feed_key(environment),
        name=VALIDATION_CHECK,
        blocking=True,
        pool=SCHEDULE_POOL,
        description=(
            "gtfs-guru finds no error, by notice code and count, that the published version (or, before the first "
            "publication, the vendor's own feed) does not have as well."
        ),
    )
    def has_no_new_validation_errors(context: AssetCheckExecutionContext, artifacts: Artifacts) -> AssetCheckResult:
        with failures_explained(SCHEDULE_RETRIES, context.op_execution_context.retry_number):
            version_id = _partition_of_run(context, environment)
            record, version = _transformed(artifacts, environment, version_id)
            service_date = version.fetched_at.astimezone(ZoneInfo(agency.timezone)).date()
            transformed = artifacts.transformed()

            def validate(data: bytes) -> ValidationReport:
                return validate_feed(data, service_date=service_date, country_code=agency.country_code)

            report = validate(transformed.read_bytes(record.feed_digest))
            published = artifacts.publisher().current(names.schedule_publication(environment))
            if published is None:
                against, baseline = "the vendor's feed", validate(artifacts.archive().read(version)).errors
            elif published.facts["validation"]["validator"] == validator_of(report):
                against = f"published version {published.label}"
                baseline = published.facts["validation"]["errors"]
            else:
                # Another validator knows other rules: what is live is judged anew, or every successor would be refused.
                against = f"published version {published.label}, validated again by {validator_of(report)}"
                baseline = validate(artifacts.read_published(published.objects[0])).errors
            allowed = {
                code: max(baseline.get(code, 0), record.accepted_errors.get(code, 0))
                for code in baseline.keys() | record.accepted_errors.keys()
            }
            news = new_errors(report, allowed)
            transformed.save(
                replace(
                    record,
                    validation={
                        "is_passed": not news,
                        "feed_digest": record.feed_digest,
                        "errors": dict(report.errors),
                        "warnings": dict(report.warnings),
                        "validator": validator_of(report),
                        "service_date": service_date.isoformat(),
                    },
                )
            )
        found = "; ".join(f"{code}: {count} (was {before})" for code, (count, before) in sorted(news.items()))
        return AssetCheckResult(
            passed=not news,
            description=f"new errors against {against}: {found}" if news else f"no new errors against {against}",
            metadata={
                "new_errors": MetadataValue.json({code: count for code, (count, _) in news.items()}),
                "errors": MetadataValue.json(dict(report.errors)),
                "warnings": MetadataValue.json(dict(report.warnings)),
                "notices": MetadataValue.json(report.to_dict()),
                "service_date": service_date.isoformat(),
                "duration_s": report.duration_s,
            },
        )

    return has_no_new_validation_errors


def validator_of(report: ValidationReport) -> str:
    return f"gtfs-guru {report.validator_version}"


def trips_check(agency: Agency, environment: str) -> AssetChecksDefinition:
    """The second gate: a schedule without a trip is valid by the letter, and would empty every rider's app."""

    @asset_check(
        asset=keys.transformed_feed_key(environment),
        name=TRIPS_CHECK,
        blocking=True,
        description=f"{agency.title}'s transformed feed has at least one trip with stop times.",
    )
    def has_trips(context: AssetCheckExecutionContext, artifacts: Artifacts) -> AssetCheckResult:
        with failures_explained(SCHEDULE_RETRIES, context.op_execution_context.retry_number):
            record, _ = _transformed(artifacts, environment, _partition_of_run(context, environment))
            trips = _trip_count(record, artifacts.transformed())
        return AssetCheckResult(passed=trips > 0, description=f"{trips} trips", metadata={"trips": trips})

    return has_trips


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
        deps=[keys.transformed_feed_key(environment)],
        freshness_policy=freshness_policy(agency.schedule_freshness),
        code_version=__version__,
    )
    def published_feed(context: AssetExecutionContext, artifacts: Artifacts) -> MaterializeResult[None]:
        with failures_explained(SCHEDULE_RETRIES, context.op_execution_context.retry_number):
            record, version = _transformed(artifacts, environment, context.partition_key)
            transformed = artifacts.transformed()
            _require_passed_gate(record, transformed)
            result = artifacts.publisher().publish(
                publication,
                _publication_objects(record, transformed),
                label=_label(record),
                order=[version.fetched_at.astimezone(UTC).isoformat(timespec="microseconds")],
                manifest={
                    "inputs": {"schedule": version.to_dict()},
                    "code_version": record.code_version,
                    "package_version": __version__,
                    "step_hashes": record.step_hashes,
                    "run_id": context.run.run_id,
                    "transform_run_id": record.run_id,
                    "validation": record.validation,
                    "zip_writer": record.zip_writer,
                },
                now=datetime.now(UTC),
                keep_versions=agency.keep_schedule_versions,
            )
        if result.outcome == "superseded":
            context.log.warning("not moved: %s is already at a newer version", publication)
        return MaterializeResult(
            metadata={
                "outcome": result.outcome,
                "version_id": record.version_id,
                "feed_digest": record.feed_digest,
                "feed_bytes": record.feed_bytes,
                "url_path": f"{publication}.zip",
                "code_version": record.code_version,
                "live_label": result.manifest.label,
            },
            data_version=DataVersion(record.feed_digest),
        )

    return published_feed


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
            content_type="application/gzip",
            cache_control=SCHEDULE_CACHE_CONTROL,
        ),
    ]


def _transformed(artifacts: Artifacts, environment: str, version_id: str) -> tuple[TransformedFeed, FeedVersion]:
    record = artifacts.transformed().load(environment, version_id)
    version = artifacts.archive().find(environment, "schedule", version_id)
    if record is None or version is None:
        raise ConfigurationError(
            f"version {version_id} of {environment}/schedule has not been transformed: "
            f"materialize {keys.transformed_feed_key(environment).to_user_string()} for this partition first"
        )
    return record, version


def _trip_count(record: TransformedFeed, transformed: TransformedFeeds) -> int:
    """Trips that have stop times."""
    index = ScheduleIndex.from_bytes(transformed.read_bytes(record.index_digest))
    return sum(trip.start_s is not None for trip in index.trips.values())


def _require_passed_gate(record: TransformedFeed, transformed: TransformedFeeds) -> None:
    """Publication stands behind the gates even when it is run alone."""
    if not _trip_count(record, transformed):
        raise GateFailedError(f"version {record.version_id} of {record.environment}/schedule has no trips")
    validation = record.validation
    if validation is None or validation["feed_digest"] != record.feed_digest or not validation["is_passed"]:
        raise GateFailedError(
            f"version {record.version_id} of {record.environment}/schedule has not passed {VALIDATION_CHECK} as it "
            "stands: materialize transformed_feed, with its checks, for this partition"
        )


def _partition_of_run(context: AssetCheckExecutionContext, environment: str) -> str:
    """The version that the run is about. The check itself is not partitioned: in Dagster 1.13 that is a preview."""
    version_id = context.run.tags.get("dagster/partition")
    if version_id is None:
        raise ConfigurationError(
            f"{VALIDATION_CHECK} judges one version: materialize "
            f"{keys.transformed_feed_key(environment).to_user_string()} for a partition, and it runs with it"
        )
    return version_id
