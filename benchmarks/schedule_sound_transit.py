"""How long do the reference agency's rules take on its feed, in a process that has them loaded and as a command?

Run with ``--in-process`` it is the process that has them loaded.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from schedule_feeds import changed_files, comparison
from schedule_measuring import OURS, data_path, measure, measure_in_turn, options, peer
from schedule_pipeline import PEER_FOLDER
from schedule_table import columns, rows_of
from tables import median, print_table

AGENCY = "continuous_gtfs.agencies.sound_transit"
BASES = ("peer",)
IN_PROCESS = "--in-process"

# The same rules and policies for the peer; what it has no built-in step for is a function there too.
PEER_STEPS = """\
import polars as pl

from continuous_gtfs import step
from continuous_gtfs.builtins.schedule import (
    ClearField, InitScheduleOutput, MatchCondition, RemoveRows, RemoveServices, RemoveStops, UpdateFeedInfo,
    UpdateFields,
)


def is_(field, value):
    return [MatchCondition(field, value=value)]


init = InitScheduleOutput()
never = RemoveServices(never_active=True, simplify_calendar=False, empty_shapes="remove")
link = RemoveServices(
    [MatchCondition("service_id", regex=r"^LLR")],
    exclude=[is_("service_id", "LLR_2024-09-14_Jun27_Fall2024_Weekday")],
    empty_shapes="remove",
)
t_line = RemoveServices([MatchCondition("service_id", regex=r"^TLINE")], empty_shapes="remove")
facilities = RemoveRows("facilities.txt", [MatchCondition("stop_id", regex=r"^(E01|E07)(-|$)")])
e01 = RemoveStops(ids=["E01"], empty_shapes="remove")
e07 = RemoveStops(ids=["E07"], empty_shapes="remove")
name_1 = UpdateFields("routes.txt", is_("route_id", "100479"), {"route_short_name": "1 Line"})
color_1 = UpdateFields(
    "routes.txt", is_("route_id", "100479"), {"route_color": "28813F", "route_text_color": "FFFFFF"}
)
name_2 = UpdateFields("routes.txt", is_("route_id", "2LINE"), {"route_short_name": "2 Line"})
color_2 = UpdateFields("routes.txt", is_("route_id", "2LINE"), {"route_color": "007CAD", "route_text_color": "FFFFFF"})
t15 = UpdateFields(
    "stops.txt", is_("stop_id", "T15"), {"stop_name": "South 4th", "stop_desc": "South 4th Station on the T Line"}
)
t21 = UpdateFields(
    "stops.txt", is_("stop_id", "T21"), {"stop_name": "Sixth Avenue", "stop_desc": "Sixth Avenue Station on the T Line"}
)
t25 = UpdateFields(
    "stops.txt", is_("stop_id", "T25"), {"stop_name": "Saint Joseph", "stop_desc": "Saint Joseph Station on the T Line"}
)
n_line = ClearField("trips.txt", "block_id", is_("route_id", "SNDR_EV"))
s_line = ClearField("trips.txt", "block_id", is_("route_id", "SNDR_TL"))
train_1 = ClearField("trips.txt", "trip_short_name", is_("route_id", "100479"))
train_2 = ClearField("trips.txt", "trip_short_name", is_("route_id", "2LINE"))
info = UpdateFeedInfo(
    publisher_name="Sound Transit", publisher_url="https://www.soundtransit.org", feed_lang="en"
)


@step(files=["stops.txt"])
def normalize_stop_names(ctx):
    stops = ctx.output["stops.txt"]
    ctx.output["stops.txt"] = stops.with_columns(pl.col("stop_name").str.replace_all("[ \\u00a0]+", " "))
"""


def run_in_process(path: Path, rounds: int) -> None:
    """Print the seconds of each round, reading, rules and writing, after everything is imported."""
    from continuous_gtfs.agencies.agency import load_steps
    from continuous_gtfs.gtfs.feed import Feed
    from continuous_gtfs.pipeline.running import run_steps

    steps = load_steps(AGENCY, "schedule")
    now = datetime.now(UTC)
    for _ in range(rounds):
        started = time.perf_counter()
        feed, _ = run_steps(steps, Feed.from_path(path), now=now)
        feed.to_bytes()
        sys.stdout.write(f"{time.perf_counter() - started}\n")


def main() -> None:
    chosen = options(__doc__)
    source = data_path("sound_transit_2024-11/schedule.zip")
    if source is None:
        return
    # The first round fills caches and makes late imports; a worker of the schedule location has that behind it.
    inner = measure([sys.executable, __file__, IN_PROCESS, source, str(chosen.rounds + 1)])
    first_s, *seconds = [float(line) for line in inner.output.split()]
    with tempfile.TemporaryDirectory(prefix="schedule-sound-transit-") as folder:
        ours, theirs, steps = (Path(folder) / name for name in ("ours.zip", "peer.zip", "peer_steps"))
        steps.mkdir()
        (steps / "__init__.py").write_text(PEER_FOLDER)
        (steps / "transforms.py").write_text(PEER_STEPS)
        commands: dict[str, list[str | Path]] = {
            "ours": [OURS, "schedule", AGENCY, "--input", f"schedule={source}", "-o", ours]
        }
        program = peer("continuous-gtfs")
        if program is not None:
            commands["peer"] = [program, "schedule", steps, "--input", f"schedule={source}", "-o", theirs]
        found = measure_in_turn(commands, chosen.rounds)
        note = comparison("sound_transit_2024-11", ours, theirs, changed_files(source, ours)) if program else ""
    title = f"The rules of Sound Transit on sound_transit_2024-11: whole command (n = {chosen.rounds}, medians)"
    print_table(title, columns(BASES), rows_of("sound_transit_2024-11", found, BASES))
    sys.stdout.write(
        f"\n- in a process that has them loaded: {median(seconds):.2f} s, the first time {first_s:.2f} s\n"
    )
    if note:
        sys.stdout.write(f"- {note}\n")


if __name__ == "__main__":
    if sys.argv[1:2] == [IN_PROCESS]:
        run_in_process(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
