"""The commands that answer a question about feeds: digest, validate, diff.

What a command runs is imported when it runs. Exit codes are 0 for good, 1 where errors were found or feeds differ, and
2 where a feed cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from continuous_gtfs.cli_files import check_writable, json_bytes, look_here, named, read_feed, write_whole
from continuous_gtfs.errors import ConfigurationError, FeedStructureError

if TYPE_CHECKING:
    from continuous_gtfs.agencies.agency import Agency
    from continuous_gtfs.gtfs.validation import Notice, ValidationReport

FAILED = 1
UNREADABLE = 2

FEED = click.Path(path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("feeds", metavar="FEED...", type=FEED, nargs=-1, required=True)
def digest(feeds: tuple[Path, ...]) -> int:
    """Print the content digest of feeds: the same for the same content, however it was zipped."""
    from continuous_gtfs.gtfs.digest import content_digest

    code = 0
    for path in feeds:
        try:
            with named(path):
                click.echo(f"{content_digest(read_feed(path))}  {path}")
        except (ConfigurationError, FeedStructureError) as error:
            click.echo(f"error: {' '.join(str(error).split())}", err=True)
            code = UNREADABLE
    return code


@click.command()
@click.argument("feed", type=FEED)
@click.option("--date", "day", metavar="YYYY-MM-DD", help="The service date to take for today; else today's.")
@click.option("--country", metavar="CC", help="Two letters, for the form of phone numbers; else the agency's.")
@click.option("--agency", help="Judge by this agency's thresholds, country and time zone.")
@click.option("--json", "json_path", type=FILE, help="Write the full report to this file.")
@click.option("--html", "html_path", type=FILE, help="Write it as a page to this file.")
def validate(
    feed: Path, day: str | None, country: str | None, agency: str | None, json_path: Path | None, html_path: Path | None
) -> int:
    """Validate a feed with gtfs-guru; exits with 1 where there are errors.

    With --agency, what its thresholds let pass is no error, and what they make blocking is one.
    """
    from continuous_gtfs.gtfs.validation import new_errors, validate_feed

    for path, option in ((json_path, "--json"), (html_path, "--html")):
        if path is not None:
            check_writable(path, option)
    declared = _agency(agency) if agency is not None else None
    if country is None and declared is not None:
        country = declared.country_code
    service_date = _today(declared) if day is None else _date(day)
    data = read_feed(feed)
    with named(feed):
        report = validate_feed(data, service_date=service_date, country_code=country)
    if json_path is not None:
        write_whole(json_path, json_bytes(report.to_dict()))
    if html_path is not None:
        from continuous_gtfs.gtfs.validation_report import report_html

        write_whole(html_path, report_html(report, title=f"Validation of {feed.name}").encode())
    blocking = new_errors(report, {}, declared.schedule.notices if declared is not None else None)
    _echo_validation(report, blocking, feed)
    return FAILED if blocking else 0


@click.command()
@click.argument("before", metavar="A", type=FEED)
@click.argument("after", metavar="B", type=FEED)
@click.option("--json", "is_json", is_flag=True, help="Print the comparison as JSON.")
@click.option("--gtfs-diff", "is_gtfs_diff", is_flag=True, help="Print it in the GTFS Diff v2 form.")
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="List so many of each kind; all are counted.",
)
def diff(before: Path, after: Path, is_json: bool, is_gtfs_diff: bool, sample: int) -> int:
    """Compare two feeds; exits with 0 where they are the same, 1 where they differ, 2 where one cannot be read."""
    from continuous_gtfs.gtfs.diff.feeds import diff_feeds
    from continuous_gtfs.gtfs.feed import Feed

    if is_json and is_gtfs_diff:
        raise click.UsageError("give --json or --gtfs-diff, not both")
    feeds = []
    for path in (before, after):
        with named(path):
            feeds.append(Feed.from_bytes(read_feed(path)))
    found = diff_feeds(*feeds, sample=sample)
    if is_gtfs_diff:
        from continuous_gtfs.gtfs.diff.gtfs_diff_v2 import gtfs_diff_v2

        document = gtfs_diff_v2(
            found,
            base_source=str(before),
            base_downloaded_at=_changed_at(before),
            new_source=str(after),
            new_downloaded_at=_changed_at(after),
            generated_at=datetime.now(UTC),
        )
        click.echo(json_bytes(document), nl=False)
    elif is_json:
        click.echo(json_bytes(found.to_dict()), nl=False)
    else:
        click.echo(found.to_text().rstrip("\n"))
    return 0 if found.is_same else FAILED


def _changed_at(path: Path) -> datetime:
    """What a file system knows of when a feed was downloaded."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--date {text}: write YYYY-MM-DD") from None


def _today(agency: Agency | None) -> date:
    from zoneinfo import ZoneInfo

    return datetime.now(None if agency is None else ZoneInfo(agency.timezone)).date()


def _agency(name: str) -> Agency:
    from continuous_gtfs.agencies.agency import load_agency

    look_here()
    return load_agency(name)


def _echo_validation(report: ValidationReport, blocking: Mapping[str, tuple[int, int]], feed: Path) -> None:
    from continuous_gtfs.gtfs.reports import counted, text_table

    totals = ", ".join(counted(sum(counts.values()), severity) for severity, counts in report.counts.items())
    click.echo(f"{feed}: {totals} ({report.validator}, service date {report.service_date})")
    lines = [
        (severity, code, f"{count:,}", "blocks" if code in blocking else "")
        for severity, counts in report.counts.items()
        for code, count in counts.items()
    ]
    click.echo(text_table(lines, numbers={2}), nl=False)
    samples = [(notice.code, _place(notice), _text(notice)) for notice in report.sample if notice.code in blocking]
    click.echo(text_table(samples), nl=False)


def _place(notice: Notice) -> str:
    return ":".join(str(part) for part in (notice.file, notice.line, notice.field) if part is not None)


def _text(notice: Notice) -> str:
    return " ".join(notice.message.split())
