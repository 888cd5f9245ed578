"""Entities that have an id more than once: what consumers keep of them is kept, and what is dropped is told.

``FeedEntity.id`` is unique within a feed (reference.md, FeedEntity). Consumers that read entities into a map by id keep
the last one; which one others keep, nobody can say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from operator import attrgetter

from google.transit.gtfs_realtime_pb2 import FeedEntity

from continuous_gtfs.pipeline.results import SAMPLE_SIZE
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.guards.result import GuardResult, percent

UNIQUE_IDS = "entity_ids_are_unique"

_CONTENTS = tuple(
    field.name for field in FeedEntity.DESCRIPTOR.fields if field.message_type is not None and not field.is_repeated
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """What a feed lost because a later entity has the same id.

    Attributes:
        dropped: Entities.
        differing: How many of them said something else than the one that was kept.
        entities: In the feed before.
        ids: The ids, each once, in the feed's order; at most ``SAMPLE_SIZE``.
    """

    dropped: int = 0
    differing: int = 0
    entities: int = 0
    ids: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        named = ", ".join(map(repr, self.ids))
        return (
            f"{self.dropped} of {self.entities} entities dropped, as a later one has their id "
            f"({self.differing} said something else): {named}"
        )


def drop_duplicate_entities(feeds: RealtimeFeeds, name: str) -> Duplicates:
    """Keeps, of the entities of one id, the last; the order of the others stays.

    An entity is dropped only for a later one that says all it is about: a vehicle is not dropped for a trip update of
    the same id. A later one that is deleted and says nothing stands for all, and stays, as the vendor's word.
    """
    message = feeds.message(name)
    ids = list(map(attrgetter("id"), message.entity))
    if len(set(ids)) == len(ids):
        return Duplicates(entities=len(ids))
    seen = Counter(ids)
    later: dict[str, list[FeedEntity]] = {}
    dropped: list[int] = []
    differing = 0
    for position in range(len(message.entity) - 1, -1, -1):
        entity = message.entity[position]
        if seen[entity.id] == 1:
            continue
        kept = later.setdefault(entity.id, [])
        heir = next((each for each in kept if _replaces(each, entity)), None)
        if heir is None:
            kept.append(entity)
        else:
            dropped.append(position)
            differing += heir != entity
    found = Duplicates(
        dropped=len(dropped),
        differing=differing,
        entities=len(message.entity),
        ids=tuple(dict.fromkeys(message.entity[position].id for position in reversed(dropped)))[:SAMPLE_SIZE],
    )
    if dropped:
        entities = feeds.edit(name).entity
        for position in dropped:
            del entities[position]
    return found


def entity_ids_are_unique(duplicates: Duplicates, *, max_percent: float | None, least_count: int) -> GuardResult:
    """Whether so few entities were dropped that the rest is still the feed. A vendor that gives one id to all loses all
    of them but one.

    Args:
        duplicates: What was dropped.
        max_percent: None: any number.
        least_count: So many must have been dropped.
    """
    share = percent(duplicates.dropped, duplicates.entities)
    limit = "" if max_percent is None else f"; at most {max_percent:g} % may be, or fewer than {least_count}"
    return GuardResult(
        guard=UNIQUE_IDS,
        passed=max_percent is None or share <= max_percent or duplicates.dropped < least_count,
        value=share,
        threshold=max_percent,
        unit="%",
        message=duplicates.told + limit if duplicates.dropped else "no entity is there twice",
    )


def _replaces(later: FeedEntity, earlier: FeedEntity) -> bool:
    """Whether all that ``earlier`` is about is said by ``later``."""
    contents = _contents(later)
    return _contents(earlier) <= contents or (later.is_deleted and not contents)


def _contents(entity: FeedEntity) -> set[str]:
    return {name for name in _CONTENTS if entity.HasField(name)}
