"""The tables of the schedule benchmarks: medians of whole processes, and their ratio to one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schedule_measuring import Measured
from tables import median

COLUMNS = ("case", "subject", "wall s", "CPU s", "peak MiB")


def rows_of(case: str, found: Mapping[str, Sequence[Measured]], bases: Sequence[str]) -> list[tuple[str, ...]]:
    """One row a subject: medians, then wall time and peak memory against each of the ``bases``."""
    rows = []
    for subject, runs in found.items():
        cells = [
            case,
            subject,
            f"{_wall(runs):.2f}",
            f"{median([run.cpu_s for run in runs]):.2f}",
            f"{_peak(runs):.0f}",
        ]
        for base in bases:
            cells += _ratios(runs, found.get(base), is_base=subject == base)
        rows.append(tuple(cells))
    return rows


def columns(bases: Sequence[str]) -> tuple[str, ...]:
    return (*COLUMNS, *(f"{figure} / {base}" for base in bases for figure in ("wall", "peak")))


def _ratios(runs: Sequence[Measured], base: Sequence[Measured] | None, *, is_base: bool) -> list[str]:
    if not base or is_base:
        return ["", ""]
    return [f"{_wall(runs) / _wall(base):.2f}", f"{_peak(runs) / _peak(base):.2f}"]


def _wall(runs: Sequence[Measured]) -> float:
    return median([run.wall_s for run in runs])


def _peak(runs: Sequence[Measured]) -> float:
    return median([run.peak_mib for run in runs])
