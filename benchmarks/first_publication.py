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


def one_round(state: Path) -> dict[str, float]:
    """By feed, seconds from the start of the processes to its first publication."""
    summary = state / "summary.json"
    command = Path(sys.executable).parent / "continuous-gtfs"
    ports = 20_000 + time.time_ns() // 1_000_000 % 20_000
    finished = subprocess.run(
        [command, "demo", "--for", str(SECONDS), "--state", state, "--json", summary, "--port-base", str(ports)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"the demo failed:\n{finished.stdout[-2000:]}")
    feeds = json.loads(summary.read_text())["feeds"]
    return {feed: facts["first_publication_s"] for feed, facts in feeds.items()}


def main() -> None:
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="first-publication-") as folder:
            for feed, seconds in one_round(Path(folder)).items():
                found.setdefault(feed, []).append(seconds)
    print_table(
        f"`continuous-gtfs demo`: seconds from the processes' start to the first publication (n = {ROUNDS})",
        ("publication", "median s", "max s"),
        [(feed, f"{median(values):.1f}", f"{max(values):.1f}") for feed, values in sorted(found.items())],
    )


if __name__ == "__main__":
    main()
