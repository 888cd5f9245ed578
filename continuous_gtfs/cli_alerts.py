"""The commands on alerts: try the destinations, and say what is open. What they run is imported when they run."""

from __future__ import annotations

import os
import time

import click

from continuous_gtfs.cli_files import json_bytes


@click.group()
def alerts() -> None:
    """Try where alerts go, and say what is open."""


@alerts.command("test")
def test_() -> None:
    """Send a message to each destination of CONTINUOUS_GTFS_ALERT_URLS. Exits with 1 where one did not take it."""
    from continuous_gtfs.alerts.destinations import SETTING, destinations
    from continuous_gtfs.alerts.problems import Change, Notice, Problem, Severity
    from continuous_gtfs.errors import ConfigurationError, ContinuousGtfsError
    from continuous_gtfs.pims.secrets_opening import open_secrets

    places = destinations(os.environ)
    if not places:
        raise ConfigurationError(f"{SETTING} is blank: it names where alerts go")
    now = time.time()
    summary = "this is a test of continuous-gtfs alerts; nothing is wrong"
    problem = Problem(kind="test", subject="test", severity=Severity.WARNING, summary=summary, since=now)
    has_failed = False
    for place in places:
        try:
            place.send(
                [Notice(change=Change.BEGAN, problem=problem, at=now)],
                environ=os.environ,
                secrets=open_secrets(os.environ),
            )
            click.echo(f"{place.name}: delivered")
        except ContinuousGtfsError as error:
            has_failed = True
            click.echo(f"{place.name}: not delivered: {error}")
    if has_failed:
        raise SystemExit(1)


@alerts.command("list")
@click.option("--json", "is_json", is_flag=True, help="Print everything of each as JSON, a list.")
def list_(is_json: bool) -> None:
    """Say what is open now, as the alert sensors know it. Reads the storage of the instance in DAGSTER_HOME."""
    from continuous_gtfs.alerts.rendering import line
    from continuous_gtfs.defs.alerting import Memory
    from continuous_gtfs.defs.alerting_facts import alert_cursors
    from continuous_gtfs.defs.run_queries import dagster_storage

    with dagster_storage() as instance:
        memories = [Memory.from_json(cursor) for _, cursor in alert_cursors(instance)]
    found = [one.problem for memory in memories for one in memory.ledger.open.values()]
    if is_json:
        click.echo(json_bytes([problem.to_dict() for problem in found]), nl=False)
    else:
        click.echo("\n".join(map(line, found)) or "nothing is open")
