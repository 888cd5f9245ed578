"""The command that is an author's own loop: run a list of steps on a feed, look at what it did. No Dagster.

What it runs is imported when it runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from continuous_gtfs.cli_files import (
    check_writable,
    json_bytes,
    look_here,
    named,
    read_feed,
    read_file,
    write_whole,
)
from continuous_gtfs.cli_steps import named_paths, parse_moment, steps_until, with_author_line
from continuous_gtfs.errors import ConfigurationError, FeedStructureError, GateFailedError, StepFailedError

if TYPE_CHECKING:
    from continuous_gtfs.gtfs.feed import Feed

SCHEDULE = "schedule"

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("agency")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=PATH", help="schedule=FEED, and further inputs of the steps."
)
@click.option("--output", "-o", type=FILE, help="Write the transformed feed here; else it is only reported on.")
@click.option("--until", metavar="STEP", help="Stop after this step.")
@click.option("--diff", "is_diff", is_flag=True, help="Say what changed from the input to the output.")
@click.option("--report", type=FILE, help="Write what every step did as JSON, also where one failed.")
@click.option(
    "--now", metavar="ISO-TIME", help="The time that the steps are told, with its offset; else the present one."
)
def schedule(
    agency: str,
    inputs: tuple[str, ...],
    output: Path | None,
    until: str | None,
    is_diff: bool,
    report: Path | None,
    now: str | None,
) -> None:
    """Run an agency's schedule steps on a feed.

    AGENCY is a folder that holds schedule.py, or a dotted package; schedule.py has the list STEPS. A feed is a zip
    or a folder of its files. The same feed, steps and --now give the same bytes. Where a step fails, no feed is
    written and what lay at --output stays.
    """
    from continuous_gtfs.agencies.agency import load_steps
    from continuous_gtfs.gtfs.feed import Feed
    from continuous_gtfs.gtfs.reports import counted, run_report, step_notes, step_table
    from continuous_gtfs.pipeline.results import StepResult
    from continuous_gtfs.pipeline.running import run_steps

    moment = datetime.now(UTC) if now is None else parse_moment(now)
    paths = named_paths(inputs, example="schedule=feed.zip")
    if SCHEDULE not in paths:
        raise ConfigurationError("there is no input to run the steps on: give --input schedule=feed.zip")
    for path, option in ((output, "--output"), (report, "--report")):
        if path is not None:
            check_writable(path, option)
    look_here()
    steps = steps_until(load_steps(agency, SCHEDULE), until)
    source = paths.pop(SCHEDULE)
    data = read_feed(source)
    with named(source):
        before = Feed.from_bytes(data)
    others = {name: _input(path) for name, path in paths.items()}

    results: list[StepResult] = []

    def write_report(made: bytes | None, rows_out: Mapping[str, int] | None, error: str | None = None) -> None:
        if report is None:
            return
        facts = {
            "agency": agency,
            "until": until,
            "now": moment.isoformat(),
            "input": _facts(source, data),
            "other_inputs": {name: str(path) for name, path in paths.items()},
            "output": None if made is None else _facts(output, made),
        }
        document = run_report(results, facts=facts, rows_in=before.row_counts(), rows_out=rows_out, error=error)
        write_whole(report, json_bytes(document))

    try:
        after, _ = run_steps(steps, before, now=moment, inputs=others, on_result=results.append)
    except StepFailedError as error:
        message = with_author_line(error, agency, SCHEDULE)
        click.echo(step_table(results) + step_notes(results), nl=False)
        write_report(None, None, message)
        raise StepFailedError(message, result=error.result) from error
    with named(source):
        made = after.to_bytes()
    try:
        Feed.from_bytes(made)
    except FeedStructureError as error:
        raise GateFailedError(f"what the steps made is no feed: {error}") from error
    if output is not None:
        write_whole(output, made)
    click.echo(step_table(results) + step_notes(results), nl=False)
    outcome = "nothing written" if output is None else f"wrote {output}"
    click.echo(f"{counted(len(results), 'step')}; {outcome} ({len(made):,} bytes)")
    write_report(made, after.row_counts())
    if is_diff:
        from continuous_gtfs.gtfs.diff.feeds import diff_feeds

        click.echo(diff_feeds(before, after).to_text().rstrip("\n"))


def _facts(path: Path | None, data: bytes) -> dict[str, Any]:
    from continuous_gtfs.gtfs.digest import content_digest

    return {
        "path": None if path is None else str(path),
        "content_digest": content_digest(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
    }


def _input(path: Path) -> Feed | bytes:
    """Another input of the steps: a zip or a folder as a feed, any other file as its bytes."""
    if not path.is_dir() and path.suffix != ".zip":
        return read_file(path)
    from continuous_gtfs.gtfs.feed import Feed

    data = read_feed(path)
    with named(path):
        return Feed.from_bytes(data)
