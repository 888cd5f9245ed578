"""How long does each code location take to import, beside importing Dagster alone?"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from tables import median, print_table

ROUNDS = 5
SUBJECTS = {
    "dagster alone": "import dagster",
    "realtime location": "from continuous_gtfs.definitions.realtime import defs; defs()",
    "schedule location": "from continuous_gtfs.definitions.schedule import defs; defs()",
}


def timed(code: str) -> tuple[float, float]:
    """Wall and CPU seconds of a fresh interpreter that runs ``code``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in SUBJECTS}
    for round_number in range(ROUNDS + 1):
        for name, code in SUBJECTS.items():
            measured = timed(code)
            # The first round only fills the caches of bytecode and disk.
            if round_number:
                times[name].append(measured)
    base = median([cpu for _, cpu in times["dagster alone"]])
    print_table(
        f"Import of each code location, definitions loaded (fresh interpreter, n = {ROUNDS}, medians)",
        ("subject", "wall s", "CPU s", "CPU against dagster alone"),
        [
            (
                name,
                f"{median([wall for wall, _ in measured]):.2f}",
                f"{median([cpu for _, cpu in measured]):.2f}",
                f"{median([cpu for _, cpu in measured]) / base:.2f}",
            )
            for name, measured in times.items()
        ],
    )


if __name__ == "__main__":
    main()
