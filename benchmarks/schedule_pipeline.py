"""How long, and with how much memory, does a pipeline take that removes six routes and sets three fields?"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from schedule_feeds import changed_files, comparison, multiple_of
from schedule_measuring import OURS, data_path, measure, measure_in_turn, options, peer
from schedule_table import columns, rows_of
from tables import print_table

from continuous_gtfs.gtfs.feed import Feed

CASES = {
    "hart x1": ("bench/hart.zip", 1),
    "hart x3": ("bench/hart.zip", 3),
    "mta_bus_brooklyn": ("bench/mta_bus_brooklyn.zip", 1),
    "hart x12": ("bench/hart.zip", 12),
}
ROUTES_REMOVED = 6
BASES = ("peer", "floor")

OUR_STEPS = """\
from continuous_gtfs.gtfs.steps import RemoveRoutes, UpdateFields, where

STEPS = [
    RemoveRoutes(ids={removed!r}, empty_shapes="warn"),
    UpdateFields("routes.txt", where("route_id", equals={route!r}), {{"route_color": "007CAD"}}),
    UpdateFields("trips.txt", where("route_id", equals={route!r}), {{"trip_headsign": "Downtown"}}),
    UpdateFields("stops.txt", where("stop_id", equals={stop!r}), {{"stop_name": "Central Station"}}),
]
"""
PEER_FOLDER = 'FEED_TYPE = "schedule"\nINPUTS = {"schedule": "gtfs_schedule_zip"}\n'
PEER_STEPS = """\
from continuous_gtfs.builtins.schedule import InitScheduleOutput, MatchCondition, RemoveRoutes, UpdateFields

init = InitScheduleOutput()
remove = RemoveRoutes(ids={removed!r}, empty_shapes="warn")
color = UpdateFields("routes.txt", [MatchCondition("route_id", value={route!r})], {{"route_color": "007CAD"}})
sign = UpdateFields("trips.txt", [MatchCondition("route_id", value={route!r})], {{"trip_headsign": "Downtown"}})
stop = UpdateFields("stops.txt", [MatchCondition("stop_id", value={stop!r})], {{"stop_name": "Central Station"}})
"""


def write_folders(feed_path: Path, folder: Path) -> tuple[Path, Path]:
    """The same steps for both programs, on routes and a stop of this feed."""
    feed = Feed.from_path(feed_path)
    routes = list(dict.fromkeys(feed.keys("trips.txt", "route_id").texts()))
    stop = feed.keys("stops.txt", "stop_id").texts()[0]
    chosen = {"removed": routes[:ROUTES_REMOVED], "route": routes[ROUTES_REMOVED], "stop": stop}
    ours, theirs = folder / "ours", folder / "peer_steps"
    for made in (ours, theirs):
        made.mkdir()
    (ours / "schedule.py").write_text(OUR_STEPS.format(**chosen))
    (theirs / "__init__.py").write_text(PEER_FOLDER)
    (theirs / "transforms.py").write_text(PEER_STEPS.format(**chosen))
    return ours, theirs


def one_case(name: str, folder: Path, rounds: int) -> tuple[list[tuple[str, ...]], str]:
    file, times = CASES[name]
    source = data_path(file)
    if source is None:
        return [], ""
    feed = multiple_of(source, times, folder)
    work = folder / name.replace(" ", "_")
    work.mkdir()
    ours, theirs = write_folders(source, work)
    out = {subject: work / f"{subject}.zip" for subject in ("ours", "peer", "floor")}
    commands: dict[str, list[str | Path]] = {
        "ours": [OURS, "schedule", ours, "--input", f"schedule={feed}", "-o", out["ours"]]
    }
    program = peer("continuous-gtfs")
    if program is not None:
        commands["peer"] = [program, "schedule", theirs, "--input", f"schedule={feed}", "-o", out["peer"]]
    measure(commands["ours"])
    changed = changed_files(feed, out["ours"])
    floor = Path(__file__).with_name("schedule_floor.py")
    commands["floor"] = [sys.executable, floor, feed, out["floor"], *changed]
    found = measure_in_turn(commands, rounds)
    note = comparison(name, out["ours"], out["peer"], changed) if program else f"{name}: no peer; changed {changed}"
    return rows_of(name, found, BASES), note


def main() -> None:
    chosen = options(__doc__, tuple(CASES))
    rows, notes = [], []
    for name in chosen.cases:
        # A folder for each case: the multiples are large.
        with tempfile.TemporaryDirectory(prefix="schedule-pipeline-") as folder:
            case_rows, note = one_case(name, Path(folder), chosen.rounds)
        rows += case_rows
        notes += [note] if note else []
    title = f"Remove {ROUTES_REMOVED} routes, set three fields: whole command (n = {chosen.rounds}, medians)"
    print_table(title, columns(BASES), rows)
    sys.stdout.write("\n" + "".join(f"- {note}\n" for note in notes))


if __name__ == "__main__":
    main()
