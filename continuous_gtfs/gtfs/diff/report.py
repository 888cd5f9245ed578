"""FeedDiff: what was found to differ, as plain data that survives JSON. Nothing is worked out here.

Counts are complete; what is listed beside them is a sample. ``could_not_tell`` holds the reason where a question
could not be answered, which is another fact than "nothing differs".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

FileStatus = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One row that is there on one side only, or on both with other cells.

    Attributes:
        key: The cells that name the row, as they were before where it was there.
        before: All its cells, without the spaces around them; None where it was added. ``after`` likewise.
        line_before: Its line in the file, from 1; None where it was added. ``line_after`` likewise.
    """

    key: Mapping[str, str]
    before: Mapping[str, str] | None = None
    after: Mapping[str, str] | None = None
    line_before: int | None = None
    line_after: int | None = None

    @property
    def cells(self) -> dict[str, tuple[str, str]]:
        """The cells of columns that both sides have and that differ, before and after."""
        before, after = self.before or {}, self.after or {}
        return {name: (old, after[name]) for name, old in before.items() if name in after and after[name] != old}

    def to_dict(self) -> dict[str, Any]:
        lines = {"line_before": self.line_before, "line_after": self.line_after}
        said: dict[str, Any] = {"key": dict(self.key), **{k: v for k, v in lines.items() if v is not None}}
        if self.before is not None and self.after is not None:
            said["cells"] = {name: {"before": old, "after": new} for name, (old, new) in self.cells.items()}
        else:
            said["row"] = dict(self.before or self.after or {})
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsDiff:
    """The rows of one file.

    Attributes:
        renumbered: Rows that are the same but for a trip_id that was given another number.
        is_reordered: The same rows in another order, in a file of which the order may mean something.
    """

    key: tuple[str, ...]
    columns: tuple[str, ...]
    before: int
    after: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    renumbered: int = 0
    is_reordered: bool = False
    added_sample: tuple[RowChange, ...] = ()
    removed_sample: tuple[RowChange, ...] = ()
    changed_sample: tuple[RowChange, ...] = ()

    @property
    def is_same(self) -> bool:
        return not (self.added or self.removed or self.changed or self.renumbered or self.is_reordered)

    def to_dict(self) -> dict[str, Any]:
        counts = ("before", "after", "added", "removed", "changed", "renumbered", "is_reordered")
        samples = ("added_sample", "removed_sample", "changed_sample")
        return {
            "key": list(self.key),
            **{name: getattr(self, name) for name in counts},
            **{name: [row.to_dict() for row in getattr(self, name)] for name in samples},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """One file that is not the same.

    Attributes:
        rows: None for a file that is no table, or one that cannot be read as one: it was compared as bytes.
        could_not_tell: Why its rows could not be compared; blank where they were, or where it is no table.
    """

    file: str
    status: FileStatus
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    rows: RowsDiff | None = None
    could_not_tell: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "status": self.status,
            "columns_added": list(self.columns_added),
            "columns_removed": list(self.columns_removed),
            "rows": self.rows.to_dict() if self.rows else None,
            "could_not_tell": self.could_not_tell,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """How many there are, and some of them."""

    count: int = 0
    sample: tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"count": self.count, "sample": [dict(one) for one in self.sample]}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesDiff:
    """Routes by route_id."""

    added: Listed = field(default_factory=Listed)
    removed: Listed = field(default_factory=Listed)
    changed: Listed = field(default_factory=Listed)
    could_not_tell: str = ""

    def to_dict(self) -> dict[str, Any]:
        return _as_dict(self)


Place = tuple[float, float]
"""Longitude and latitude in degrees, as x and y on a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPlaces:
    """Where all stops lie, for a map; complete, so no part of the JSON."""

    kept: tuple[Place, ...] = ()
    added: tuple[Place, ...] = ()
    removed: tuple[Place, ...] = ()
    moved: tuple[tuple[Place, Place], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StopsDiff:
    """Stops by stop_id. A stop may be moved, renamed and changed otherwise at once.

    Attributes:
        changed: Those of which any cell differs, the moved and renamed ones included.
        moved: By at least half a metre; each with its distance in metres, the farthest first.
    """

    added: Listed = field(default_factory=Listed)
    removed: Listed = field(default_factory=Listed)
    changed: Listed = field(default_factory=Listed)
    moved: Listed = field(default_factory=Listed)
    renamed: Listed = field(default_factory=Listed)
    could_not_tell: str = ""
    places: StopPlaces = field(default_factory=StopPlaces)

    def to_dict(self) -> dict[str, Any]:
        return _as_dict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTrips:
    """What became of the trips of one route; a trip that changed its route counts where it is now."""

    route_id: str
    before: int
    after: int
    added: int
    removed: int
    retimed: int
    rerouted: int
    renumbered: int

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class TripsDiff:
    """Trips by what they are: route, direction, first departure and stop pattern, whatever their trip_id.

    Attributes:
        retimed: The same stops at other times.
        rerouted: The same trip_id, with another route, direction or stop pattern.
        renumbered: The same trip under another trip_id; one that is retimed too counts in both.
        by_route: Routes of which any trip differs.
        renamed_ids: For each re-numbered trip its new trip_id and the old one; complete, so no part of the JSON.
    """

    before: int = 0
    after: int = 0
    added: Listed = field(default_factory=Listed)
    removed: Listed = field(default_factory=Listed)
    retimed: Listed = field(default_factory=Listed)
    rerouted: Listed = field(default_factory=Listed)
    renumbered: Listed = field(default_factory=Listed)
    by_route: tuple[RouteTrips, ...] = ()
    could_not_tell: str = ""
    renamed_ids: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        counts = {"before": self.before, "after": self.after}
        return counts | _as_dict(self) | {"by_route": [route.to_dict() for route in self.by_route]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDiff:
    """How many trips run on each service date.

    Attributes:
        by_date: From the first date that either feed runs on to the last: trips before and after; None on the side
            that could not be told.
    """

    by_date: tuple[tuple[date, int | None, int | None], ...] = ()
    could_not_tell_before: str = ""
    could_not_tell_after: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "trips_by_date": [
                {"date": day.isoformat(), "before": before, "after": after} for day, before, after in self.by_date
            ],
            "could_not_tell_before": self.could_not_tell_before,
            "could_not_tell_after": self.could_not_tell_after,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedDiff:
    """What differs between two versions of a feed.

    Attributes:
        files: Those that are not the same, by name.
        files_before: The names of all files; likewise ``files_after``.
        sample: How many rows or entities of each kind are listed at most.
    """

    files: tuple[FileDiff, ...]
    files_before: tuple[str, ...]
    files_after: tuple[str, ...]
    routes: RoutesDiff
    stops: StopsDiff
    trips: TripsDiff
    service: ServiceDiff
    sample: int

    @property
    def is_same(self) -> bool:
        """Whether the content is the same: every cell, whatever the order of rows that have a key."""
        return not self.files

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; the same diff gives the same text."""
        return {
            "is_same": self.is_same,
            "files": [file.to_dict() for file in self.files],
            "routes": self.routes.to_dict(),
            "stops": self.stops.to_dict(),
            "trips": self.trips.to_dict(),
            "service": self.service.to_dict(),
            "sample": self.sample,
        }

    def to_text(self) -> str:
        """A summary for people, a few dozen lines at most."""
        from continuous_gtfs.gtfs.diff.text import summary

        return summary(self)


def _as_dict(part: RoutesDiff | StopsDiff | TripsDiff) -> dict[str, Any]:
    """The lists of a part and why it could not be told."""
    listed = {name: getattr(part, name) for name in part.__slots__}
    said = {name: value.to_dict() for name, value in listed.items() if isinstance(value, Listed)}
    return {**said, "could_not_tell": part.could_not_tell}
