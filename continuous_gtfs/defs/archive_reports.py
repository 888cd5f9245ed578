"""Telling a new, empty Dagster storage of the schedule versions that the archive holds.

A database that was lost altogether takes runs, events and partitions with it, but no feed: archive and manifests are
elsewhere. What is live stays live, and the newest version is found again by its sensor. Older versions are known to
Dagster only once they are reported again, as partitions that can be run and rolled back to. Realtime versions have no
partitions: hours are found in the archive itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dagster import DagsterInstance

from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.external_assets import version_materialization
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.pims.catalog import FeedKind
from continuous_gtfs.versions import FeedVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReport:
    """What was reported of one environment.

    Attributes:
        archived: How many schedule versions the archive holds.
        added: Ids of those that Dagster did not know, oldest first.
    """

    environment: str
    archived: int
    added: tuple[str, ...]


def report_archive(instance: DagsterInstance, agency: Agency, artifacts: Artifacts) -> list[ArchiveReport]:
    """Add a partition and a materialization for each archived schedule version that has none.

    Twice does no more than once, and a running sensor may do the same meanwhile.

    Raises:
        StoreError: The archive could not be read.
    """
    archive = artifacts.archive()
    return [
        _report(instance, environment, archive.versions(environment, "schedule"))
        for environment in agency.environments
        if agency.sources(environment, FeedKind.SCHEDULE)
    ]


def _report(instance: DagsterInstance, environment: str, versions: Sequence[FeedVersion]) -> ArchiveReport:
    name = keys.schedule_versions_name(environment)
    known = set(instance.get_dynamic_partitions(name))
    reported = instance.get_materialized_partitions(keys.pims_key(environment, "schedule"))
    missing = [each for each in versions if each.version_id not in known or each.version_id not in reported]
    added = tuple(each.version_id for each in missing)
    if missing:
        instance.add_dynamic_partitions(name, [each.version_id for each in missing])
        # The newest last, also where it was reported already: the asset's latest version is the one reported last.
        for version in dict.fromkeys((*missing, versions[-1])):
            instance.report_runless_asset_event(version_materialization(version, is_partitioned=True))
    return ArchiveReport(environment=environment, archived=len(versions), added=added)
