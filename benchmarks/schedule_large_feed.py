"""How much memory does a feed of 308 MB of text take, end to end, when a step changes its largest file?"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from schedule_feeds import changed_files, row_counts
from schedule_measuring import OURS, data_path, measure_in_turn, options
from schedule_table import columns, rows_of
from tables import print_table

STEPS = """\
from continuous_gtfs.gtfs.steps import UpdateFields, where

STEPS = [
    UpdateFields("stop_times.txt", where("stop_sequence", one_of={"1", "001"}), {"departure_time": "08:00:00"}),
]
"""


def main() -> None:
    chosen = options(__doc__)
    source = data_path("bench/renfe_cercanias.zip")
    if source is None:
        return
    with tempfile.TemporaryDirectory(prefix="schedule-large-feed-") as folder:
        steps, made = Path(folder) / "steps", Path(folder) / "out.zip"
        steps.mkdir()
        (steps / "schedule.py").write_text(STEPS)
        command: list[str | Path] = [OURS, "schedule", steps, "--input", f"schedule={source}", "-o", made]
        found = measure_in_turn({"ours": command}, chosen.rounds)
        changed = changed_files(source, made)
        before, after = row_counts(source, changed), row_counts(made, changed)
    title = f"renfe_cercanias, one field of stop_times.txt set: whole command (n = {chosen.rounds}, medians)"
    print_table(title, columns(()), rows_of("renfe_cercanias", found, ()))
    sys.stdout.write(
        f"\nChanged: {', '.join(f'{name}, {before[name]:,} rows and {after[name]:,}' for name in changed)}\n"
    )


if __name__ == "__main__":
    main()
