"""What must hold of any removal on any feed, broken ones included."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.spec import DEFINED_IN, PRIMARY_KEYS, REFERENCES
from continuous_gtfs.gtfs.steps import RemoveRoutes, RemoveServices, RemoveStops, RemoveTrips, where
from continuous_gtfs.pipeline.running import run_step
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs_tests.builders import csv_text, feed_zip

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
# What the rows are drawn from: every id column of the reference, few ids each, so that they meet.
OWN_COLUMNS = {
    "stops.txt": ("location_type",),
    "stop_times.txt": ("stop_sequence",),
    "shapes.txt": ("shape_pt_sequence",),
    "calendar_dates.txt": ("date", "exception_type"),
    "translations.txt": ("table_name", "record_id"),
}
DEFINING = {file: tuple(column for f, column in sum(DEFINED_IN.values(), ()) if f == file) for file in PRIMARY_KEYS}
REFERRING = {file: tuple(r.column for r in REFERENCES if r.file == file) for file in PRIMARY_KEYS}
COLUMNS = {
    file: tuple(dict.fromkeys((*DEFINING[file], *REFERRING[file], *OWN_COLUMNS.get(file, ())))) for file in PRIMARY_KEYS
}
VALUES = {
    "location_type": ["", "0", "1", "2"],
    "date": ["20260301", "20260302"],
    "exception_type": ["1", "2"],
    "table_name": ["routes", "stops", "trips", "stop_times", "agency"],
}
ALWAYS = {"stops.txt", "trips.txt", "routes.txt", "stop_times.txt", "calendar_dates.txt"}
IDS = ["a", "b", "c", " b ", ""]


@st.composite
def feeds(draw: st.DrawFn) -> Feed:
    files = {}
    for file in sorted(set(PRIMARY_KEYS) - {"feed_info.txt", "calendar.txt"}):
        if file not in ALWAYS and draw(st.booleans()):
            continue
        cells = [st.sampled_from(VALUES.get(column, IDS)) for column in COLUMNS[file]]
        rows = draw(st.lists(st.tuples(*cells), max_size=5))
        lines = [",".join(row) for row in rows]
        files[file] = csv_text(",".join(COLUMNS[file]), *(line or '""' for line in lines))
    return Feed.from_bytes(feed_zip(files))


policies = st.sampled_from(["remove", "warn", "keep"])


@st.composite
def removals(draw: st.DrawFn) -> Step[Feed]:
    ids = draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True))
    emptied = {f"empty_{what}": draw(policies) for what in ("trips", "routes", "services", "shapes")}
    kind = draw(st.sampled_from(["routes", "trips", "stops", "services", "children", "never", "expired"]))
    match kind:
        case "routes":
            return RemoveRoutes(ids=ids, **emptied)
        case "trips":
            return RemoveTrips(where("trip_id", one_of=ids), **emptied)
        case "stops":
            return RemoveStops(ids=ids, **emptied)
        case "children":
            return RemoveStops(ids=ids, children="detach", **emptied)
        case "services":
            return RemoveServices(ids=ids, **emptied)
        case "never":
            return RemoveServices(never_active=True, **emptied)
    return RemoveServices(expired_before=date(2026, 3, 2), **emptied)


def dangling(feed: Feed) -> set[tuple[str, str, str]]:
    """Every reference to something that no row defines."""
    found = set()
    for reference in REFERENCES:
        if feed.has_column(reference.file, reference.column):
            known: frozenset[str] = frozenset().union(
                *(feed.keys(*place).present() for place in DEFINED_IN[reference.entity] if feed.has_column(*place))
            )
            names = feed.keys(reference.file, reference.column).present() - known
            found |= {(reference.file, reference.column, name) for name in names}
    return found


def lines(feed: Feed, file: str) -> list[bytes]:
    return feed.member_bytes(file).split(b"\n")[1:]


@settings(max_examples=200, deadline=None)
@given(feeds(), removals())
def test_no_reference_dangles_that_did_not_before_and_every_row_is_accounted_for(feed: Feed, step: Step[Feed]) -> None:
    after, result = run_step(step, feed, now=NOW)
    assert dangling(after) <= dangling(feed)
    for file in feed.files:
        removed = result.changes[file].removed if file in result.changes else 0
        assert len(lines(after, file)) == len(lines(feed, file)) - removed
        if file not in result.changes:
            assert after.member_bytes(file) == feed.member_bytes(file)


@settings(max_examples=100, deadline=None)
@given(feeds(), removals())
def test_what_stays_are_the_same_lines_but_for_cells_that_were_cleared(feed: Feed, step: Step[Feed]) -> None:
    after, result = run_step(step, feed, now=NOW)
    cleared = {finding.file for finding in result.findings if finding.code == "cells_cleared"}
    for file in set(feed.files) - cleared:
        remaining = iter(lines(feed, file))
        assert all(any(line == kept for line in remaining) for kept in lines(after, file))


@settings(max_examples=50, deadline=None)
@given(feeds(), removals())
def test_the_same_removal_again_gives_the_same_bytes_and_a_second_one_finds_nothing_new(
    feed: Feed, step: Step[Feed]
) -> None:
    once, _ = run_step(step, feed, now=NOW)
    again, _ = run_step(step, feed, now=NOW)
    assert once.to_bytes() == again.to_bytes()
    twice, _ = run_step(step, once, now=NOW)
    assert dangling(twice) <= dangling(once)


PROGRAM = """
import hashlib, sys
from datetime import UTC, datetime
from pathlib import Path
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.steps import RemoveRoutes, RemoveStops, RewriteIds
from continuous_gtfs.pipeline.running import run_steps
steps = [RemoveRoutes(ids=["N7"]), RemoveStops(ids=["M"]), RewriteIds("trip_id", "^T", "X")]
feed, _ = run_steps(steps, Feed.from_path(Path(sys.argv[1])), now=datetime(2026, 3, 1, tzinfo=UTC))
print(hashlib.sha256(feed.to_bytes()).hexdigest())
"""


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    from continuous_gtfs_tests.gtfs.test_removals import full_feed

    path = tmp_path / "feed.zip"
    path.write_bytes(full_feed().to_bytes())
    made = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM, path],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "TZ": zone},
        ).stdout.strip()
        for seed, zone in (("1", "Asia/Kathmandu"), ("2", "America/Los_Angeles"))
    }
    assert len(made) == 1
    assert made != {hashlib.sha256(full_feed().to_bytes()).hexdigest()}
