"""The command that says what runs did, out of Dagster's own storage. What it runs is imported when it runs."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from continuous_gtfs.cli_files import json_bytes

PIPELINES = ("schedule", "realtime", "archive", "replay", "realtime_validation")


@click.command()
@click.option("--json", "is_json", is_flag=True, help="Print everything of each run as JSON, a list.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="So many, the newest first.")
@click.option("--pipeline", type=click.Choice(PIPELINES), help="Only the runs of this pipeline.")
@click.option("--environment", metavar="NAME", help="Only those of this environment: production, qa.")
@click.option("--failed", is_flag=True, help="Only those that failed.")
@click.option("--run", "run_id", metavar="ID", help="Everything of this run; the first letters of its id will do.")
def runs(
    is_json: bool, limit: int, pipeline: str | None, environment: str | None, failed: bool, run_id: str | None
) -> None:
    """Say what the last runs did: trigger, steps, checks, what was published and how old it was.

    Reads the storage of the Dagster instance in DAGSTER_HOME. Exits with 2 where it cannot be read or has no such
    run.
    """
    if run_id is not None and (pipeline or environment or failed):
        raise click.UsageError("--run names one run: leave out --pipeline, --environment and --failed")
    from continuous_gtfs.defs.run_queries import RunQuery, dagster_storage
    from continuous_gtfs.defs.run_report_text import run_lines, run_text
    from continuous_gtfs.defs.run_reports import run_reports

    query = RunQuery(limit=limit, pipeline=pipeline, environment=environment, failed=failed, run_id=run_id)
    with dagster_storage() as instance:
        reports = run_reports(instance, query, now=datetime.now(UTC))
    if is_json:
        click.echo(json_bytes([report.to_dict() for report in reports]), nl=False)
    elif run_id is not None:
        click.echo("\n".join(run_text(report) for report in reports), nl=False)
    else:
        click.echo(run_lines(reports), nl=False)
