"""The guards that count entities: an empty feed and one that has lost many, while the schedule has trips running."""

from __future__ import annotations

from operator import attrgetter

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.realtime.guards.result import GuardResult, not_asked, percent

HAS_ENTITIES = "has_entities_while_trips_run"
FALL = "does_not_lose_entities"


def entity_count(message: FeedMessage) -> int:
    """Entities that say something; one marked as deleted says that there is nothing."""
    deleted: int = sum(map(attrgetter("is_deleted"), message.entity))
    return len(message.entity) - deleted


def has_entities(entities: int, *, live_entities: int | None, trips_running: int | None) -> GuardResult:
    """Whether the feed has an entity, or has none for a good reason.

    Args:
        entities: In the feed, see ``entity_count``.
        live_entities: In what is live now; None where nothing is.
        trips_running: By the published schedule, now; None where there is no schedule to ask. At night, with 0
            running, an empty feed is the truth.
    """
    if trips_running is None:
        is_empty_fine = not live_entities
        reason = f"no schedule says whether trips run, and the feed that is live has {live_entities or 'no'} entities"
    else:
        is_empty_fine = trips_running == 0
        reason = f"by the published schedule {trips_running or 'no'} trips run now"
    return GuardResult(
        guard=HAS_ENTITIES,
        passed=entities > 0 or is_empty_fine,
        value=entities,
        threshold=0 if is_empty_fine else 1,
        unit="entities",
        message=f"the feed has {entities or 'no'} entities; {reason}",
    )


def does_not_lose_entities(
    entities: int,
    *,
    live_entities: int | None,
    trips_then: int | None,
    trips_now: int | None,
    since_live_s: float | None,
    max_fall_percent: float,
    held_s: float | None,
    least_count: int,
) -> GuardResult:
    """Whether the feed has about as many entities as what is live, less what the schedule lets end.

    As fewer trips run, fewer entities are expected, in proportion: a late evening is no fall. More are never expected.

    A fall that lasts is taken as true, and needs no memory for it: as long as it is refused, what is live stands still,
    so the two headers grow apart. After ``held_s`` consumers have dropped what is live for its age anyway.

    Args:
        entities: In the feed, see ``entity_count``.
        live_entities: In what is live; None where nothing is.
        trips_then: Trips running, by the schedule published now, at the header time of what is live.
        trips_now: Trips running now; None, likewise ``trips_then``, where there is no schedule to ask.
        since_live_s: From the header of what is live to the feed's own; None where one has none.
        max_fall_percent: Of the entities expected.
        held_s: After so long a fall is taken as true; None: never.
        least_count: So many must be missing.
    """
    if not live_entities:
        return not_asked(FALL, "%", max_fall_percent, "what is live has no entities")
    if trips_now == 0:
        return not_asked(FALL, "%", max_fall_percent, "by the published schedule no trips run now")
    if since_live_s is not None and held_s is not None and since_live_s > held_s:
        reason = f"what is live is {since_live_s:.0f} s older, and after {held_s:g} s a fall is taken as true"
        return not_asked(FALL, "%", max_fall_percent, reason)
    expected: float = live_entities
    told = f"what is live has {live_entities}"
    if trips_now is not None and trips_then:
        expected *= min(1.0, trips_now / trips_then)
        told += f", and {trips_now} trips run by the schedule where {trips_then} ran then"
    lost = max(0.0, expected - entities)
    fall = percent(lost, expected)
    return GuardResult(
        guard=FALL,
        passed=fall <= max_fall_percent or lost < least_count,
        value=fall,
        threshold=max_fall_percent,
        unit="%",
        message=(
            f"the feed has {entities} entities; {told}: {fall:g} % fewer than expected; at most {max_fall_percent:g} % "
            f"may be missing, or fewer than {least_count}"
        ),
    )
