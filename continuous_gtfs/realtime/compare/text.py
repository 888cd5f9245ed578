"""A comparison as a summary for people: a few dozen lines at most, whatever the feeds hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from continuous_gtfs.foreign_text import printable
from continuous_gtfs.realtime.compare.report import KINDS, Comparison, EntityDifference, FieldChange, Level

_ENTITIES, _FIELDS, _VALUE_CHARACTERS = 10, 3, 60

MEANINGS = {
    Level.BYTES: "the same bytes",
    Level.CONTENT_AND_ORDER: "the same content in the same order",
    Level.CONTENT: "the same content within the tolerances",
    Level.UP_TO_STALE_VEHICLES: "the same but for stale vehicles",
    Level.DIFFERENT: "different",
}


def summary(comparison: Comparison) -> str:
    """The whole comparison, the same text for the same one. Control characters of the feeds are left out."""
    return "".join(f"{printable(line)}\n" for line in _lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    level, counts = comparison.level, comparison.counts
    name = "" if level is Level.DIFFERENT else f"Level {int(level)}: "
    meaning = f"{name}{MEANINGS[level]}"
    yield f"{meaning[0].upper()}{meaning[1:]}."
    told = [f"{counts.same:,} the same", *(f"{n:,} {kind}" for kind in KINDS if (n := getattr(counts, kind)))]
    entities = "entity" if counts.before == 1 else "entities"
    yield f"{counts.before:,} {entities} before, {counts.after:,} after: {', '.join(told)}"
    if counts.stale:
        yield f"  {counts.stale:,} of the differences are stale vehicles"
    if counts.other_entity_ids:
        yield f"  {counts.other_entity_ids:,} matched under another entity id"
    if comparison.is_reordered:
        yield "  in another order"
    if comparison.header_changes:
        yield "Header:"
        yield from _fields(comparison.header_changes)
    for kind in KINDS:
        yield from _entities(kind, comparison.of_kind(kind))


def _entities(kind: str, differences: tuple[EntityDifference, ...]) -> Iterator[str]:
    if not differences:
        return
    yield f"{kind.capitalize()}:"
    for difference in differences[:_ENTITIES]:
        yield f"  {difference.entity}: {difference.identity}{' (stale)' if difference.is_stale else ''}"
        yield from _fields(difference.changes, indent="    ")
    if len(differences) > _ENTITIES:
        yield f"  and {len(differences) - _ENTITIES:,} more"


def _fields(changes: tuple[FieldChange, ...], indent: str = "  ") -> Iterable[str]:
    for change in changes[:_FIELDS]:
        yield f"{indent}{change.path}: {_value(change.before)} -> {_value(change.after)}"
    if len(changes) > _FIELDS:
        yield f"{indent}and {len(changes) - _FIELDS:,} more fields"


def _value(value: Any) -> str:
    if value is None:
        return "(not set)"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[: _VALUE_CHARACTERS - 3]}..."
