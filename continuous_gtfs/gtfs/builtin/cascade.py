"""What goes with a row that is removed: worked out to a fixpoint over all files before any of them is changed.

A row is dropped because it was asked for, because it says nothing without something that is gone
(``spec.REFERENCES``), or because a policy removes what the step left empty. Each row is dropped once, whatever the
number of reasons. Only what *this* removal took is followed: a reference that dangled before stays as it was, and a
blank cell refers to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from continuous_gtfs.gtfs.builtin.selection import counted
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.keys import Keys, Mask
from continuous_gtfs.gtfs.spec import DEFINED_IN, REFERENCES, TRANSLATED_RECORDS, TRANSLATIONS, Reference
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import StepContext

Policy = Literal["remove", "warn", "keep"]
Children = Literal["remove", "detach"]

_PARENT = ("stops.txt", "parent_station")
_FARE_RULES = "fare_rules.txt"
_STOP_TIMES = "stop_times.txt"
_STOP_TIME = ("trip_id", "stop_sequence")
_FARE_ATTRIBUTES = "fare_attributes.txt"
# What a row of fare_rules.txt shares with those that belong to the same list of zones to be passed through.
_ZONE_LIST = ("fare_id", "route_id", "origin_id", "destination_id")
# Entrances, generic nodes and boarding areas must have a parent; a stop or platform may stand alone.
_MAY_STAND_ALONE = frozenset({"", "0"})


@dataclass(frozen=True, slots=True)
class Emptied:
    """A kind of thing that can be left without what it is for.

    Attributes:
        entity: Its kind; ``file`` is where a row of it is removed.
        user: The file and column whose rows it is for.
        also: Other places whose references keep it.
    """

    entity: str
    user: tuple[str, str]
    also: tuple[tuple[str, str], ...] = ()


EMPTIED = {
    "trips": Emptied("trip", ("stop_times.txt", "trip_id")),
    "routes": Emptied("route", ("trips.txt", "route_id")),
    "services": Emptied(
        "service",
        ("trips.txt", "service_id"),
        (("timeframes.txt", "service_id"), ("booking_rules.txt", "prior_notice_service_id")),
    ),
    "shapes": Emptied("shape", ("trips.txt", "shape_id")),
    # A group without stops is no place, so what calls there does not.
    "location_groups": Emptied("location_group", ("location_group_stops.txt", "location_group_id")),
}


class Cascade:
    """One removal and all that follows from it."""

    def __init__(self, feed: Feed, *, policies: dict[str, Policy], children: Children = "remove") -> None:
        """``policies`` says, by key of ``EMPTIED``, what becomes of what this removal leaves empty; else it goes."""
        self._feed = feed
        self._policies = policies
        self._children = children
        self._dropped: dict[str, Mask] = {}
        self._cleared: dict[tuple[str, str], Mask] = {}
        self._lost: dict[str, set[str]] = {}
        self._changed: set[str] = set()
        self._warned: dict[str, frozenset[str]] = {}

    def drop(self, file: str, rows: Mask) -> None:
        """Mark rows of a file; dropped rows stay dropped."""
        before = self._dropped.get(file)
        after = rows if before is None else before | rows
        if after.any() and (before is None or (after & ~before).any()):
            self._dropped[file] = after
            self._changed.add(file)

    def drop_ids(self, entity: str, ids: Iterable[str]) -> None:
        """Mark the rows that define these ids."""
        wanted = set(ids)
        for file, column in DEFINED_IN[entity]:
            if self._feed.has_column(file, column):
                self.drop(file, self._feed.keys(file, column).is_in(wanted))

    def run(self, context: StepContext) -> None:
        """Follow every consequence, change the feed, and report what was done file by file."""
        while self._changed:
            while self._changed:
                self._follow()
            self._remove_emptied()
        for (file, column), rows in sorted(self._cleared.items()):
            left = rows & ~self._dropped.get(file, np.zeros(len(rows), dtype=bool))
            if left.any():
                context.find(counted("cells_cleared", f"of {file} lost their {column}", self._feed, file, left))
                self._feed.set_cells(file, left, {column: ""})
        for file, rows in sorted(self._dropped.items()):
            context.find(counted("rows_removed", f"removed from {file}", self._feed, file, rows))
            self._feed.drop_rows(file, rows)
        for kind, ids in self._warned.items():
            file = DEFINED_IN[EMPTIED[kind].entity][0][0]
            context.find(
                Finding(
                    "warning",
                    f"{kind}_left_empty",
                    f"{len(ids):,} of {file} left without {EMPTIED[kind].user[0].removesuffix('.txt')}",
                    file,
                    len(ids),
                    tuple(sorted(ids)),
                )
            )

    def _kept(self, file: str, length: int) -> Mask:
        dropped = self._dropped.get(file)
        return np.ones(length, dtype=bool) if dropped is None else ~dropped

    def _present(self, file: str, column: str) -> frozenset[str]:
        """What a column names on the rows that are left."""
        if not self._feed.has_column(file, column):
            return frozenset()
        keys = self._feed.keys(file, column)
        return keys.at(self._kept(file, len(keys))).present()

    def _follow(self) -> None:
        """One round: what the rows dropped last defined is lost, and with it the rows that need it."""
        changed, self._changed = self._changed, set()
        if _FARE_RULES in changed:
            self._drop_fares_without_rules()
        if _STOP_TIMES in changed:
            self._lose_stop_time_translations()
        for entity, places in DEFINED_IN.items():
            if not changed.isdisjoint(file for file, _ in places):
                self._lose(entity)

    def _lose(self, entity: str) -> None:
        gone: set[str] = set()
        for file, column in DEFINED_IN[entity]:
            if file in self._dropped and self._feed.has_column(file, column):
                gone |= self._feed.keys(file, column).at(self._dropped[file]).present()
        gone -= self._lost.get(entity, set())
        for file, column in DEFINED_IN[entity]:
            if gone:
                gone -= self._present(file, column)
        if not gone:
            return
        self._lost.setdefault(entity, set()).update(gone)
        for reference in REFERENCES:
            if reference.entity == entity and self._feed.has_column(reference.file, reference.column):
                self._lose_reference(reference, self._feed.keys(reference.file, reference.column).is_in(gone))
        self._lose_translations(entity, gone)

    def _lose_reference(self, reference: Reference, rows: Mask) -> None:
        place = (reference.file, reference.column)
        if place == _PARENT and self._children == "detach":
            kinds = self._feed.keys("stops.txt", "location_type") if self._has_kinds() else None
            stays = rows if kinds is None else rows & kinds.is_in(_MAY_STAND_ALONE)
            self._clear(place, stays)
            self.drop(reference.file, rows & ~stays)
        elif reference.on_loss == "clear":
            self._clear(place, rows)
        else:
            if place == (_FARE_RULES, "contains_id"):
                rows = self._whole_zone_lists(rows)
            self.drop(reference.file, rows)

    def _has_kinds(self) -> bool:
        return self._feed.has_column("stops.txt", "location_type")

    def _clear(self, place: tuple[str, str], rows: Mask) -> None:
        if rows.any():
            known = self._cleared.get(place)
            self._cleared[place] = rows if known is None else known | rows

    def _lose_translations(self, entity: str, gone: set[str]) -> None:
        if not self._feed.has_column(TRANSLATIONS, "record_id") or not self._feed.has_column(
            TRANSLATIONS, "table_name"
        ):
            return
        tables = {table for table, kind in TRANSLATED_RECORDS.items() if kind == entity}
        of_table = self._feed.keys(TRANSLATIONS, "table_name").is_in(tables)
        self.drop(TRANSLATIONS, of_table & self._feed.keys(TRANSLATIONS, "record_id").is_in(gone))

    def _lose_stop_time_translations(self) -> None:
        """A stop time is named by its trip and its sequence."""
        names = ("table_name", "record_id", "record_sub_id")
        if not all(self._feed.has_column(TRANSLATIONS, name) for name in names):
            return
        tables, trips, sequences = (self._feed.keys(TRANSLATIONS, name) for name in names)
        told = tables.is_in({"stop_times"})
        if not told.any() or not all(self._feed.has_column(_STOP_TIMES, name) for name in _STOP_TIME):
            return
        rows = list(zip(trips.texts(), sequences.texts(), strict=True))
        own_trips, own_sequences = (self._feed.keys(_STOP_TIMES, name) for name in _STOP_TIME)
        concerned = np.flatnonzero(own_trips.is_in(trips.at(told).present()))
        pairs = list(zip(own_trips.texts(concerned), own_sequences.texts(concerned), strict=True))
        dropped = self._dropped[_STOP_TIMES][concerned].tolist()
        left = {pair for pair, gone in zip(pairs, dropped, strict=True) if not gone}
        lost = {pair for pair, gone in zip(pairs, dropped, strict=True) if gone} - left
        self.drop(TRANSLATIONS, told & np.array([row in lost for row in rows], dtype=bool))

    def _whole_zone_lists(self, rows: Mask) -> Mask:
        """A fare for passing through zones A and B is not one for passing through A: the list goes as a whole."""
        if not rows.any():
            return rows
        raw = self._feed.raw(_FARE_RULES)
        columns = [raw.keys(name).texts() for name in _ZONE_LIST if name in raw.columns]
        if not columns:
            return rows
        lists = Keys.of("\x1f".join(cells) for cells in zip(*columns, strict=True))
        return lists.is_in(lists.at(rows).present()) & ~raw.keys("contains_id").is_blank()

    def _drop_fares_without_rules(self) -> None:
        """A fare without any rule is valid everywhere (fare_rules.txt): one that lost all its rules must go as well."""
        if not self._feed.has_column(_FARE_RULES, "fare_id"):
            return
        fares = self._feed.keys(_FARE_RULES, "fare_id")
        emptied = fares.at(self._dropped[_FARE_RULES]).present() - self._present(_FARE_RULES, "fare_id")
        if emptied and self._feed.has_column(_FARE_ATTRIBUTES, "fare_id"):
            self.drop(_FARE_ATTRIBUTES, self._feed.keys(_FARE_ATTRIBUTES, "fare_id").is_in(emptied))

    def _remove_emptied(self) -> None:
        for kind, emptied in EMPTIED.items():
            policy = self._policies.get(kind, "remove")
            file, column = emptied.user
            if policy == "keep" or file not in self._dropped or not self._feed.has_column(file, column):
                continue
            ids = self._feed.keys(file, column).at(self._dropped[file]).present() - self._present(file, column)
            for place in emptied.also:
                ids -= self._present(*place)
            left = frozenset().union(*(self._present(*place) for place in DEFINED_IN[emptied.entity])) & ids
            if policy == "warn":
                self._warned[kind] = left
            elif left:
                self.drop_ids(emptied.entity, left)
        self._warned = {kind: ids for kind, ids in self._warned.items() if ids}
