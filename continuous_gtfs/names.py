"""The written grammar of names that several parts must agree on: pipelines, jobs, sensors, tags, publications.

Text only; asset keys and partitions are made of these words in ``defs.keys``.
"""

from __future__ import annotations

TAG_PREFIX = "continuous_gtfs"
PIPELINE_TAG = f"{TAG_PREFIX}/pipeline"
TRIGGER_TAG = f"{TAG_PREFIX}/trigger"
CHANGED_TAG = f"{TAG_PREFIX}/changed"
NONE_CHANGED = "none"
"""Value of ``CHANGED_TAG`` of a run that brings no new version: it is owed, or the code is new."""
CODE_VERSION_TAG = f"{TAG_PREFIX}/code_version"
PIPELINE_VERSION_TAG = f"{TAG_PREFIX}/pipeline_version"
STEPS_TAG = f"{TAG_PREFIX}/steps"
ACCEPT_TAG = f"{TAG_PREFIX}/accept"
ROLLBACK_TAG = f"{TAG_PREFIX}/rollback"

VENDOR_ANSWERS_CHECK = "vendor_answers"
VENDOR_FEED_MOVES_CHECK = "vendor_feed_moves"


def version_tag(feed: str) -> str:
    """The run tag that names the version of ``feed`` that a run was asked to process."""
    return f"{TAG_PREFIX}/version.{feed}"


def pipeline_name(pipeline: str, environment: str) -> str:
    """``schedule/production``: the value of the pipeline tag."""
    return f"{pipeline}/{environment}"


def job_name(pipeline: str, environment: str) -> str:
    return f"{pipeline}_{environment}"


def rollback_job_name(environment: str) -> str:
    """The job by which an operator makes an older schedule live again."""
    return f"rollback_schedule_{environment}"


def archive_job_name(environment: str) -> str:
    """The job that packs past hours of realtime feeds, and the schedule that asks for it."""
    return f"archive_realtime_{environment}"


def validation_job_name(environment: str) -> str:
    """The job that judges what is live by the full rule set; its schedule has the same name."""
    return f"validate_realtime_{environment}"


def maintenance_name(agency_key: str | None) -> str:
    """The asset, job and schedule of an agency's maintenance, and its pipeline. None: the agency without a key."""
    return "maintenance" if agency_key is None else f"maintenance_{agency_key}"


def replay_job_name(environment: str) -> str:
    """The job that runs today's realtime steps on archived hours."""
    return f"replay_realtime_{environment}"


def sensor_name(pipeline: str, environment: str) -> str:
    return f"{pipeline}_{environment}_sensor"


def alerts_sensor_name(pipeline: str, environment: str) -> str:
    """The sensor of a code location that sends alerts, named by the agency's first environment."""
    return f"{pipeline}_{environment}_alerts"


def is_alerts_sensor(name: str) -> bool:
    return name.endswith("_alerts")


def schedule_publication(environment: str) -> str:
    """Name of the publication: the stable URL is this plus ``.zip``."""
    return f"schedule/{environment}/gtfs"


def realtime_publication(environment: str, feed: str) -> str:
    """Name of the publication: the stable URLs are this plus ``.pb`` and ``.json``."""
    return f"realtime/{environment}/{feed}"
