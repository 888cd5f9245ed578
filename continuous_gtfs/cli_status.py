"""The command that says what is live, how old, from which versions and what failed. Imports late what it runs."""

from __future__ import annotations

import os
import time

import click

from continuous_gtfs.cli_files import json_bytes


@click.command()
@click.option("--json", "is_json", is_flag=True, help="Print everything as JSON.")
def status(is_json: bool) -> None:
    """Say what is live, how old it is, from which versions, and what failed last.

    Reads the store of CONTINUOUS_GTFS_PUBLISHED and the storage of the Dagster instance in DAGSTER_HOME; needs no
    running process. Exits with 0 where all is well, with 1 where something is stale or has failed, with 2 where it
    cannot be told.
    """
    from continuous_gtfs.agencies.agency import load_agency
    from continuous_gtfs.definitions.settings import agency_name
    from continuous_gtfs.defs.resources import Artifacts
    from continuous_gtfs.defs.status import Status, read_published, read_storage
    from continuous_gtfs.defs.status_text import status_text
    from continuous_gtfs.errors import ContinuousGtfsError

    agency = load_agency(agency_name())
    artifacts = Artifacts(
        archive_url=os.environ.get("CONTINUOUS_GTFS_ARCHIVE", ""),
        published_url=os.environ.get("CONTINUOUS_GTFS_PUBLISHED", ""),
    )
    told, now = Status(), time.time()
    try:
        read_published(told, agency, artifacts, now=now)
    except ContinuousGtfsError as error:
        told.unreadable["published store (CONTINUOUS_GTFS_PUBLISHED)"] = str(error)
    try:
        read_storage(told, now=now)
    except ContinuousGtfsError as error:
        told.unreadable["database"] = str(error)
    click.echo(json_bytes(told.to_dict()) if is_json else status_text(told), nl=False)
    raise SystemExit(told.exit_code)
