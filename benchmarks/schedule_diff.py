"""How long, and with how much memory, does it take to say what changed between two feeds of 1.3 million stop times?

The second feed has six routes less, another color and name, and every trip under another id.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from schedule_feeds import multiple_of
from schedule_measuring import OURS, data_path, measure, measure_in_turn, options, peer
from schedule_table import columns, rows_of
from tables import print_table

from continuous_gtfs.gtfs.feed import Feed

BASES = ("peer",)
DIFFERENT = 1

STEPS = """\
from continuous_gtfs.gtfs.steps import RemoveRoutes, RewriteIds, UpdateFields, where

STEPS = [
    RemoveRoutes(ids={removed!r}),
    UpdateFields("routes.txt", where("route_id", equals={route!r}), {{"route_color": "007CAD"}}),
    UpdateFields("stops.txt", where("stop_id", equals={stop!r}), {{"stop_name": "Central Station"}}),
    RewriteIds("trip_id", r"^(3.*)$", r"new-\\1"),
]
"""


def write_changed(feed_path: Path, folder: Path) -> Path:
    """The same feed after some steps."""
    feed = Feed.from_path(feed_path)
    routes = list(dict.fromkeys(feed.keys("trips.txt", "route_id").texts()))
    stop = feed.keys("stops.txt", "stop_id").texts()[0]
    steps, made = folder / "steps", folder / "changed.zip"
    steps.mkdir()
    (steps / "schedule.py").write_text(STEPS.format(removed=routes[:6], route=routes[6], stop=stop))
    measure([OURS, "schedule", steps, "--input", f"schedule={feed_path}", "-o", made])
    return made


def main() -> None:
    chosen = options(__doc__)
    source = data_path("bench/hart.zip")
    if source is None:
        return
    with tempfile.TemporaryDirectory(prefix="schedule-diff-") as folder:
        before = multiple_of(source, 3, Path(folder))
        after = write_changed(before, Path(folder))
        commands: dict[str, list[str | Path]] = {"ours": [OURS, "diff", before, after, "--json"]}
        program = peer("continuous-gtfs")
        if program is not None:
            commands["peer"] = [program, "diff", before, after, "--json"]
        found = measure_in_turn(commands, chosen.rounds, accept=(0, DIFFERENT))
        codes = {subject: runs[-1].exit_code for subject, runs in found.items()}
        text = Path(folder) / "diff.txt"
        text.write_text(measure([OURS, "diff", before, after], accept=(DIFFERENT,)).output)
        summary = text.read_text().splitlines()[:12]
    title = f"Difference of two feeds of 1.3 million stop times: whole command (n = {chosen.rounds}, medians)"
    print_table(title, columns(BASES), rows_of("hart x3", found, BASES))
    sys.stdout.write(f"\nExit codes: {json.dumps(codes)}. What ours says of it begins:\n\n")
    sys.stdout.write("".join(f"    {line}\n" for line in summary))


if __name__ == "__main__":
    main()
