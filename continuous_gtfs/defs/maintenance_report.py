"""What the maintenance has removed, or would remove: counts and bytes by kind. The form only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(slots=True)
class Removed:
    """What became of one kind of thing.

    Attributes:
        count: How many were removed.
        bytes: What they took, as far as that is known.
    """

    count: int = 0
    bytes: int = 0


@dataclass(slots=True, kw_only=True)
class MaintenanceReport:
    """One pass of the maintenance.

    Attributes:
        is_dry_run: Nothing was removed; the counts say what would be.
        removed: By kind.
        notes: What a reader should know: what was left for the next pass, what could not be done.
        failures: Parts that failed, one sentence each; the other parts were done.
        database_bytes: Of the database, after the pass; None where that is not known.
        seconds: What the pass took.
    """

    is_dry_run: bool = False
    removed: dict[str, Removed] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    database_bytes: int | None = None
    seconds: float = 0.0

    def add(self, kind: str, count: int, size: int = 0) -> None:
        kept = self.removed.setdefault(kind, Removed())
        kept.count += count
        kept.bytes += size

    def to_dict(self) -> dict[str, Any]:
        return {
            "is_dry_run": self.is_dry_run,
            "removed": {kind: {"count": one.count, "bytes": one.bytes} for kind, one in self.removed.items()},
            "notes": self.notes,
            "failures": self.failures,
            "database_bytes": self.database_bytes,
            "seconds": round(self.seconds, 3),
        }

    def text(self) -> str:
        """A line a kind, for a console."""
        does = "would remove" if self.is_dry_run else "removed"
        lines = [
            f"{does} {one.count:>9,} {kind}{f' ({bytes_text(one.bytes)})' if one.bytes else ''}"
            for kind, one in self.removed.items()
        ]
        lines += self.notes
        if self.database_bytes is not None:
            lines.append(f"the database takes {bytes_text(self.database_bytes)}")
        lines += [f"failed: {failure}" for failure in self.failures]
        return "\n".join(lines) + "\n"


def bytes_text(count: float) -> str:
    """``512 B``, ``1.5 MB``."""
    for unit in _UNITS[:-1]:
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"
