"""Settings that decide what a code location holds, read when it is loaded."""

from __future__ import annotations

import os

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY


def agency_name() -> str:
    """Dotted name of the agency package: ``CONTINUOUS_GTFS_AGENCY``, or the reference agency."""
    return os.environ.get("CONTINUOUS_GTFS_AGENCY", "").strip() or DEFAULT_AGENCY
