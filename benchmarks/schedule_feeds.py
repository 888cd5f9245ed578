"""The feeds of the schedule benchmarks: multiples of a real one, and what two outputs have in common.

Run as a script it writes one multiple.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.zip_writing import write_zip

# Each copy has trips of its own, on shapes of its own; stops, routes and services are shared.
COPIED = {"trips.txt": ("trip_id", "shape_id"), "stop_times.txt": ("trip_id",), "shapes.txt": ("shape_id",)}


def multiple_of(source: Path, times: int, folder: Path) -> Path:
    """A feed with ``times`` as many trips, stop times and shapes; the source itself for one.

    Made by a process of its own: see ``schedule_measuring`` for why this one stays small.
    """
    if times == 1:
        return source
    made = folder / f"{source.stem}_x{times}.zip"
    if not made.exists():
        subprocess.run([sys.executable, __file__, str(source), str(times), str(made)], check=True)
    return made


def row_counts(path: Path, files: Iterable[str]) -> dict[str, int | None]:
    """Rows of these files; None for one that is not there."""
    feed = Feed.from_path(path)
    counts = feed.row_counts()
    return {name: counts[name] if name in feed else None for name in files}


def changed_files(before: Path, after: Path) -> list[str]:
    """The files whose bytes are not the same in both feeds."""
    one, other = Feed.from_path(before), Feed.from_path(after)
    names = [name for name in one.files if name in other]
    return [name for name in names if one.member_bytes(name) != other.member_bytes(name)]


def comparison(case: str, ours: Path, theirs: Path, files: Iterable[str]) -> str:
    """One line: whether two outputs have the same number of rows in these files."""
    files = tuple(files)
    one, other = row_counts(ours, files), row_counts(theirs, files)
    different = [f"{name} {one[name]} and {other[name]}" for name in files if one[name] != other[name]]
    if different:
        return f"{case}: NOT the same work, rows of ours and of the peer's: {'; '.join(different)}"
    rows = ", ".join(f"{name} {count:,}" for name, count in one.items() if count is not None)
    return f"{case}: both outputs have the same rows: {rows}"


def _copied(feed: Feed, name: str, number: int) -> bytes:
    """The rows of one file with ``number`` behind the ids that are the copy's own."""
    copy = feed.fork()
    raw = copy.raw(name)
    every = np.ones(len(raw), dtype=bool)
    ids = {}
    for column in COPIED[name]:
        if column in raw.columns:
            renamed = [f"{value}_{number}" if value else "" for value in raw.keys(column).values]
            ids[column] = [renamed[code] for code in raw.keys(column).codes.tolist()]
    copy.set_cells(name, every, ids)
    content = copy.member_bytes(name)
    return content[content.index(b"\n") + 1 :]


def _main(source: str, times: str, made: str) -> None:
    feed = Feed.from_path(Path(source))
    members = []
    for name in feed.files:
        content = feed.member_bytes(name)
        if name in COPIED:
            content += b"" if content.endswith(b"\n") else b"\n"
            content = b"".join([content, *(_copied(feed, name, number) for number in range(1, int(times)))])
        members.append((name, content))
    Path(made).write_bytes(write_zip(members))


if __name__ == "__main__":
    _main(*sys.argv[1:])
