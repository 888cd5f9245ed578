"""A simulated day's figures, the tables of a month, and whether it ended as large as it was.

Not a benchmark of its own.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from month_sizes import Database
from month_store import Size
from tables import print_table

from continuous_gtfs.defs.maintenance_report import MaintenanceReport

# Failures are kept for a fortnight: from then on each day removes what a day brings.
FULL_FROM_DAY = 16
COMPARED_DAYS = 5
SHOWN_DAYS = (1, 2, 3, 5, 10, 15, 16, 17, 18, 19, 20)
GROWTH_ALLOWED = 0.03
_MB = 1e6


@dataclass(slots=True, kw_only=True)
class Day:
    """One simulated day.

    Attributes:
        runs: Written.
        seconds: Of this machine.
        files_s: Of them, writing and packing files, beside the rows.
        passes_s: Of each pass of the maintenance.
        removed: By kind, how many.
    """

    number: int
    runs: int = 0
    seconds: float = 0.0
    files_s: float = 0.0
    passes_s: list[float] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    database: Database = field(default_factory=lambda: Database(0, ()))
    store: Size | None = None

    def add(self, report: MaintenanceReport) -> None:
        self.passes_s.append(report.seconds)
        for kind, one in report.removed.items():
            self.removed[kind] = self.removed.get(kind, 0) + one.count


def tell(day: Day) -> None:
    """A line while the month goes on."""
    assert day.store is not None
    sys.stdout.write(
        f"day {day.number}: {day.runs} runs, database {day.database.size / _MB:.0f} MB, "
        f"stores {day.store.passing / _MB:.1f} MB and {day.store.kept / _MB:.1f} MB for good, "
        f"{day.store.files} files, {day.store.folders} folders, maintenance {sum(day.passes_s):.1f} s "
        f"(longest {max(day.passes_s):.1f} s), dead rows {sum(table.dead for table in day.database.tables)}, "
        f"removed {day.removed}, in {day.seconds:.0f} s (files {day.files_s:.0f} s)\n"
    )
    sys.stdout.flush()


def print_month(days: Sequence[Day], seconds: float) -> None:
    shown = [day for day in days if day.number in SHOWN_DAYS or day.number > len(days) - COMPARED_DAYS]
    large = [table.name for table in days[-1].database.tables[:5]]
    print_table(
        "What there is at the end of each day, MB",
        ("day", "database", *large, "stores", "for good", "files", "folders"),
        [
            [
                str(day.number),
                f"{day.database.size / _MB:.0f}",
                *(f"{day.database.table(name).size / _MB:.1f}" for name in large),
                *([f"{day.store.passing / _MB:.1f}", f"{day.store.kept / _MB:.1f}"] if day.store else []),
                *([f"{day.store.files:,}", f"{day.store.folders:,}"] if day.store else []),
            ]
            for day in shown
        ],
    )
    kinds = [kind for kind in days[-1].removed if any(day.removed.get(kind) for day in days)]
    print_table(
        "The maintenance of each day: 24 passes, and what they removed",
        ("day", "runs written", "a pass s", "longest s", *kinds),
        [
            [
                str(day.number),
                f"{day.runs:,}",
                f"{statistics.median(day.passes_s):.2f}",
                f"{max(day.passes_s):.2f}",
                *(f"{day.removed.get(kind, 0):,}" for kind in kinds),
            ]
            for day in shown
        ],
    )
    print_table(
        "Tables at the end",
        ("table", "MB", "rows", "dead rows", "autovacuums"),
        [
            [table.name, f"{table.size / _MB:.1f}", f"{table.live:,}", f"{table.dead:,}", f"{table.vacuums:,}"]
            for table in days[-1].database.tables
            if table.live or table.vacuums
        ],
    )
    sys.stdout.write(f"\n{len(days)} days in {seconds / 60:.1f} minutes\n")


def is_flat(days: Sequence[Day]) -> bool:
    """Whether the last days are as large as the first ones of which that may be asked; says so."""
    if len(days) < FULL_FROM_DAY + 2 * COMPARED_DAYS - 1:
        sys.stdout.write("too short to tell whether it stays as large as it is\n")
        return True
    first, last = days[FULL_FROM_DAY - 1 :][:COMPARED_DAYS], days[-COMPARED_DAYS:]
    flat = True
    for what, sizes in {
        "database": [[day.database.size for day in part] for part in (first, last)],
        "stores": [[day.store.passing for day in part if day.store] for part in (first, last)],
        "files": [[day.store.files for day in part if day.store] for part in (first, last)],
        "folders": [[day.store.folders for day in part if day.store] for part in (first, last)],
    }.items():
        growth = statistics.mean(sizes[1]) / statistics.mean(sizes[0]) - 1
        is_so = growth <= GROWTH_ALLOWED
        flat &= is_so
        sys.stdout.write(
            f"{what}: {growth:+.2%} from days {first[0].number} to {first[-1].number} to the last {len(last)}: "
            f"{'flat' if is_so else f'NOT FLAT, {GROWTH_ALLOWED:.0%} is allowed'}\n"
        )
    return flat
