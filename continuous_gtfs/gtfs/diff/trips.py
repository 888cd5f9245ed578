"""Trips added, removed, retimed, rerouted and re-numbered; and which rows of stop_times.txt are worth a look.

A trip that has the same route, the same direction and the same lines in stop_times.txt is the same trip, and is left
out of all that follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from continuous_gtfs.gtfs.diff.files import Pair
from continuous_gtfs.gtfs.diff.hashing import Hashes, Rows, blocks, mixed, others
from continuous_gtfs.gtfs.diff.report import Listed, RouteTrips, TripsDiff
from continuous_gtfs.gtfs.diff.service_days import Dates
from continuous_gtfs.gtfs.diff.side_by_side import on_both
from continuous_gtfs.gtfs.diff.tables import Part, RowMatch, Table, match_parts
from continuous_gtfs.gtfs.diff.trip_pairs import pair_trips
from continuous_gtfs.gtfs.diff.trip_profiles import Profiles, TripList, profiles

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TripsFound:
    """The trips' part of a diff, and what the comparison of the tables needs of it.

    Attributes:
        renamed: For ids of the feed after, the id to compare by: the old one of a trip that was re-numbered; for
            whatever has an id now that was another trip's before, one that no trip has.
        stop_times: The rows of stop_times.txt that may differ, before and after.
    """

    diff: TripsDiff
    renamed: Mapping[str, str]
    stop_times: tuple[Part | None, Part | None]


def why_not(trips: Pair, stop_times: Pair) -> str:
    """Why trips cannot be compared; blank where they can. A file that is not there has no trips."""
    for pair in (trips, stop_times):
        if not pair.is_table:
            return pair.could_not_tell
        needed = ("trip_id", "route_id") if pair is trips else ("trip_id",)
        for table in (pair.before, pair.after):
            lacking = [name for name in needed if table is not None and name not in table.columns]
            if lacking:
                return f"{pair.file} has no column {lacking[0]}"
    return ""


def find_trips(trips: Pair, stop_times: Pair, dates: tuple[Dates, Dates], sample: int) -> TripsFound:
    """Pair the trips of both feeds and say what became of each."""
    before, after = TripList.of(trips.before), TripList.of(trips.after)
    touched = _changed_lines(stop_times) | _changed_trips(before, after)
    old, new = _touched(before, touched), _touched(after, touched)
    parts = on_both(lambda table: _part(table, touched), stop_times.before, stop_times.after)
    sides = on_both(lambda side: profiles(*side), (old, parts[0], dates[0]), (new, parts[1], dates[1]))
    became = _Became(*sides, *pair_trips(*sides))
    return TripsFound(became.report(before, after, sample), became.renamed(), parts)


def match_stop_times(found: TripsFound) -> RowMatch | None:
    """The rows of stop_times.txt, of the touched trips only: all others are the same."""
    before, after = found.stop_times
    if before is None or after is None:
        return None
    return match_parts(before, after, found.renamed)


@dataclass(frozen=True, slots=True, eq=False)
class _Became:
    """Touched trips of both sides, and the places of those that are the same trip."""

    before: Profiles
    after: Profiles
    rows_before: Rows
    rows_after: Rows

    def renamed(self) -> dict[str, str]:
        new = _pick(self.after.trips.ids, self.rows_after)
        old = _pick(self.before.trips.ids, self.rows_before)
        renamed = {is_now: was for is_now, was in zip(new, old, strict=True) if is_now != was}
        # What bears an id now that was another trip's is not that trip.
        return {was: f"\0{was}" for was in renamed.values()} | renamed

    def _added(self) -> Rows:
        return others(len(self.after.names), self.rows_after)

    def _removed(self) -> Rows:
        return others(len(self.before.names), self.rows_before)

    def report(self, before: TripList, after: TripList, sample: int) -> TripsDiff:
        b, a = self.rows_before, self.rows_after
        is_rerouted: Bools = self.before.path[b] != self.after.path[a]
        is_retimed: Bools = (self.before.times[b] != self.after.times[a]) & ~is_rerouted
        is_renumbered: Bools = self.before.names[b] != self.after.names[a]
        added, removed = self._added(), self._removed()
        kinds = {"retimed": is_retimed, "rerouted": is_rerouted, "renumbered": is_renumbered}
        return TripsDiff(
            before=len(before.ids),
            after=len(after.ids),
            added=_listed([_said(self.after, place) for place in added[:sample].tolist()], len(added)),
            removed=_listed([_said(self.before, place) for place in removed[:sample].tolist()], len(removed)),
            retimed=self._pairs(is_retimed, sample),
            rerouted=self._pairs(is_rerouted, sample),
            renumbered=self._pairs(is_renumbered, sample),
            by_route=self._by_route(before, after, added, removed, kinds),
            renamed_ids={
                self.after.trips.ids[new]: self.before.trips.ids[old]
                for old, new in zip(b[is_renumbered].tolist(), a[is_renumbered].tolist(), strict=True)
            },
        )

    def _pairs(self, mask: Bools, sample: int) -> Listed:
        chosen = np.flatnonzero(mask)
        told = [
            {
                "before": _said(self.before, int(self.rows_before[row])),
                "after": _said(self.after, int(self.rows_after[row])),
            }
            for row in chosen[:sample].tolist()
        ]
        return _listed(told, len(chosen))

    def _by_route(
        self, before: TripList, after: TripList, added: Rows, removed: Rows, kinds: Mapping[str, Bools]
    ) -> tuple[RouteTrips, ...]:
        routes_now = self.after.trips.route_ids
        counts = {
            "added": Counter(_pick(routes_now, added)),
            "removed": Counter(_pick(self.before.trips.route_ids, removed)),
            **{name: Counter(_pick(routes_now, self.rows_after[mask])) for name, mask in kinds.items()},
        }
        totals = {"before": Counter(before.route_ids), "after": Counter(after.route_ids)}
        touched = sorted({route_id for counter in counts.values() for route_id in counter})
        return tuple(
            RouteTrips(route_id=route_id, **{name: one[route_id] for name, one in (totals | counts).items()})
            for route_id in touched
        )


def _pick(values: Sequence[str], places: Rows) -> list[str]:
    return [values[place] for place in places.tolist()]


def _listed(sample: Iterable[Mapping[str, Any]], count: int) -> Listed:
    return Listed(count=count, sample=tuple(sample))


def _said(side: Profiles, place: int) -> dict[str, str]:
    trips = side.trips
    return {
        "trip_id": trips.ids[place],
        "route_id": trips.route_ids[place],
        "direction_id": trips.direction_ids[place],
        "service_id": trips.service_ids[place],
        "departure": _clock(int(side.departs_s[place])),
        "arrival": _clock(int(side.arrives_s[place])),
    }


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}" if seconds >= 0 else ""


def _touched(trips: TripList, touched: frozenset[str]) -> TripList:
    return trips.at([place for place, trip_id in enumerate(trips.ids) if trip_id in touched])


def _changed_trips(before: TripList, after: TripList) -> frozenset[str]:
    """Trips on one side only, and those with another route or direction."""
    lines = [
        dict(zip(side.ids, zip(side.route_ids, side.direction_ids, strict=True), strict=True))
        for side in (before, after)
    ]
    # Of two views as sets, what is not in both: an id with two lines is in twice.
    return frozenset(trip_id for trip_id, _ in lines[0].items() ^ lines[1].items())


def _changed_lines(pair: Pair) -> frozenset[str]:
    """Trips of which the lines of stop_times.txt, in any order, are not the same bytes."""
    if pair.is_equal:
        return frozenset()
    sides = on_both(lambda side: _line_sums(*side), (pair.before, pair.after), (pair.after, pair.before))
    if pair.before is not None and pair.after is not None and pair.before.columns != pair.after.columns:
        return frozenset({*sides[0], *sides[1]})
    return frozenset(trip_id for trip_id, _ in sides[0].items() ^ sides[1].items())


def _line_sums(table: Table | None, other: Table | None) -> dict[str, int]:
    """For each trip the sum of the numbers of its lines; 0 where ``other`` has no such trip, so that none matters."""
    if table is None:
        return {}
    keys = table.keys("trip_id")
    sums: Hashes = np.zeros(len(keys.values), dtype=np.uint64)
    known = {*keys.values}.intersection(other.keys("trip_id").values) if other is not None else set()
    if known and other is not None and table.columns == other.columns:
        rows = np.flatnonzero(keys.is_in(known))
        for block in blocks(len(rows)):
            np.add.at(sums, keys.codes[rows[block]], mixed(table.line_hashes(rows[block])))
    return dict(zip(keys.values, sums.tolist(), strict=True))


def _part(table: Table | None, touched: frozenset[str]) -> Part | None:
    return None if table is None else table.part(np.flatnonzero(table.keys("trip_id").is_in(touched)))
