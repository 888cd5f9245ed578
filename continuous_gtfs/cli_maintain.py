"""The command that does the hourly maintenance by hand, or says what it would remove. Imports late what it runs."""

from __future__ import annotations

import os
import time

import click


@click.command()
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Remove nothing; say what would be removed.")
def maintain(is_dry_run: bool) -> None:
    """Remove what has been kept for long enough, as the job `maintenance` does every hour.

    How long is in CONTINUOUS_GTFS_KEEP_...; works on the storage of the Dagster instance in DAGSTER_HOME and on the
    stores of CONTINUOUS_GTFS_ARCHIVE and CONTINUOUS_GTFS_PUBLISHED. Exits with 1 where a part of it failed, with 2
    where nothing could be done.
    """
    from continuous_gtfs.defs.maintenance import maintain as remove_what_is_old
    from continuous_gtfs.defs.maintenance_settings import Retention
    from continuous_gtfs.defs.resources import Artifacts
    from continuous_gtfs.defs.run_queries import dagster_storage
    from continuous_gtfs.errors import ConfigurationError

    stores = {}
    for name in ("CONTINUOUS_GTFS_ARCHIVE", "CONTINUOUS_GTFS_PUBLISHED"):
        stores[name] = os.environ.get(name, "").strip()
        if not stores[name]:
            raise ConfigurationError(f"{name} is not set: it names a store that old objects are removed from")
    artifacts = Artifacts(
        archive_url=stores["CONTINUOUS_GTFS_ARCHIVE"], published_url=stores["CONTINUOUS_GTFS_PUBLISHED"]
    )
    retention = Retention.from_environment(os.environ)
    with dagster_storage() as instance:
        report = remove_what_is_old(instance, artifacts, retention, now=time.time(), is_dry_run=is_dry_run)
    click.echo(report.text(), nl=False)
    if report.failures:
        raise SystemExit(1)
