"""How long, and with how much memory, does it take to tell by its content which version a feed is?"""

from __future__ import annotations

from pathlib import Path

from schedule_measuring import OURS, data_path, measure_in_turn, options, peer
from schedule_table import columns, rows_of
from tables import print_table

CASES = {
    "sound_transit_2024-11": "sound_transit_2024-11/schedule.zip",
    "hart": "bench/hart.zip",
    "mta_bus_brooklyn": "bench/mta_bus_brooklyn.zip",
}
BASES = ("gtfs-digester",)


def main() -> None:
    chosen = options(__doc__, tuple(CASES))
    program = peer("gtfs-digester")
    rows = []
    for name in chosen.cases:
        path = data_path(CASES[name])
        if path is None:
            continue
        commands: dict[str, list[str | Path]] = {"ours": [OURS, "digest", path]}
        if program is not None:
            commands["gtfs-digester"] = [program, "digest", "--quiet", path]
        rows += rows_of(name, measure_in_turn(commands, chosen.rounds), BASES)
    print_table(f"Content digest: whole command (n = {chosen.rounds}, medians)", columns(BASES), rows)


if __name__ == "__main__":
    main()
