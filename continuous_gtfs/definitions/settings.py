"""Settings that decide what a code location holds, read when it is loaded."""

from __future__ import annotations

import os

from dagster import EnvVar

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY
from continuous_gtfs.defs.resources import Artifacts


def agency_name() -> str:
    """Dotted name of the agency package: ``CONTINUOUS_GTFS_AGENCY``, or the reference agency."""
    return os.environ.get("CONTINUOUS_GTFS_AGENCY", "").strip() or DEFAULT_AGENCY


def artifacts_from_environment() -> Artifacts:
    """The stores that ``CONTINUOUS_GTFS_ARCHIVE`` and ``CONTINUOUS_GTFS_PUBLISHED`` name; read when they are needed."""
    return Artifacts(archive_url=EnvVar("CONTINUOUS_GTFS_ARCHIVE"), published_url=EnvVar("CONTINUOUS_GTFS_PUBLISHED"))
