"""Comparison: what is said of two feeds. Plain data; how it is found is in ``feeds``, how it is told in ``text``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

Kind = Literal["removed", "added", "changed"]
KINDS: tuple[Kind, ...] = ("removed", "added", "changed")


class Level(IntEnum):
    """How much two feeds are the same; a lower level includes all that the higher ones say.

    Attributes:
        BYTES: The same bytes.
        CONTENT_AND_ORDER: Every field the same, entity ids and unknown fields included, in the same order. Fields may
            have been written in another order, which has no meaning in protobuf.
        CONTENT: The same entities within the tolerances, in any order and under any entity ids.
        UP_TO_STALE_VEHICLES: The same once stale vehicles are left out of both.
        DIFFERENT: None of these.
    """

    BYTES = 0
    CONTENT_AND_ORDER = 1
    CONTENT = 2
    UP_TO_STALE_VEHICLES = 3
    DIFFERENT = 4


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value that differs beyond its tolerance.

    Attributes:
        path: From the entity or the header, ``trip_update.stop_time_update[stop_sequence 7].arrival.time``. Unknown
            fields are ``unknown field 1001``.
        before: As JSON has it; None where the field is not set. Likewise ``after``.
    """

    path: str
    before: Any
    after: Any

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.path, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityDifference:
    """One entity that is in one feed only, or in both with different content.

    Attributes:
        kind: ``removed``, ``added`` or ``changed``.
        entity: What it is: ``trip_update``, ``vehicle``, ``alert``; several joined by ``+``.
        identity: What it was matched by, for people: ``trip 123 20240101 vehicle 7``.
        entity_id_before: Its entity id there; None where it was added.
        entity_id_after: None where it was removed.
        changes: Of one that changed, every field.
        is_stale: Whether it is a stale vehicle, in both feeds if it is in both; level 3 leaves these out.
    """

    kind: Kind
    entity: str
    identity: str
    entity_id_before: str | None = None
    entity_id_after: str | None = None
    changes: tuple[FieldChange, ...] = ()
    is_stale: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "entity": self.entity,
            "identity": self.identity,
            "entity_id_before": self.entity_id_before,
            "entity_id_after": self.entity_id_after,
            "changes": [change.to_dict() for change in self.changes],
            "is_stale": self.is_stale,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Entities of each kind. before - removed + added = after; before = same + changed + removed.

    Attributes:
        removed: Stale vehicles included; likewise ``added`` and ``changed``.
        stale: Differences that are stale vehicles.
        same: Matched and the same within the tolerances.
        other_entity_ids: Matched entities that have another entity id.
    """

    before: int
    after: int
    same: int
    removed: int
    added: int
    changed: int
    stale: int
    other_entity_ids: int

    def to_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between two feeds.

    Attributes:
        level: See ``Level``.
        header_changes: Fields of the header beyond their tolerance, and unknown fields beside it.
        differences: Every entity that differs: those removed and changed in the order of the feed before, then those
            added in the order of the feed after.
        counts: Of all entities.
        is_reordered: Whether matched entities come in another order.
    """

    level: Level
    header_changes: tuple[FieldChange, ...]
    differences: tuple[EntityDifference, ...]
    counts: Counts
    is_reordered: bool

    def of_kind(self, kind: Kind) -> tuple[EntityDifference, ...]:
        return tuple(difference for difference in self.differences if difference.kind == kind)

    def to_dict(self, *, sample: int | None = None) -> dict[str, Any]:
        """As JSON has it; the same comparison gives the same text.

        Args:
            sample: List at most so many differences of each kind; the counts stay those of all. None lists all.
        """
        listed: Iterable[EntityDifference] = self.differences
        if sample is not None:
            listed = [difference for kind in KINDS for difference in self.of_kind(kind)[:sample]]
        return {
            "level": None if self.level is Level.DIFFERENT else int(self.level),
            "level_name": self.level.name.lower(),
            "counts": self.counts.to_dict(),
            "is_reordered": self.is_reordered,
            "header_changes": [change.to_dict() for change in self.header_changes],
            "differences": [difference.to_dict() for difference in listed],
        }

    def to_text(self) -> str:
        """A summary for people, a few dozen lines at most."""
        from continuous_gtfs.realtime.compare.text import summary

        return summary(self)
