"""Runs the benchmarks and prints their tables: ``make bench``, or some of them: ``make bench ARGS="schedule_digest"``.

One script a question. Nothing here asserts a time: tables are read side by side, from one run on one machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

PLATFORM = ("import_time", "first_publication")
SCHEDULE = (
    "schedule_pipeline",
    "schedule_sound_transit",
    "schedule_digest",
    "schedule_diff",
    "schedule_large_feed",
    "schedule_publication",
)
REALTIME = (
    "realtime_update",
    "realtime_pipeline",
    "realtime_archive",
    "cloud_publication",
    "schedule_index",
    "polling",
)
# From some minutes to hours: by their names only.
LONG = ("realtime_soak", "forked_runs", "many_feeds", "many_feeds_platform", "chaos", "simulated_month")
GROUPS = {"platform": PLATFORM, "schedule": SCHEDULE, "realtime": REALTIME}
SCRIPTS = PLATFORM + SCHEDULE + REALTIME + LONG
WITH_ROUNDS = (
    frozenset(SCRIPTS) - frozenset(PLATFORM) - frozenset(LONG) - {"realtime_update", "realtime_archive", "polling"}
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"Some only: {', '.join(SCRIPTS)}; {', '.join(GROUPS)} stand for their group.",
    )
    parser.add_argument("--rounds", type=int, help="Runs of each subject, where the script lets one choose.")
    chosen = parser.parse_args()
    groups = GROUPS | {name: (name,) for name in SCRIPTS}
    unknown = [name for name in chosen.names if name not in groups]
    if unknown:
        parser.error(f"no benchmark {unknown[0]}; there are {', '.join(groups)}")
    scripts = [script for name in chosen.names or GROUPS for script in groups[name]]
    return max(_run(script, chosen.rounds) for script in dict.fromkeys(scripts))


def _run(name: str, rounds: int | None) -> int:
    folder = Path(__file__).parent
    options = ["--rounds", str(rounds)] if rounds is not None and name in WITH_ROUNDS else []
    script = folder / f"{name}.py"
    return subprocess.run([sys.executable, str(script), *options], cwd=folder.parent, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
