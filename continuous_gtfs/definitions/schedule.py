"""The schedule code location: vendor schedules, their transformation, gate and publication."""

from collections.abc import Sequence

from dagster import AssetKey, Definitions, define_asset_job, definitions, in_process_executor
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from continuous_gtfs import __version__, names
from continuous_gtfs.agencies.agency import Agency, load_agency, load_steps
from continuous_gtfs.definitions.settings import agency_name, artifacts_from_environment, warn_of_misspelt_settings
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.alerting import alerts_sensor
from continuous_gtfs.defs.external_assets import vendor_answers_checks, vendor_feed_spec
from continuous_gtfs.defs.feeds_in_memory import FEEDS_IN_MEMORY, feeds_in_memory
from continuous_gtfs.defs.maintenance_job import maintenance_asset, maintenance_job, maintenance_schedule
from continuous_gtfs.defs.resources import Artifacts, Operator, VendorAccess
from continuous_gtfs.defs.schedule_assets import transformed_feed_assets
from continuous_gtfs.defs.schedule_checks import schedule_checks
from continuous_gtfs.defs.schedule_diff import Compare, compare_feeds, feed_diff_asset
from continuous_gtfs.defs.schedule_publication import published_feed_asset
from continuous_gtfs.defs.schedule_validation import validation_check
from continuous_gtfs.defs.sensors import pims_sensor
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.pims.catalog import FeedKind
from continuous_gtfs.pipeline.hashing import code_version
from continuous_gtfs.pipeline.step import Step

PIPELINE = "schedule"


def build_definitions(
    *,
    agency: Agency,
    steps: Sequence[Step[Feed]],
    artifacts: Artifacts,
    vendor_access: VendorAccess,
    compare: Compare = compare_feeds,
) -> Definitions:
    """The location for one agency; tests hand in their own agency, steps, resources and comparison."""
    version = code_version(steps, __version__)
    environments = [e for e in agency.environments if agency.sources(e, FeedKind.SCHEDULE)]
    partitions = {environment: keys.schedule_versions(environment) for environment in environments}
    sources = {environment: agency.sources(environment, FeedKind.SCHEDULE) for environment in environments}
    return Definitions(
        assets=[
            *(
                vendor_feed_spec(source, agency.schedule_freshness, partitions[environment])
                for environment in environments
                for source in sources[environment]
            ),
            *transformed_feed_assets(agency, steps, partitions),
            *(feed_diff_asset(agency, environment, partitions[environment], compare) for environment in environments),
            *(published_feed_asset(agency, environment, partitions[environment]) for environment in environments),
            maintenance_asset(agency),
        ],
        asset_checks=[
            *(check for environment in environments for check in vendor_answers_checks(sources[environment])),
            *(validation_check(agency, environment) for environment in environments),
            *(schedule_checks(agency, environment) for environment in environments),
        ],
        sensors=[
            pims_sensor(
                pipeline=PIPELINE,
                environment=environment,
                sources=sources[environment],
                code_version=version,
                assets=_made(environment),
                partitions_def=partitions[environment],
            )
            for environment in environments
        ]
        + [alerts_sensor(agency, PIPELINE)],
        jobs=[
            *(job for environment in environments for job in (_schedule_job(environment), _rollback_job(environment))),
            maintenance_job(agency),
        ],
        schedules=[maintenance_schedule(agency)],
        executor=in_process_executor,
        resources={
            "artifacts": artifacts,
            "operator": Operator.configure_at_launch(),
            "vendor_access": vendor_access,
            FEEDS_IN_MEMORY: feeds_in_memory,
        },
    )


def _made(environment: str) -> list[AssetKey]:
    """What a run of the pipeline makes, in order."""
    return [
        keys.transformed_feed_key(environment),
        keys.feed_diff_key(environment),
        keys.published_schedule_key(environment),
    ]


def _schedule_job(environment: str) -> UnresolvedAssetJobDefinition:
    return define_asset_job(
        names.job_name(PIPELINE, environment),
        selection=_made(environment),
        executor_def=in_process_executor,
        description=f"Transforms, validates and publishes one version of the {environment} schedule.",
        tags={
            names.PIPELINE_TAG: names.pipeline_name(PIPELINE, environment),
            "dagster/max_runtime": "1800",
            # Feeds between steps live in the run's memory, so a retry starts at the first step.
            "dagster/retry_strategy": "ALL_STEPS",
        },
    )


def _rollback_job(environment: str) -> UnresolvedAssetJobDefinition:
    return define_asset_job(
        names.rollback_job_name(environment),
        selection=[keys.published_schedule_key(environment)],
        executor_def=in_process_executor,
        description=(
            f"An operator's way back: makes the partition's version the live {environment} schedule though a newer one "
            "is. Nothing up to the newest so far goes live again of itself; what is newer does."
        ),
        tags={
            names.PIPELINE_TAG: names.pipeline_name(PIPELINE, environment),
            # A tag, since the command line does not apply a job's own config.
            names.ROLLBACK_TAG: "true",
            "dagster/max_runtime": "1800",
        },
    )


@definitions
def defs() -> Definitions:
    """The location as configured by the environment; nothing is read before Dagster asks for it."""
    warn_of_misspelt_settings()
    name = agency_name()
    return build_definitions(
        agency=load_agency(name),
        steps=load_steps(name, PIPELINE),
        artifacts=artifacts_from_environment(),
        vendor_access=VendorAccess(),
    )
