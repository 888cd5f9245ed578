"""The realtime code location: vendor realtime feeds and what is published from them. Never imports pandas."""

from collections.abc import Sequence

from dagster import Definitions, define_asset_job, definitions, in_process_executor

from continuous_gtfs import __version__, names
from continuous_gtfs.agencies.agency import Agency, load_agency, load_steps
from continuous_gtfs.definitions.settings import agency_name, artifacts_from_environment, warn_of_misspelt_settings
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.alerting import alerts_sensor
from continuous_gtfs.defs.external_assets import vendor_answers_checks, vendor_feed_moves_checks, vendor_feed_spec
from continuous_gtfs.defs.realtime_archive import archive_assets, archive_job, archive_schedule
from continuous_gtfs.defs.realtime_assets import realtime_assets
from continuous_gtfs.defs.realtime_replay import replay_asset, replay_job
from continuous_gtfs.defs.realtime_validation import validation_asset, validation_job, validation_schedule
from continuous_gtfs.defs.resources import Artifacts, VendorAccess
from continuous_gtfs.defs.sensors import pims_sensor
from continuous_gtfs.pims.catalog import FeedKind
from continuous_gtfs.pipeline.hashing import code_version
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.feeds import RealtimeFeeds

PIPELINE = "realtime"


def build_definitions(
    *, agency: Agency, steps: Sequence[Step[RealtimeFeeds]], artifacts: Artifacts, vendor_access: VendorAccess
) -> Definitions:
    """The location for one agency; tests hand in their own agency, steps and resources."""
    version = code_version(steps, __version__)
    sources = {
        environment: agency.sources(environment, FeedKind.REALTIME)
        for environment in agency.environments
        if agency.sources(environment, FeedKind.REALTIME)
    }
    feeds = {environment: [source.feed for source in sources[environment]] for environment in sources}
    published = {
        environment: [source.feed for source in sources[environment] if source.is_published] for environment in sources
    }
    targets = {e: [keys.published_realtime_key(e, feed) for feed in published[e]] for e in sources}
    hours = keys.archive_hours()
    return Definitions(
        assets=[
            *(
                vendor_feed_spec(source, agency.realtime_freshness, None)
                for environment in sources
                for source in sources[environment]
            ),
            *(realtime_assets(agency, environment, sources[environment], steps) for environment in sources),
            *(validation_asset(agency, environment, published[environment]) for environment in sources),
            *(archive_assets(environment, feeds[environment], hours) for environment in sources),
            *(replay_asset(agency, environment, published[environment], steps, hours) for environment in sources),
        ],
        asset_checks=[
            check
            for environment in sources
            for checks in (vendor_answers_checks, vendor_feed_moves_checks)
            for check in checks(sources[environment])
        ],
        sensors=[
            pims_sensor(
                pipeline=PIPELINE,
                environment=environment,
                sources=sources[environment],
                code_version=version,
                assets=targets[environment],
            )
            for environment in sources
        ]
        + [alerts_sensor(agency, PIPELINE)],
        jobs=[
            define_asset_job(
                names.job_name(PIPELINE, environment),
                selection=targets[environment],
                executor_def=in_process_executor,
                description=f"Publishes the newest realtime feeds of {environment}.",
                tags={
                    names.PIPELINE_TAG: names.pipeline_name(PIPELINE, environment),
                    # By this the launcher knows whether the code that it has loaded is that of the code server.
                    names.CODE_VERSION_TAG: version,
                    "dagster/max_runtime": "120",
                },
            )
            for environment in sources
        ]
        + [validation_job(environment) for environment in sources]
        + [archive_job(environment, feeds[environment]) for environment in sources]
        + [replay_job(environment) for environment in sources],
        schedules=[
            *(archive_schedule(environment, feeds[environment], hours) for environment in sources),
            *(
                sampled
                for environment in sources
                if (sampled := validation_schedule(agency, environment, published[environment]))
            ),
        ],
        executor=in_process_executor,
        resources={"artifacts": artifacts, "vendor_access": vendor_access},
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
