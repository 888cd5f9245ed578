"""What a replay of many snapshots comes to: by outcome, by kind of change and field, and entity by entity.

An entity that differs in a hundred snapshots in a row is one line here, with the first and the last of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

from continuous_gtfs.gtfs.escaping import escaped
from continuous_gtfs.realtime.replay import Outcome, Replayed

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_INDEX = re.compile(r"\[[^\]]*\]")
_ROWS_SHOWN = 40
_CELL_CHARACTERS = 300


@dataclass(slots=True)
class _Span:
    """In how many snapshots something was so, and from when to when."""

    first: datetime
    last: datetime
    snapshots: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {"snapshots": self.snapshots, "first": self.first.isoformat(), "last": self.last.isoformat()}


@dataclass(slots=True)
class _Entity:
    """One entity that would have been published differently."""

    span: _Span
    fields: Counter[str] = field(default_factory=Counter)
    example: dict[str, Any] | None = None


@dataclass(slots=True)
class _Change:
    """One kind of change of one field, over all entities."""

    span: _Span
    entities: set[str] = field(default_factory=set)
    example: str = ""


class ReplayReport:
    """Adds up what was replayed."""

    def __init__(self) -> None:
        self._outcomes: dict[str, Counter[Outcome]] = {}
        self._entities: dict[tuple[str, str, str, str], _Entity] = {}
        self._changes: dict[tuple[str, str, str, str], _Change] = {}
        self._reasons: dict[tuple[str, Outcome, str], _Span] = {}
        self._other_ids_or_order: Counter[str] = Counter()
        self._schedules: dict[str, str] = {}

    def note_schedules(self, schedules: Mapping[str, str]) -> None:
        """By label of the schedule that was live then, what stood for it."""
        self._schedules.update(schedules)

    def add(self, replayed: Replayed) -> None:
        """One more snapshot; in any order."""
        feed, at = replayed.feed, replayed.at
        self._outcomes.setdefault(feed, Counter())[replayed.outcome] += 1
        if replayed.reason:
            # Numbers differ from snapshot to snapshot; the reason is the same.
            reason = re.sub(r"\d+(\.\d+)?", "…", replayed.reason)
            _extend(self._reasons.setdefault((feed, replayed.outcome, reason), _Span(at, at)), at)
        comparison = replayed.comparison
        if comparison is None:
            return
        if replayed.outcome == "same":
            self._other_ids_or_order[feed] += 1
            return
        seen: set[tuple[str, str, str, str]] = set()
        for change in comparison.header_changes:
            self._add(seen, (feed, "header", "changed", "header"), at, [(change.path, change.before, change.after)])
        for one in comparison.differences:
            fields = [(change.path, change.before, change.after) for change in one.changes]
            self._add(seen, (feed, one.entity, one.kind, one.identity), at, fields)

    def _add(
        self,
        seen: set[tuple[str, str, str, str]],
        key: tuple[str, str, str, str],
        at: datetime,
        fields: Iterable[tuple[str, Any, Any]],
    ) -> None:
        feed, entity, kind, identity = key
        known = self._entities.setdefault(key, _Entity(_Span(at, at)))
        if key not in seen:
            _extend(known.span, at)
            seen.add(key)
        listed = list(fields) or [("", None, None)]
        known.fields.update({_INDEX.sub("[]", path) for path, _, _ in listed if path})
        for path, before, after in listed:
            name = (feed, entity, kind, _INDEX.sub("[]", path))
            change = self._changes.setdefault(name, _Change(_Span(at, at)))
            change.entities.add(identity)
            if path and known.example is None:
                known.example = {"path": path, "before": before, "after": after}
            change.example = change.example or f"{identity}: {_told(before, after) if path else kind}"
            if name not in seen:
                _extend(change.span, at)
                seen.add(name)

    @property
    def differing(self) -> int:
        """Snapshots that would have gone out differently, or not at all."""
        unlike: tuple[Outcome, ...] = ("different", "refused", "failed")
        return sum(counts[outcome] for counts in self._outcomes.values() for outcome in unlike)

    @property
    def snapshots(self) -> int:
        """All that were replayed."""
        return sum(counts.total() for counts in self._outcomes.values())

    def to_dict(self) -> dict[str, Any]:
        """The whole report as JSON has it; the same snapshots give the same text."""
        return {
            "snapshots": self.snapshots,
            "differing": self.differing,
            "outcomes": {
                feed: {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}
                for feed, counts in sorted(self._outcomes.items())
            },
            "other_entity_ids_or_order": dict(sorted(self._other_ids_or_order.items())),
            "schedules": dict(sorted(self._schedules.items())),
            "reasons": [
                {"feed": feed, "outcome": outcome, "reason": reason} | span.to_dict()
                for (feed, outcome, reason), span in sorted(self._reasons.items())
            ],
            "changes": [
                {"feed": feed, "entity": entity, "kind": kind, "field": path or None, "entities": len(change.entities)}
                | change.span.to_dict()
                | {"example": change.example}
                for (feed, entity, kind, path), change in sorted(self._changes.items())
            ],
            "entities": [
                {"feed": feed, "entity": entity, "kind": kind, "identity": identity}
                | known.span.to_dict()
                | {"fields": dict(sorted(known.fields.items())), "example": known.example}
                for (feed, entity, kind, identity), known in sorted(self._entities.items())
            ],
        }

    def to_markdown(self) -> str:
        """A page for a person: how many of which outcome, why, and which fields change."""
        document = self.to_dict()
        parts = [
            f"{self.differing} of {self.snapshots} snapshots would have gone out differently or not at all.",
            _table(
                ["feed", *(outcome.replace("_", " ") for outcome in OUTCOMES)],
                [
                    [feed, *(str(counts.get(outcome, 0)) for outcome in OUTCOMES)]
                    for feed, counts in document["outcomes"].items()
                ],
            ),
        ]
        if document["other_entity_ids_or_order"]:
            parts.append(
                f"Same content under other entity ids or in another order: {self._other_ids_or_order.total()}."
            )
        if document["reasons"]:
            columns = ["feed", "outcome", "reason", "snapshots", "first", "last"]
            parts.append(_table(columns, [[str(row[name]) for name in columns] for row in document["reasons"]]))
        if document["changes"]:
            columns = ["feed", "entity", "kind", "field", "entities", "snapshots", "first", "last", "example"]
            rows = sorted(document["changes"], key=lambda row: -row["entities"])
            parts.append(_table(columns, [[str(row[name] or "") for name in columns] for row in rows]))
        for label, used in document["schedules"].items():
            if used != label:
                parts.append(f"The schedule {escaped(label)} is gone; {escaped(used)} stood for it.")
        return "\n\n".join(parts)


def _extend(span: _Span, at: datetime) -> None:
    span.first, span.last = min(span.first, at), max(span.last, at)
    span.snapshots += 1


def _told(before: Any, after: Any) -> str:
    return f"{'not set' if before is None else before} → {'not set' if after is None else after}"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    shown = [[escaped(cell, characters=_CELL_CHARACTERS) for cell in row] for row in rows[:_ROWS_SHOWN]]
    text = "\n".join(f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *shown])
    return text + (f"\n\n… and {len(rows) - _ROWS_SHOWN} more rows" if len(rows) > _ROWS_SHOWN else "")
