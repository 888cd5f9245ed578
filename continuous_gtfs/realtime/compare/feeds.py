"""Comparing two realtime feeds: at which level they are the same, and where they are not."""

from __future__ import annotations

from itertools import pairwise

from google.protobuf.message import Message
from google.transit.gtfs_realtime_pb2 import FeedEntity, FeedHeader, FeedMessage

from continuous_gtfs.realtime.compare.changes import changes, unknown_changes
from continuous_gtfs.realtime.compare.identity import as_text, identify
from continuous_gtfs.realtime.compare.pairing import Pairing, pair_entities
from continuous_gtfs.realtime.compare.report import (
    Comparison,
    Counts,
    EntityDifference,
    FieldChange,
    Kind,
    Level,
)
from continuous_gtfs.realtime.compare.tolerances import DEFAULT, Tolerances
from continuous_gtfs.realtime.messages import header_timestamp


def compare_feeds(
    before: FeedMessage,
    after: FeedMessage,
    *,
    tolerances: Tolerances = DEFAULT,
    bodies: tuple[bytes, bytes] | None = None,
) -> Comparison:
    """What differs between two feeds, and how much of it matters; see ``Level``.

    Entities are matched by what identifies them and never by entity id, see ``pairing``. Other entity ids alone leave
    level 2: they are content, so levels 0 and 1 are lost, but nobody may rely on them from one feed to the next. In a
    DIFFERENTIAL feed, where they say which entity is replaced, another id is a change.

    Args:
        bodies: The bytes that the two were read from. Without them, messages that are written alike here are taken to
            have the same bytes, so that there is no level 1.
    """
    ids_matter = FeedHeader.DIFFERENTIAL in (before.header.incrementality, after.header.incrementality)
    header_changes = (
        *changes(before.header, after.header, tolerances, path="header."),
        *unknown_changes(before, after),
    )
    pairing = pair_entities(before, after)
    differences = _differences(before, after, pairing, tolerances, ids_matter)
    pairs = sorted(pairing.same + pairing.changed)
    counts = Counts(
        before=len(before.entity),
        after=len(after.entity),
        same=len(pairs) - sum(one.kind == "changed" for one in differences),
        removed=len(pairing.removed),
        added=len(pairing.added),
        changed=sum(one.kind == "changed" for one in differences),
        stale=sum(one.is_stale for one in differences),
        other_entity_ids=sum(before.entity[old].id != after.entity[new].id for old, new in pairs),
    )
    return Comparison(
        level=_level(before, after, bodies, header_changes, differences),
        header_changes=header_changes,
        differences=differences,
        counts=counts,
        is_reordered=any(first[1] > second[1] for first, second in pairwise(pairs)),
    )


def _level(
    before: FeedMessage,
    after: FeedMessage,
    bodies: tuple[bytes, bytes] | None,
    header_changes: tuple[FieldChange, ...],
    differences: tuple[EntityDifference, ...],
) -> Level:
    if bodies is not None and bodies[0] == bodies[1]:
        return Level.BYTES
    if _written(before) == _written(after):
        return Level.BYTES if bodies is None else Level.CONTENT_AND_ORDER
    if header_changes or not all(one.is_stale for one in differences):
        return Level.DIFFERENT
    return Level.UP_TO_STALE_VEHICLES if differences else Level.CONTENT


def _differences(
    before: FeedMessage, after: FeedMessage, pairing: Pairing, tolerances: Tolerances, ids_matter: bool
) -> tuple[EntityDifference, ...]:
    def is_stale(entity: FeedEntity, feed: FeedMessage) -> bool:
        """Whether it is a vehicle that is much older than its feed; False where nobody can tell."""
        made_at, measured_at = header_timestamp(feed), entity.vehicle.timestamp
        if entity.HasField("trip_update") or made_at is None or not measured_at:
            return False
        return bool(made_at - measured_at > tolerances.stale_after_s)

    pairs = pairing.changed
    if ids_matter:
        pairs += tuple(pair for pair in pairing.same if before.entity[pair[0]].id != after.entity[pair[1]].id)
    found: dict[int, EntityDifference] = {}
    without = frozenset() if ids_matter else frozenset({"id"})
    for position, partner in pairs:
        old, new = before.entity[position], after.entity[partner]
        if changed := tuple(changes(old, new, tolerances, without=without)):
            is_old = is_stale(old, before) and is_stale(new, after)
            found[position] = _difference("changed", old, (old.id, new.id), is_old, changed)
    for position in pairing.removed:
        entity = before.entity[position]
        found[position] = _difference("removed", entity, (entity.id, None), is_stale(entity, before))
    added = [
        _difference("added", entity, (None, entity.id), is_stale(entity, after))
        for entity in map(after.entity.__getitem__, pairing.added)
    ]
    return (*(found[position] for position in sorted(found)), *added)


def _difference(
    kind: Kind,
    entity: FeedEntity,
    ids: tuple[str | None, str | None],
    is_stale: bool,
    changed: tuple[FieldChange, ...] = (),
) -> EntityDifference:
    identity = identify(entity)
    return EntityDifference(
        kind=kind,
        entity=identity.payload or "entity",
        identity=identity.text,
        entity_id_before=None if ids[0] is None else as_text(ids[0]),
        entity_id_after=None if ids[1] is None else as_text(ids[1]),
        changes=changed,
        is_stale=is_stale,
    )


def _written(message: Message) -> bytes:
    return message.SerializePartialToString(deterministic=True)
