"""Settings that decide what a code location holds, read when it is loaded."""

from __future__ import annotations

import logging
import os

from dagster import EnvVar

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.setting_names import misspelt


def agency_name() -> str:
    """Dotted name of the agency package: ``CONTINUOUS_GTFS_AGENCY``, or the reference agency."""
    return os.environ.get("CONTINUOUS_GTFS_AGENCY", "").strip() or DEFAULT_AGENCY


def artifacts_from_environment() -> Artifacts:
    """The stores that ``CONTINUOUS_GTFS_ARCHIVE`` and ``CONTINUOUS_GTFS_PUBLISHED`` name; read when they are needed."""
    return Artifacts(archive_url=EnvVar("CONTINUOUS_GTFS_ARCHIVE"), published_url=EnvVar("CONTINUOUS_GTFS_PUBLISHED"))


def warn_of_misspelt_settings() -> None:
    """Say in the log of the process which variables look like settings and are none."""
    for line in misspelt(os.environ):
        logging.getLogger(__name__).warning(line)
