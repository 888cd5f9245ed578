"""One pass of the maintenance, as the hourly job and the command run it: what, in which order, and what failed.

Dagster's storage is one for all agencies of an instance, the stores may be each agency's own. So the agency without a
key does both, an agency with one only its stores; unless nobody has cared for the storage for hours.
"""

from __future__ import annotations

import time

from dagster import DagsterInstance
from sqlalchemy.exc import SQLAlchemyError

from continuous_gtfs.artifacts.local_folders import remove_empty_folders
from continuous_gtfs.artifacts.old_transformed import sweep_transformed
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.unnamed_versions import sweep_unnamed_versions
from continuous_gtfs.defs.maintenance_each_run import prune_each_run
from continuous_gtfs.defs.maintenance_files import remove_logs
from continuous_gtfs.defs.maintenance_postgres import PostgresPruning, alone, deadline, postgres_engine
from continuous_gtfs.defs.maintenance_report import MaintenanceReport
from continuous_gtfs.defs.maintenance_settings import HOUR_S, Retention
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.errors import ContinuousGtfsError

# A backlog of months is worked off over some hours rather than in one run that is ended by its limit.
LONGEST_S = 600.0
# A storage that nobody has cared for in so long is everybody's.
NEGLECTED_S = 3 * HOUR_S
_LAST_PASS = "continuous_gtfs/maintenance"


def maintain(
    instance: DagsterInstance,
    artifacts: Artifacts,
    retention: Retention,
    *,
    now: float,
    is_dry_run: bool = False,
    longest_s: float = LONGEST_S,
    is_for_stores_only: bool = False,
) -> MaintenanceReport:
    """Removes what has been kept for long enough. A part that fails is told of and holds up no other.

    Args:
        now: POSIX seconds; what is old is counted from here.
        is_dry_run: Removes nothing; the report says what would be removed.
        longest_s: After so many seconds no further batch of runs is begun.
        is_for_stores_only: Leaves Dagster's storage and the logs of its runs alone.
    """
    began = time.monotonic()
    report = MaintenanceReport(is_dry_run=is_dry_run)
    if not is_for_stores_only:
        _of_instance(instance, retention, report, now=now, longest_s=longest_s)
    try:
        _versions(artifacts, retention, report, now=now)
        folders = 0
        for url in dict.fromkeys((artifacts.archive_url, artifacts.published_url)):
            folders += remove_empty_folders(open_store(url), now=now, is_dry_run=is_dry_run)
        report.add("empty folders", folders)
    except (ContinuousGtfsError, OSError) as error:
        report.failures.append(f"stores: {_first_line(error)}")
    report.seconds = time.monotonic() - began
    return report


def is_neglected(instance: DagsterInstance, *, now: float) -> bool:
    """Whether no pass has been through Dagster's storage for hours. ``now`` in POSIX seconds."""
    last = instance.daemon_cursor_storage.get_cursor_values({_LAST_PASS}).get(_LAST_PASS)
    # A time to come is that of a clock that was wrong.
    return last is None or not now - NEGLECTED_S < float(last) <= now + NEGLECTED_S


def _of_instance(
    instance: DagsterInstance, retention: Retention, report: MaintenanceReport, *, now: float, longest_s: float
) -> None:
    try:
        _database(instance, retention, report, now=now, longest_s=longest_s)
        if not report.is_dry_run:
            instance.daemon_cursor_storage.set_cursor_values({_LAST_PASS: str(now)})
    except SQLAlchemyError as error:
        # A lock that others hold for long, a database that restarts: the next pass finds the same rows.
        report.failures.append(f"Dagster's storage: {_first_line(error)}")
    try:
        logs = remove_logs(instance, now=now, ticks_before=now - retention.ticks_s, is_dry_run=report.is_dry_run)
        report.add("logs of runs and ticks", *logs)
    except (OSError, SQLAlchemyError) as error:
        report.failures.append(f"logs of runs: {_first_line(error)}")


def _database(
    instance: DagsterInstance, retention: Retention, report: MaintenanceReport, *, now: float, longest_s: float
) -> None:
    may_go_on = deadline(longest_s)
    engine = postgres_engine(instance)
    if engine is None:
        prune_each_run(instance, retention, report, now=now, may_go_on=may_go_on)
        return
    with alone(engine) as is_alone:
        if is_alone:
            PostgresPruning(engine, retention, report, now=now, may_go_on=may_go_on).prune()
        else:
            report.notes.append("another pass is at Dagster's storage: nothing of it was removed here")


def _versions(artifacts: Artifacts, retention: Retention, report: MaintenanceReport, *, now: float) -> None:
    published, archive = open_store(artifacts.published_url), open_store(artifacts.archive_url)
    swept = sweep_unnamed_versions(
        published, archive, now=now, keep_s=retention.unnamed_versions_s, is_dry_run=report.is_dry_run
    )
    report.add("version objects that no manifest names", swept.count, swept.bytes)
    report.failures += swept.unreadable
    transformed = sweep_transformed(
        archive,
        published,
        now=now,
        keep_s=retention.others_s,
        unused_s=retention.unnamed_versions_s,
        is_dry_run=report.is_dry_run,
    )
    report.add("objects of old transformed schedules", transformed.objects, transformed.bytes)
    report.failures += transformed.unreadable


def _first_line(error: BaseException) -> str:
    told = str(getattr(error, "orig", None) or error).strip()
    return told.splitlines()[0] if told else type(error).__name__
