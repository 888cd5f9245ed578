"""What the built-in realtime steps share: the parts of an entity, which feeds a step is about, what it reports."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import cast

from google.transit.gtfs_realtime_pb2 import FeedEntity, FeedMessage, TripDescriptor, VehicleDescriptor

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.pipeline.results import Finding, Severity
from continuous_gtfs.pipeline.step import Step, StepContext
from continuous_gtfs.realtime.feeds import TRIP_UPDATES, VEHICLE_POSITIONS, RealtimeFeeds

ALERTS = "alerts"
SCHEDULE_INDEX = "schedule_index"
"""In ``StepContext.inputs``: the published schedule's ``ScheduleIndex``, where one is published."""
PUBLISHED_TRIP_UPDATES = "published_trip_updates"
"""In ``StepContext.inputs``: the ``FeedMessage`` that is live as ``trip_updates``, where a step wants it."""

_PARTS = ("trip_update", "vehicle", "alert", "shape", "stop", "trip_modifications")


@dataclass(frozen=True)
class OnFeeds(Step[RealtimeFeeds]):
    """What the steps share that treat several feeds alike.

    Attributes:
        feeds: The feeds that the step is about. One that is not in a run is passed over.
    """

    _: KW_ONLY
    feeds: Collection[str] = (VEHICLE_POSITIONS, TRIP_UPDATES)
    name: str = ""
    files: frozenset[str] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        kind = type(self).__name__
        object.__setattr__(self, "name", self.name or kind)
        object.__setattr__(self, "feeds", unique_texts(kind, "feeds", self.feeds))
        object.__setattr__(self, "files", frozenset(self.feeds))

    def present(self, feed: RealtimeFeeds) -> list[str]:
        """The feeds of the step that are in this run."""
        return [feed_name for feed_name in self.feeds if feed_name in feed]


def unique_texts(kind: str, what: str, values: Collection[str]) -> tuple[str, ...]:
    """A parameter that is a list of texts, as a tuple in its order.

    Raises:
        StepDefinitionError: It is one text, empty, or holds a blank, something that is no text, or one twice.
    """
    if isinstance(values, str):
        raise StepDefinitionError(f"{kind}({what}={values!r}): {what} is a list of texts")
    texts = tuple(values)
    if not texts or not all(isinstance(one, str) and one.strip() for one in texts):
        raise StepDefinitionError(f"{kind}: {what} needs texts, none of them blank; it is {list(texts)!r}")
    if len(set(texts)) < len(texts):
        raise StepDefinitionError(f"{kind}: {what} names something twice: {', '.join(texts)}")
    return texts


def require_duration(kind: str, what: str, duration: timedelta, *, may_be_zero: bool = False) -> None:
    """Raises: StepDefinitionError: It is no timedelta, negative, or zero where that makes no sense."""
    if not isinstance(duration, timedelta):
        raise StepDefinitionError(f"{kind}({what}={duration!r}): write timedelta(minutes=10), say")
    if duration < timedelta() or (not duration and not may_be_zero):
        raise StepDefinitionError(f"{kind}({what}={duration!r}): it must be longer than no time")


def require_limits(kind: str, max_share: float, always_allowed: int) -> None:
    """Raises: StepDefinitionError: ``max_share`` is no share, or ``always_allowed`` no number of trips."""
    if isinstance(max_share, bool) or not isinstance(max_share, int | float) or not 0 <= max_share <= 1:
        raise StepDefinitionError(f"{kind}: max_share={max_share!r} is no share between 0 and 1")
    if isinstance(always_allowed, bool) or not isinstance(always_allowed, int) or always_allowed < 0:
        raise StepDefinitionError(f"{kind}: always_allowed={always_allowed!r} is no number of trips")


def schedule_index(kind: str, context: StepContext) -> ScheduleIndex | None:
    """The published schedule; None, with a warning, where the run has none: then the step can do nothing."""
    index = context.inputs.get(SCHEDULE_INDEX)
    if index is None:
        context.find(
            Finding("warning", "no_schedule_index", f"{kind} did nothing: this run has no index of a schedule")
        )
    return cast("ScheduleIndex | None", index)


def report_unknown_routes(context: StepContext, route_ids: Collection[str] | None, index: ScheduleIndex) -> None:
    """Tell of routes that a step is restricted to and that the schedule does not have."""
    unknown = sorted(set(route_ids or ()) - set(index.route_ids))
    report(context, "info", "routes_unknown", "route_ids that no trip of the schedule has", None, unknown)


def report(
    context: StepContext, severity: Severity, code: str, what: str, feed_name: str | None, names: Iterable[object]
) -> None:
    """A finding with the number of ``names`` before ``what``, and some of them; nothing where there is none."""
    shown = tuple(map(as_text, names))
    if shown:
        context.find(Finding(severity, code, f"{len(shown):,} {what}", feed_name, len(shown), shown))


def as_text(name: object) -> str:
    """A name as it is; protobuf hands out bytes in place of text that is not UTF-8, and takes none."""
    return name if isinstance(name, str) else repr(name)


def nothing_matched(context: StepContext, message: str) -> None:
    """What a step looked for and did not find: no fault, since a feed has it at one time and not at another."""
    context.find(Finding("info", "nothing_matched", message))


def trip_descriptors(entity: FeedEntity) -> Iterator[TripDescriptor]:
    """Every TripDescriptor of an entity, to read or to change."""
    if entity.HasField("trip_update"):
        yield entity.trip_update.trip
    if entity.HasField("vehicle") and entity.vehicle.HasField("trip"):
        yield entity.vehicle.trip
    if entity.HasField("alert"):
        for selector in entity.alert.informed_entity:
            if selector.HasField("trip"):
                yield selector.trip


def vehicle_descriptors(entity: FeedEntity) -> Iterator[VehicleDescriptor]:
    """Every VehicleDescriptor of an entity, to read or to change."""
    for part in ("vehicle", "trip_update"):
        if entity.HasField(part) and getattr(entity, part).HasField("vehicle"):
            yield getattr(entity, part).vehicle


def drop_parts(message: FeedMessage, positions: Iterable[int], *parts: str) -> None:
    """Take parts out of the entities at these positions; an entity that then says nothing goes whole."""
    for position in sorted(positions, reverse=True):
        entity = message.entity[position]
        if any(entity.HasField(other) for other in _PARTS if other not in parts):
            for part in parts:
                entity.ClearField(part)
        else:
            del message.entity[position]


def named(trip: TripDescriptor, entity: FeedEntity) -> str:
    """A trip for a finding: its id and date, or what else names the entity."""
    if not trip.trip_id:
        return f"entity {entity.id}"
    return f"{trip.trip_id} {trip.start_date}".rstrip()


def unused(wanted: str, taken: Collection[str]) -> str:
    """``wanted``, with a number where an entity has that id already."""
    found, number = wanted, 1
    while found in taken:
        number += 1
        found = f"{wanted}-{number}"
    return found
