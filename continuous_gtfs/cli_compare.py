"""The command that compares two realtime feeds. What it runs is imported when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from continuous_gtfs.cli_files import json_bytes, read_file
from continuous_gtfs.errors import ConfigurationError

if TYPE_CHECKING:
    from continuous_gtfs.realtime.compare.tolerances import Tolerances

FAILED = 1

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("before", metavar="A", type=FILE)
@click.argument("after", metavar="B", type=FILE)
@click.option("--json", "is_json", is_flag=True, help="Print the comparison as JSON.")
@click.option(
    "--level",
    type=click.IntRange(0, 3),
    default=2,
    show_default=True,
    help="The highest level that counts as the same: 0 bytes, 1 content and order, 2 content within the tolerances, "
    "3 up to stale vehicles.",
)
@click.option("--exact", is_flag=True, help="No tolerances.")
@click.option("--tolerance", "given", multiple=True, metavar="NAME=NUMBER", help="E.g. prediction_s=30, position_m=10.")
@click.option("--sample", type=click.IntRange(0), help="In JSON, list so many differences of each kind; else all.")
def compare(
    before: Path,
    after: Path,
    is_json: bool,
    level: int,
    exact: bool,
    given: tuple[str, ...],
    sample: int | None,
) -> int:
    """Compare two realtime feeds, entity by entity; exits with 0 where they are the same, 1 where they differ, 2 where
    one cannot be read.

    Entities are matched by trip, day and vehicle and never by their entity ids.
    """
    from continuous_gtfs.realtime.compare.feeds import compare_feeds
    from continuous_gtfs.realtime.messages import parse_feed

    tolerances = _tolerances(given, is_exact=exact)
    bodies = read_file(before), read_file(after)
    found = compare_feeds(
        parse_feed(bodies[0], name=str(before)),
        parse_feed(bodies[1], name=str(after)),
        tolerances=tolerances,
        bodies=bodies,
    )
    if is_json:
        click.echo(json_bytes(found.to_dict(sample=sample)), nl=False)
    else:
        click.echo(found.to_text(), nl=False)
    return 0 if found.level <= level else FAILED


def _tolerances(given: Sequence[str], *, is_exact: bool) -> Tolerances:
    from dataclasses import fields, replace

    from continuous_gtfs.realtime.compare.tolerances import DEFAULT, EXACT

    names = [field.name for field in fields(DEFAULT)]
    values: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in names:
            raise ConfigurationError(f"--tolerance {text}: write NAME=NUMBER; the names are {', '.join(names)}")
        try:
            values[name] = float(number)
        except ValueError:
            raise ConfigurationError(f"--tolerance {text}: {number!r} is no number") from None
    return replace(EXACT if is_exact else DEFAULT, **values)
