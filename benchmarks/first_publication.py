"""How long from the start of the demo's processes to the first publication of each feed?"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tables import median, print_table

ROUNDS = 3
SECONDS = 60


def one_round(state: Path) -> tuple[float, dict[str, float]]:
    """Wall seconds of the whole command and, by feed, seconds from the processes' start to its first publication."""
    summary = state / "summary.json"
    command = Path(sys.executable).parent / "continuous-gtfs"
    ports = 20_000 + time.time_ns() // 1_000_000 % 20_000
    started = time.perf_counter()
    finished = subprocess.run(
        [command, "demo", "--for", str(SECONDS), "--state", state, "--json", summary, "--port-base", str(ports)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"the demo failed:\n{finished.stdout[-2000:]}")
    return time.perf_counter() - started, json.loads(summary.read_text())["seconds_to_first_publication"]


def main() -> None:
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="first-publication-") as folder:
            for feed, seconds in one_round(Path(folder))[1].items():
                found.setdefault(feed, []).append(seconds)
    print_table(
        f"`continuous-gtfs demo`: seconds from the processes' start to the first publication (n = {ROUNDS})",
        ("publication", "median s", "max s"),
        [(feed, f"{median(values):.1f}", f"{max(values):.1f}") for feed, values in sorted(found.items())],
    )


if __name__ == "__main__":
    main()
