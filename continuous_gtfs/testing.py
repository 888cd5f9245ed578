'''The testing kit for those who write steps: a feed from text, one step run on it, assertions that say what differs.

Here: what an agency's tests need, without pytest and without Dagster. Not here: what only our own tests need.

    >>> from continuous_gtfs.gtfs.steps import UpdateFields, where
    >>> rule = UpdateFields("routes.txt", where("route_id", equals="007"), {"route_color": "007CAD"})
    >>> feed, result = run_one(rule, small_feed())
    >>> assert_rows(feed, "routes.txt", """
    ...     route_id,route_short_name,route_color
    ...     007,7,007CAD
    ...     N7,N7,220044
    ... """)
    >>> assert_only_changed(small_feed(), feed, "routes.txt")
    >>> assert_finding(result, "rows_updated").count
    1

A feed that shows what a rule is about is best made of the small one, with the file in question written out:

    >>> feed = small_feed(replaced={"trips.txt": """
    ...     route_id,service_id,trip_id,block_id
    ...     007,DAY,T1,B1
    ...     N7,DAY,NIGHT,
    ... """}, without=["feed_info.txt"])
    >>> column(feed, "trips.txt", "block_id")
    ['B1', '']
'''

from __future__ import annotations

import csv
import difflib
import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TypeVar

import numpy as np

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.zip_writing import write_zip
from continuous_gtfs.pipeline.results import Finding, StepResult
from continuous_gtfs.pipeline.running import check_steps, run_step
from continuous_gtfs.pipeline.step import Step, Transformable

__all__ = [
    "NOW",
    "assert_finding",
    "assert_only_changed",
    "assert_rows",
    "column",
    "csv_text",
    "feed_from_text",
    "rows",
    "run_one",
    "small_feed",
    "small_feed_files",
]

F = TypeVar("F", bound=Transformable)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""The time that a step is told where the test names none: a Monday on which the small feed runs."""


def csv_text(*lines: str) -> str:
    """Lines, each ended by LF."""
    return "".join(f"{line}\n" for line in lines)


def feed_from_text(files: Mapping[str, str | bytes]) -> Feed:
    """A feed of these files, in their order.

    Args:
        files: Text may be indented as the test is, and may begin with a line end. Bytes are taken as they are: write
            a test of line ends, padding or a byte order mark with them.

    Raises:
        FeedStructureError: No feed; it needs a stops.txt at least.
    """
    return Feed.from_bytes(
        write_zip(
            (name, content if isinstance(content, bytes) else _unindented(content).encode())
            for name, content in files.items()
        )
    )


def small_feed(*, replaced: Mapping[str, str | bytes] | None = None, without: Iterable[str] = ()) -> Feed:
    """The feed of ``small_feed_files``, which validators find no error in, with some files put in another's place.

    Args:
        replaced: Files to write instead of the feed's own, or to add, see ``feed_from_text``.
        without: Files to leave out.

    Raises:
        KeyError: The feed does not have a file that is to be left out.
    """
    files: dict[str, str | bytes] = {**small_feed_files(), **(replaced or {})}
    for name in without:
        del files[name]
    return feed_from_text(files)


def small_feed_files(
    *,
    first_date: date = date(2026, 1, 1),
    last_date: date = date(2026, 12, 31),
    dates_removed: Iterable[date] = (),
    dates_added: Iterable[date] = (),
    timezone: str = "America/Los_Angeles",
    feed_version: str = "small-1",
) -> dict[str, str]:
    """The files of a little feed that gtfs-guru finds no error in: two routes, four stops, three trips.

    ``DAY`` runs daily from ``first_date`` to ``last_date``: trip ``T1`` 08:00 to 08:30, ``T2`` 09:00 to 09:30,
    ``NIGHT`` 24:30 to 25:10, which is past midnight. The dates removed and added are exceptions to it.
    """
    exceptions = [f"DAY,{day:%Y%m%d},2" for day in dates_removed]
    exceptions += [f"DAY,{day:%Y%m%d},1" for day in dates_added]
    return {
        "agency.txt": csv_text(
            "agency_id,agency_name,agency_url,agency_timezone,agency_lang,agency_phone",
            f"A,Small Transit,https://small.example.org,{timezone},en,1-800-555-0100",
        ),
        "stops.txt": csv_text(
            "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station",
            "S,Harbor Station,47.600000,-122.330000,1,",
            "S-1,Harbor Station,47.600100,-122.330100,0,S",
            "M,Mill Street,47.620000,-122.330000,0,",
            "N,North End,47.640000,-122.330000,0,",
        ),
        "routes.txt": csv_text(
            "route_id,agency_id,route_short_name,route_long_name,route_type,route_color,route_text_color",
            "007,A,7,Harbor to North End,3,003366,FFFFFF",
            "N7,A,N7,Harbor to North End by night,3,220044,FFFFFF",
        ),
        "trips.txt": csv_text(
            "route_id,service_id,trip_id,trip_headsign,direction_id,block_id",
            "007,DAY,T1,North End,0,B1",
            "007,DAY,T2,North End,0,",
            "N7,DAY,NIGHT,North End,0,",
        ),
        "stop_times.txt": csv_text(
            "trip_id,arrival_time,departure_time,stop_id,stop_sequence,timepoint",
            *_visits("T1", "08:00:00", "08:15:00", "08:30:00"),
            *_visits("T2", "09:00:00", "09:15:00", "09:30:00"),
            *_visits("NIGHT", "24:30:00", "24:50:00", "25:10:00"),
        ),
        "calendar.txt": csv_text(
            "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date",
            f"DAY,1,1,1,1,1,1,1,{first_date:%Y%m%d},{last_date:%Y%m%d}",
        ),
        "calendar_dates.txt": csv_text("service_id,date,exception_type", *exceptions),
        "feed_info.txt": csv_text(
            "feed_publisher_name,feed_publisher_url,feed_lang,feed_start_date,feed_end_date,feed_version,feed_contact_email",
            f"Small Transit,https://small.example.org,en,{first_date:%Y%m%d},{last_date:%Y%m%d},{feed_version},"
            "data@small.example.org",
        ),
    }


def run_one(
    step: Step[F], feed: F, *, now: datetime = NOW, inputs: Mapping[str, object] | None = None
) -> tuple[F, StepResult]:
    """Run one step as a pipeline does; ``feed`` itself stays as it was.

    Returns:
        The changed feed and what the step reported.

    Raises:
        StepDefinitionError: It is no step.
        StepFailedError: It failed, or touched what it did not declare; ``result`` holds what it reported.
    """
    (checked,) = check_steps([step])
    return run_step(checked, feed, now=now, inputs=inputs)


def rows(feed: Feed, file: str) -> list[dict[str, str]]:
    """The rows of one file, cell by cell, in the order of the file.

    Raises:
        FeedStructureError: The feed has no such file, or it cannot be read.
    """
    table = feed.raw(file)
    return table.records(np.arange(len(table)))


def column(feed: Feed, file: str, name: str) -> list[str]:
    """One column of a file, cell by cell.

    Raises:
        FeedStructureError: The feed has no such file, or it cannot be read.
        KeyError: The file has no such column.
    """
    if name not in feed.raw(file).columns:
        raise KeyError(name)
    return [row[name] for row in rows(feed, file)]


def assert_rows(feed: Feed, file: str, expected: str | Sequence[Mapping[str, str]]) -> None:
    """The file has these rows, in this order.

    Args:
        expected: CSV text with a header, indented as the test is, or a mapping a row. What it does not name of the
            columns is not compared.

    Raises:
        AssertionError: It has others; the message shows both as a diff.
    """
    wanted = _records(expected) if isinstance(expected, str) else [dict(row) for row in expected]
    names = list(dict.fromkeys(name for row in wanted for name in row))
    absent = [name for name in names if name not in feed.raw(file).columns]
    if absent:
        raise AssertionError(f"{file} has no column {', '.join(absent)}; it has {', '.join(feed.raw(file).columns)}")
    if isinstance(expected, str):
        found = [{name: row[name] for name in names} for row in rows(feed, file)] if names else rows(feed, file)
        header = [",".join(names)]
        _assert_same([*header, *map(_line, wanted)], [*header, *map(_line, found)], file)
        return
    found = rows(feed, file)
    compared = [
        {name: row[name] for name in (wanted[number] if number < len(wanted) else row)}
        for number, row in enumerate(found)
    ]
    _assert_same([str(row) for row in wanted], [str(row) for row in compared], file)


def assert_only_changed(before: Feed, after: Feed, *files: str) -> None:
    """These files differ, and every other holds the same bytes.

    Raises:
        AssertionError: Another differs, or one of these does not.
    """
    names = dict.fromkeys((*before.files, *after.files))
    found = {name for name in names if _bytes(before, name) != _bytes(after, name)}
    if found != set(files):
        raise AssertionError(
            f"changed: {', '.join(sorted(found)) or 'nothing'}; expected: {', '.join(sorted(files)) or 'nothing'}"
        )


def assert_finding(result: StepResult, code: str) -> Finding:
    """The one finding of this code that the step reported.

    Raises:
        AssertionError: It reported none, or several.
    """
    found = [finding for finding in result.findings if finding.code == code]
    if len(found) != 1:
        codes = ", ".join(finding.code for finding in result.findings) or "none"
        raise AssertionError(f"{result.name} reported {code} {len(found)} times, not once; its findings: {codes}")
    return found[0]


def _unindented(text: str) -> str:
    return textwrap.dedent(text.removeprefix("\n")).rstrip(" ")


def _records(text: str) -> list[dict[str, str]]:
    header, *lines = csv.reader(io.StringIO(_unindented(text), newline=""))
    return [dict(zip(header, cells, strict=True)) for cells in lines if cells]


def _line(row: Mapping[str, str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(row.values())
    return written.getvalue()


def _assert_same(expected: list[str], found: list[str], file: str) -> None:
    if expected != found:
        lines = difflib.unified_diff(expected, found, "expected", f"{file} of the feed", lineterm="", n=1)
        raise AssertionError(f"{file} has other rows:\n" + "\n".join(lines))


def _bytes(feed: Feed, name: str) -> bytes | None:
    return feed.member_bytes(name) if name in feed else None


def _visits(trip_id: str, *times: str) -> list[str]:
    return [
        f"{trip_id},{time},{time},{stop_id},{number},1"
        for number, (stop_id, time) in enumerate(zip(("S-1", "M", "N"), times, strict=True), start=1)
    ]
