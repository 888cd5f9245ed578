"""CombineFeeds: one feed of the feeds of several vendors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import Literal

from google.transit.gtfs_realtime_pb2 import FeedEntity, FeedHeader, FeedMessage

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import Step, StepContext
from continuous_gtfs.realtime.builtin.entities import (
    report,
    require_duration,
    trip_descriptors,
    unique_texts,
    unused,
)
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.messages import header_timestamp

_COLLISIONS = ("rename", "report")
_TIMESTAMPS = ("oldest", "newest")


@dataclass(frozen=True)
class CombineFeeds(Step[RealtimeFeeds]):
    """Appends the entities of other feeds to one, source after source, in the order of each.

    Two vendors can give the same entity id to different things. No entity is lost by that: the later one gets an id
    with the name of its feed behind it, and what its own feed says of that id (an alert that a modification names, the
    modification that a trip follows) goes with it. The same entity under the same id from two feeds is kept once. An
    id that comes twice in one feed is that vendor's fault and stays as it is.

    The sources stay as they are.

    Attributes:
        into: The feed that is changed. Its own entities come first, unless ``sources`` names it at another place.
        sources: The feeds to append.
        on_collision: ``rename`` as said; ``report`` leaves both ids as they are and warns, for an agency whose next
            step settles it: of two entities with one id only the later is published.
        timestamp: Of the header, which says how old the content is: the ``oldest`` of the sources that were used, so
            that the one vendor who still sends does not make the other's old data look fresh. ``newest`` if an old
            source must not make consumers drop the others.
        max_source_age: A source whose header is older than this by the clock of the run, or has no timestamp, is left
            out, with a warning. None takes each as it is. ``into`` itself is always used. The default is less than the
            guards' ``header_age_s``, so that a source that stands still is left out before it stops ``into`` too;
            change them together.
    """

    into: str
    _: KW_ONLY
    sources: Collection[str]
    on_collision: Literal["rename", "report"] = "rename"
    timestamp: Literal["oldest", "newest"] = "oldest"
    max_source_age: timedelta | None = timedelta(seconds=75)
    name: str = "CombineFeeds"
    files: frozenset[str] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.into, str) or not self.into.strip():
            raise StepDefinitionError(f"CombineFeeds: into={self.into!r} is no name of a feed")
        object.__setattr__(self, "sources", unique_texts("CombineFeeds", "sources", self.sources))
        if set(self.sources) == {self.into}:
            raise StepDefinitionError(f"CombineFeeds: {self.into} alone is combined already; name other sources")
        if self.on_collision not in _COLLISIONS:
            raise StepDefinitionError(f"CombineFeeds: on_collision={self.on_collision!r}; say rename or report")
        if self.timestamp not in _TIMESTAMPS:
            raise StepDefinitionError(f"CombineFeeds: timestamp={self.timestamp!r}; say oldest or newest")
        if self.max_source_age is not None:
            require_duration("CombineFeeds", "max_source_age", self.max_source_age)
        object.__setattr__(self, "files", frozenset({self.into}))

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        if self.into not in feed:
            context.find(Finding("warning", "feed_missing", f"this run has no {self.into} to combine into", self.into))
            return
        order = tuple(self.sources) if self.into in self.sources else (self.into, *self.sources)
        sources = {name: feed.message(name) for name in order if self._is_usable(name, feed, context)}
        if set(sources) == {self.into}:
            return
        ids = _Ids(sources, self.on_collision)
        combined = feed.edit(self.into)
        del combined.entity[:]
        for name, message in sources.items():
            renamed = ids.settle(name)
            appended: list[str] = []
            for entity in message.entity:
                if not ids.is_repeated(name, entity):
                    added = combined.entity.add()
                    added.CopyFrom(entity)
                    _rename(added, renamed)
                    appended.append(added.id)
            if name != self.into:
                report(context, "info", "entities_combined", f"entities of {name} appended", self.into, appended)
        ids.tell(self.into, context)
        timestamps = [found for message in sources.values() if (found := header_timestamp(message)) is not None]
        if timestamps:
            combined.header.timestamp = min(timestamps) if self.timestamp == "oldest" else max(timestamps)

    def _is_usable(self, name: str, feed: RealtimeFeeds, context: StepContext) -> bool:
        if name not in feed:
            context.find(Finding("warning", "source_missing", f"this run has no {name}: combined without it", name))
            return False
        header = feed.header(name)
        if header.incrementality == FeedHeader.DIFFERENTIAL:
            message = f"{name} is DIFFERENTIAL, a list of changes: it cannot be combined with whole feeds"
            context.find(Finding("error", "source_differential", message, name))
            return False
        if self.max_source_age is None or name == self.into:
            return True
        age_s = context.now.timestamp() - header.timestamp if header.timestamp else None
        if age_s is not None and age_s <= self.max_source_age.total_seconds():
            return True
        told = "has no timestamp" if age_s is None else f"is {age_s:.0f} s old"
        message = f"{name} {told}, more than {self.max_source_age.total_seconds():g} s: combined without it"
        context.find(Finding("warning", "source_too_old", message, name))
        return False


def sources_of(steps: Iterable[Step[RealtimeFeeds]], into: str) -> frozenset[str]:
    """The other feeds that steps append to a feed."""
    combining = (step for step in steps if isinstance(step, CombineFeeds) and step.into == into)
    return frozenset(source for step in combining for source in step.sources) - {into}


class _Ids:
    """Which feed had an entity id first, and what becomes of those that come later."""

    def __init__(self, sources: Mapping[str, FeedMessage], on_collision: str) -> None:
        self._sources = sources
        self._on_collision = on_collision
        self._taken = {entity.id for message in sources.values() for entity in message.entity}
        self._first: dict[str, tuple[str, bytes]] = {}
        self._repeated: set[tuple[str, str]] = set()
        self._collisions: list[str] = []

    def settle(self, source: str) -> dict[str, str]:
        """New ids by old, of a source's entities that another feed's are in the way of."""
        renamed: dict[str, str] = {}
        held: dict[str, tuple[str, bytes]] = {}
        for entity in self._sources[source].entity:
            content = _bytes(entity)
            first = self._first.get(entity.id)
            if first is None:
                held.setdefault(entity.id, (source, content))
            elif first[1] == content and entity.id not in renamed:
                self._repeated.add((source, entity.id))
            elif entity.id not in renamed:
                self._repeated.discard((source, entity.id))
                renamed[entity.id] = self._other_id(entity.id, source)
        self._first |= held
        return renamed if self._on_collision == "rename" else {}

    def is_repeated(self, source: str, entity: FeedEntity) -> bool:
        """Whether an earlier feed has brought this very entity."""
        return (source, entity.id) in self._repeated

    def tell(self, into: str, context: StepContext) -> None:
        repeated = [f"{entity_id} of {source}" for source, entity_id in sorted(self._repeated, key=repr)]
        report(context, "info", "entities_repeated", "entities that an earlier feed has too, kept once", into, repeated)
        if self._on_collision == "rename":
            what = "entities renamed, since an earlier feed has another one of the same id"
            report(context, "info", "entities_renamed", what, into, self._collisions)
        else:
            what = "entity ids are those of different entities of two feeds"
            report(context, "warning", "entity_ids_collide", what, into, self._collisions)

    def _other_id(self, entity_id: str, source: str) -> str:
        other = unused(f"{entity_id}-{source}", self._taken)
        self._taken.add(other)
        self._collisions.append(f"{entity_id} to {other}" if self._on_collision == "rename" else entity_id)
        return other


def _rename(entity: FeedEntity, renamed: Mapping[str, str]) -> None:
    """The id of an entity, and the ids by which it refers to others of its feed."""
    if not renamed:
        return
    for holder, name in ((entity, "id"), *_references(entity)):
        if getattr(holder, name) in renamed:
            setattr(holder, name, renamed[getattr(holder, name)])


def _references(entity: FeedEntity) -> Iterator[tuple[object, str]]:
    for trip in trip_descriptors(entity):
        if trip.HasField("modified_trip"):
            yield trip.modified_trip, "modifications_id"
    if entity.HasField("trip_modifications"):
        for modification in entity.trip_modifications.modifications:
            if modification.HasField("service_alert_id"):
                yield modification, "service_alert_id"


def _bytes(entity: FeedEntity) -> bytes:
    # Comparing messages would leave out what the bindings do not know.
    content: bytes = entity.SerializeToString(deterministic=True)
    return content
