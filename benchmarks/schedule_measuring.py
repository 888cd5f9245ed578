"""What the schedule benchmarks share: commands measured as whole processes, the peer's environment, the real feeds.

Run as a script it is the little process that a command is started from: on Linux a process that was just started
counts the memory of the one it was forked from into its own peak, so that one must be small.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 5
PEER_VARIABLE = "CONTINUOUS_GTFS_PEER"
DATA_VARIABLE = "CONTINUOUS_GTFS_TEST_DATA"
MIB = 1 << 20
OURS = str(Path(sys.executable).parent / "continuous-gtfs")


@dataclass(frozen=True, slots=True)
class Measured:
    """One process from start to end."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    exit_code: int
    output: str


def options(doc: str | None, cases: Sequence[str] = ()) -> argparse.Namespace:
    """The options of a script: ``rounds``, and ``cases`` where it has several."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"Runs of each subject; {ROUNDS} unless told.")
    if cases:
        parser.add_argument("--cases", nargs="+", choices=cases, default=list(cases), help="Some of the cases only.")
    return parser.parse_args()


def peer(command: str) -> str | None:
    """A command of the peer's environment; None where no environment is named, and ours runs alone."""
    folder = os.environ.get(PEER_VARIABLE)
    if folder is None:
        return None
    path = Path(folder) / "bin" / command
    if not path.is_file():
        raise SystemExit(f"{PEER_VARIABLE} is {folder}, and there is no {path}")
    return str(path)


def data_path(name: str) -> Path | None:
    """A real feed, by its path in the folder of captures; None where it is absent."""
    chosen = os.environ.get(DATA_VARIABLE)
    folder = Path(chosen) if chosen else Path(__file__).resolve().parents[2] / "shared" / "data"
    path = folder / name
    if path.is_file():
        return path
    sys.stdout.write(f"\nno {name} here ({DATA_VARIABLE} names the folder of real feeds): left out\n")
    return None


def measure(command: Sequence[str | Path], *, accept: Sequence[int] = (0,)) -> Measured:
    """Run a command once.

    Args:
        accept: The exit codes that mean that it did its work.
    """
    with tempfile.NamedTemporaryFile() as report:
        wrapper = [sys.executable, "-I", "-S", __file__, report.name, *map(str, command)]
        subprocess.run(wrapper, check=True)
        facts = json.loads(Path(report.name).read_bytes())
    measured = Measured(**facts)
    if measured.exit_code not in accept:
        raise SystemExit(f"{' '.join(map(str, command))}\nexits with {measured.exit_code}:\n{measured.output[-3000:]}")
    return measured


def measure_in_turn(
    subjects: Mapping[str, Sequence[str | Path]], rounds: int, *, accept: Sequence[int] = (0,)
) -> dict[str, list[Measured]]:
    """Each subject once a round, so that what else the machine does falls on all of them alike."""
    found: dict[str, list[Measured]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, command in subjects.items():
            found[name].append(measure(command, accept=accept))
    return found


def _run_and_report(report: str, command: list[str]) -> None:
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")[-100_000:]
    facts = {
        "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / MIB,
        "exit_code": process.returncode,
        "output": text,
    }
    Path(report).write_text(json.dumps(facts))


if __name__ == "__main__":
    _run_and_report(sys.argv[1], sys.argv[2:])
