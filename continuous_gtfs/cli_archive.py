"""The command that tells a new database of what the archive holds. Imports late what it runs."""

from __future__ import annotations

import os

import click


@click.command()
def report_archive() -> None:
    """Tell Dagster of every archived schedule version that it does not know, after its database was lost.

    Adds partitions and materializations to the storage of the Dagster instance in DAGSTER_HOME, from the store of
    CONTINUOUS_GTFS_ARCHIVE; publishes nothing. Twice does no more than once.
    """
    from continuous_gtfs.agencies.agency import load_agency
    from continuous_gtfs.definitions.settings import agency_name
    from continuous_gtfs.defs.archive_reports import report_archive as report
    from continuous_gtfs.defs.resources import Artifacts
    from continuous_gtfs.defs.run_queries import dagster_storage
    from continuous_gtfs.errors import ConfigurationError

    archive = os.environ.get("CONTINUOUS_GTFS_ARCHIVE", "").strip()
    if not archive:
        raise ConfigurationError("CONTINUOUS_GTFS_ARCHIVE is not set: it names the store of every version fetched")
    artifacts = Artifacts(archive_url=archive, published_url=os.environ.get("CONTINUOUS_GTFS_PUBLISHED", ""))
    with dagster_storage() as instance:
        for told in report(instance, load_agency(agency_name()), artifacts):
            click.echo(f"{told.environment}: {told.archived} schedule versions archived, {len(told.added)} reported")
