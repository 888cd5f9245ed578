"""Which entity of one feed is which of the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.transit.gtfs_realtime_pb2 import FeedEntity, FeedMessage

from continuous_gtfs.realtime.compare.identity import Identity, Trip, identify


@dataclass(frozen=True, slots=True)
class Pairing:
    """Positions in the two feeds. Every entity is in one pair or left on its own side.

    Attributes:
        same: Pairs of which the content has the same bytes, the entity id aside.
        changed: Pairs that are the same entity with other bytes, by position before.
        removed: Positions before.
        added: Positions after.
    """

    same: tuple[tuple[int, int], ...]
    changed: tuple[tuple[int, int], ...]
    removed: tuple[int, ...]
    added: tuple[int, ...]


def pair_entities(before: FeedMessage, after: FeedMessage) -> Pairing:
    """Pair the entities of two feeds, the surest first.

    1. The same content, whatever the entity id: one for one, so that a dropped duplicate is left over.
    2. All that identifies them is the same, likewise one for one and in their order.
    3. A wider key, of those that are the only one of their feed to have it.
    4. The same trip_id, where one side does not say on which day or at what time, again of the only ones.
    """
    same = tuple(_equal(_contents(before.entity), _contents(after.entity)))
    left_before = _without(range(len(before.entity)), (pair[0] for pair in same))
    left_after = _without(range(len(after.entity)), (pair[1] for pair in same))
    old = {position: identify(before.entity[position]) for position in left_before}
    new = {position: identify(after.entity[position]) for position in left_after}
    changed: list[tuple[int, int]] = []
    for stage in range(max((len(one.keys) for one in (*old.values(), *new.values())), default=0)):
        pairs = _by_key(old, new, left_before, left_after, stage)
        changed += pairs
        left_before = _without(left_before, (pair[0] for pair in pairs))
        left_after = _without(left_after, (pair[1] for pair in pairs))
    pairs = _by_trip_id(old, new, left_before, left_after)
    changed += pairs
    return Pairing(
        same,
        tuple(sorted(changed)),
        tuple(_without(left_before, (pair[0] for pair in pairs))),
        tuple(_without(left_after, (pair[1] for pair in pairs))),
    )


def _contents(entities: Iterable[FeedEntity]) -> dict[int, Hashable]:
    return {position: _without_id(entity) for position, entity in enumerate(entities)}


def _without_id(entity: FeedEntity) -> bytes:
    """The bytes of an entity behind its id, field 1, which is written first; all of them where there are no others."""
    written: bytes = entity.SerializePartialToString(deterministic=True)
    if not entity.HasField("id"):
        return written
    # Protobuf hands out bytes in place of text that is not UTF-8.
    length = len(entity.id.encode() if isinstance(entity.id, str) else entity.id)
    # A length takes a byte for each seven bits, a tag one byte.
    return written[1 + max(1, -(-length.bit_length() // 7)) + length :] or written


def _equal(before: dict[int, Hashable], after: dict[int, Hashable]) -> Iterator[tuple[int, int]]:
    """Positions with the same key, one for one in their order."""
    positions: dict[Hashable, list[int]] = defaultdict(list)
    for position in reversed(after):
        positions[after[position]].append(position)
    for position, key in before.items():
        if partners := positions.get(key):
            yield position, partners.pop()


def _by_key(
    old: dict[int, Identity], new: dict[int, Identity], before: Sequence[int], after: Sequence[int], stage: int
) -> list[tuple[int, int]]:
    keys_before, keys_after = _keys(old, before, stage), _keys(new, after, stage)
    if stage > 0:
        keys_before, keys_after = _only_ones(keys_before), _only_ones(keys_after)
    return list(_equal(keys_before, keys_after))


def _keys(identities: dict[int, Identity], positions: Sequence[int], stage: int) -> dict[int, Hashable]:
    found: dict[int, Hashable] = {}
    for position in positions:
        identity = identities[position]
        if stage < len(identity.keys) and identity.keys[stage] is not None:
            found[position] = (identity.payload, identity.keys[stage])
    return found


def _only_ones(keys: dict[int, Hashable]) -> dict[int, Hashable]:
    holders: dict[Hashable, list[int]] = defaultdict(list)
    for position, key in keys.items():
        holders[key].append(position)
    return {position: key for key, (position, *others) in holders.items() if not others}


def _by_trip_id(
    old: dict[int, Identity], new: dict[int, Identity], before: Sequence[int], after: Sequence[int]
) -> list[tuple[int, int]]:
    def trips(identities: dict[int, Identity], positions: Sequence[int]) -> dict[int, Hashable]:
        found: dict[int, Hashable] = {}
        for position in positions:
            payload, trip = identities[position].payload, identities[position].trip
            if trip is not None and trip.trip_id:
                found[position] = (payload, trip.trip_id, trip.is_extra)
        return _only_ones(found)

    pairs = _equal(trips(old, before), trips(new, after))
    return [(one, other) for one, other in pairs if _may_be_same_run(old[one].trip, new[other].trip)]


def _may_be_same_run(before: Trip | None, after: Trip | None) -> bool:
    if before is None or after is None:
        return False
    values = zip((before.start_date, before.start_time), (after.start_date, after.start_time), strict=True)
    return all(old == new or not (old and new) for old, new in values)


def _without(positions: Iterable[int], taken: Iterable[int]) -> list[int]:
    gone = set(taken)
    return [position for position in positions if position not in gone]
