"""references_resolve: every id that a file refers to is defined, save those that were undefined before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.checks.outcome import CheckOutcome
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.spec import DEFINED_IN, REFERENCES

CHECK = "references_resolve"
SAMPLE_SIZE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Dangling:
    """The references of one feed that lead nowhere.

    Attributes:
        rows: By column (``trips.txt route_id``), the number of rows for each id that is not defined.
        unreadable: By file, why its references could not be followed.
    """

    rows: Mapping[str, Mapping[str, int]]
    unreadable: Mapping[str, str]


def dangling_references(feed: Feed) -> Dangling:
    """Follow every reference of ``spec.REFERENCES``. A blank cell refers to nothing."""
    unreadable: dict[str, str] = {}
    columns = _columns_read(feed, unreadable)
    defined: dict[str, frozenset[str] | None] = {}
    rows: dict[str, dict[str, int]] = {}
    for reference in REFERENCES:
        if (reference.file, reference.column) not in columns:
            continue
        if reference.entity not in defined:
            defined[reference.entity] = _defined(feed, reference.entity, columns, unreadable)
        ids = defined[reference.entity]
        if ids is None:
            continue
        keys = feed.keys(reference.file, reference.column)
        counts = np.bincount(keys.codes, minlength=len(keys.values)).tolist()
        lost = {
            value: count
            for value, count in zip(keys.values, counts, strict=True)
            if count and value and value not in ids
        }
        if lost:
            rows[f"{reference.file} {reference.column}"] = lost
    return Dangling(rows=rows, unreadable=unreadable)


def references_resolve(found: Dangling, *before: Dangling) -> CheckOutcome:
    """No id is undefined that was not so in one of the feeds before: the vendor's own, what is published.

    A file that cannot be read is no file without dangling references, so one that could be read before fails too.
    """
    known = {(column, value) for feed in before for column, ids in feed.rows.items() for value in ids}
    new = {
        column: lost
        for column, ids in found.rows.items()
        if (lost := {value: count for value, count in ids.items() if (column, value) not in known})
    }
    unreadable = {
        file: reason for file, reason in found.unreadable.items() if not any(file in feed.unreadable for feed in before)
    }
    old_rows = _row_count(found.rows) - _row_count(new)
    told = [
        f"{column}: {sum(ids.values()):,} rows refer to {len(ids):,} unknown ids ({', '.join(sorted(ids)[:3])})"
        for column, ids in new.items()
    ]
    told += [f"{file} cannot be read: {reason}" for file, reason in unreadable.items()]
    message = "; ".join(told) or "every reference resolves that resolved before"
    if old_rows:
        message += f"; {old_rows:,} rows that dangled before still do"
    return CheckOutcome(
        check=CHECK,
        is_passed=not told,
        message=message,
        numbers={
            "dangling_rows": _row_count(new),
            "dangling_rows_known_before": old_rows,
            "dangling": {
                column: {"rows": sum(ids.values()), "ids": len(ids), "sample": sorted(ids)[:SAMPLE_SIZE]}
                for column, ids in new.items()
            },
            "unreadable": dict(found.unreadable),
        },
    )


def _row_count(rows: Mapping[str, Mapping[str, int]]) -> int:
    return sum(sum(ids.values()) for ids in rows.values())


def _columns_read(feed: Feed, unreadable: dict[str, str]) -> set[tuple[str, str]]:
    """File and column of each reference and definition that the feed has, read in one pass a file."""
    wanted: dict[str, set[str]] = {}
    for reference in REFERENCES:
        wanted.setdefault(reference.file, set()).add(reference.column)
    for places in DEFINED_IN.values():
        for file, column in places:
            wanted.setdefault(file, set()).add(column)
    found: set[tuple[str, str]] = set()
    for file, columns in wanted.items():
        if file not in feed:
            continue
        try:
            raw = feed.raw(file)
            own = [column for column in raw.columns if column in columns]
            raw.load(own)
        except FeedStructureError as error:
            unreadable[file] = str(error)
            continue
        found.update((file, column) for column in own)
    return found


def _defined(
    feed: Feed, entity: str, columns: set[tuple[str, str]], unreadable: Mapping[str, str]
) -> frozenset[str] | None:
    """The ids of one kind; None where a file that defines them cannot be read, since any id might be in it."""
    places = DEFINED_IN[entity]
    if any(file in unreadable for file, _ in places):
        return None
    return frozenset().union(*(feed.keys(*place).present() for place in places if place in columns))
