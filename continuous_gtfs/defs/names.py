"""The written grammar of names in Dagster: asset keys, groups, jobs, sensors, partitions, tags.

pims/<environment>/<feed>                       external: what the vendor serves
schedule/<environment>/transformed_feed         partitioned by feed version
schedule/<environment>/published_feed           partitioned by feed version
realtime/<environment>/published_<feed>         one for each realtime feed
"""

from __future__ import annotations

from dagster import AssetKey, DynamicPartitionsDefinition

TAG_PREFIX = "continuous_gtfs"
PIPELINE_TAG = f"{TAG_PREFIX}/pipeline"
TRIGGER_TAG = f"{TAG_PREFIX}/trigger"
CHANGED_TAG = f"{TAG_PREFIX}/changed"
CODE_VERSION_TAG = f"{TAG_PREFIX}/code_version"

VENDOR_ANSWERS_CHECK = "vendor_answers"


def version_tag(feed: str) -> str:
    """The run tag that names the version of ``feed`` that a run was asked to process."""
    return f"{TAG_PREFIX}/version.{feed}"


def pipeline_name(pipeline: str, environment: str) -> str:
    """``schedule/production``: the value of the pipeline tag."""
    return f"{pipeline}/{environment}"


def job_name(pipeline: str, environment: str) -> str:
    return f"{pipeline}_{environment}"


def sensor_name(pipeline: str, environment: str) -> str:
    return f"{pipeline}_{environment}_sensor"


def pims_key(environment: str, feed: str) -> AssetKey:
    return AssetKey(["pims", environment, feed])


def transformed_feed_key(environment: str) -> AssetKey:
    return AssetKey(["schedule", environment, "transformed_feed"])


def published_schedule_key(environment: str) -> AssetKey:
    return AssetKey(["schedule", environment, "published_feed"])


def published_realtime_key(environment: str, feed: str) -> AssetKey:
    return AssetKey(["realtime", environment, f"published_{feed}"])


def schedule_versions(environment: str) -> DynamicPartitionsDefinition:
    """One partition for each schedule version; the key is its version_id."""
    return DynamicPartitionsDefinition(name=f"schedule_{environment}_versions")


def schedule_publication(environment: str) -> str:
    """Name of the publication: the stable URL is this plus ``.zip``."""
    return f"schedule/{environment}/gtfs"


def realtime_publication(environment: str, feed: str) -> str:
    """Name of the publication: the stable URLs are this plus ``.pb`` and ``.json``."""
    return f"realtime/{environment}/{feed}"
