"""RenameVehicles and RewriteTripIds: other names for the same vehicles and trips, in every feed at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from google.transit.gtfs_realtime_pb2 import FeedEntity

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import StepContext
from continuous_gtfs.realtime.builtin.entities import (
    ALERTS,
    OnFeeds,
    nothing_matched,
    report,
    trip_descriptors,
    unique_texts,
    vehicle_descriptors,
)
from continuous_gtfs.realtime.feeds import TRIP_UPDATES, VEHICLE_POSITIONS, RealtimeFeeds

Place = tuple[Any, str | int]
"""Where a text stands: a message and the name of its field, or a repeated field and a position in it."""
_VEHICLE_FIELDS = ("id", "label")


@dataclass(frozen=True)
class RenameVehicles(OnFeeds):
    """Gives vehicles other ids and labels, wherever a feed describes a vehicle. A blank one stays blank.

    Give one of ``prefix``, ``mapping`` and ``pattern`` with ``replacement``.

    Attributes:
        prefix: Put before each.
        mapping: New by old; what is not in it stays.
        pattern: A regular expression, every match of which is replaced (``re.sub``: anchor it with ``^`` and ``$``).
        replacement: What takes its place; ``\\1`` is the first group.
        fields: ``id``, ``label`` or both.

    Two vehicles that have the same id afterwards are a warning: consumers take them for one.
    """

    prefix: str | None = None
    _: KW_ONLY
    mapping: Mapping[str, str] | None = None
    pattern: str | None = None
    replacement: str | None = None
    fields: Collection[str] = _VEHICLE_FIELDS

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(given is not None for given in (self.prefix, self.mapping, self.pattern)) != 1:
            raise StepDefinitionError("RenameVehicles: give one of prefix, mapping and pattern with replacement")
        if self.prefix is not None and (not isinstance(self.prefix, str) or not self.prefix):
            raise StepDefinitionError(f"RenameVehicles: prefix={self.prefix!r} is no text or empty")
        if (self.pattern is None) != (self.replacement is None):
            raise StepDefinitionError("RenameVehicles: pattern and replacement come together")
        if self.pattern is not None and self.replacement is not None:
            _require_substitution("RenameVehicles", self.pattern, self.replacement)
        if self.mapping is not None:
            pairs = [text for pair in self.mapping.items() for text in pair]
            if not pairs or not all(isinstance(text, str) and text.strip() for text in pairs):
                raise StepDefinitionError("RenameVehicles: mapping needs texts by texts, none of them blank")
            # Its order is none, so neither is the hash's.
            object.__setattr__(self, "mapping", dict(sorted(self.mapping.items())))
        object.__setattr__(self, "fields", unique_texts("RenameVehicles", "fields", self.fields))
        unknown = [name for name in self.fields if name not in _VEHICLE_FIELDS]
        if unknown:
            raise StepDefinitionError(f"RenameVehicles: fields are {', '.join(_VEHICLE_FIELDS)}, not {unknown[0]}")

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        for name in self.fields:

            def places(entity: FeedEntity, name: str = name) -> Iterator[Place]:
                return ((vehicle, name) for vehicle in vehicle_descriptors(entity))

            renamed = _rewrite(self, feed, context, places, self._renamed, f"vehicle {name}s", f"vehicle_{name}s")
            if name == "id":
                _report_shared(context, "vehicle ids", renamed)
            if self.mapping is not None and renamed:
                unmatched = [old for old in self.mapping if old not in renamed]
                what = f"names of the mapping that no vehicle has as its {name}"
                report(context, "info", "mapping_unmatched", what, None, unmatched)

    def _renamed(self, old: str) -> str:
        if self.prefix is not None:
            return self.prefix + old
        if self.mapping is not None:
            return self.mapping.get(old, old)
        return re.sub(self.pattern or "", self.replacement or "", old)


@dataclass(frozen=True)
class RewriteTripIds(OnFeeds):
    """Changes trip_ids by a regular expression in every place where a feed names a trip.

    That is the trip of an update, of a vehicle and of what an alert is about, the trip that a modified one was made
    of, the id that a duplicated trip is given, and the trips that trip modifications select.

    Attributes:
        pattern: Every match in a trip_id is replaced (``re.sub``: anchor it with ``^`` and ``$``).
        replacement: What takes its place; ``\\1`` is the first group.

    Two trip_ids that become one are a warning: which of the two is meant can then not be told. That nothing would be
    left of one fails the step.
    """

    pattern: str
    replacement: str
    _: KW_ONLY
    feeds: Collection[str] = (VEHICLE_POSITIONS, TRIP_UPDATES, ALERTS)

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_substitution("RewriteTripIds", self.pattern, self.replacement)

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        pattern = re.compile(self.pattern)
        renamed = _rewrite(
            self, feed, context, _trip_id_places, lambda old: pattern.sub(self.replacement, old), "trip_ids", "trip_ids"
        )
        _report_shared(context, "trip_ids", renamed)


def _trip_id_places(entity: FeedEntity) -> Iterator[Place]:
    for trip in trip_descriptors(entity):
        yield trip, "trip_id"
        if trip.HasField("modified_trip"):
            yield trip.modified_trip, "affected_trip_id"
    if entity.HasField("trip_update") and entity.trip_update.HasField("trip_properties"):
        yield entity.trip_update.trip_properties, "trip_id"
    if entity.HasField("trip_modifications"):
        for selected in entity.trip_modifications.selected_trips:
            for position in range(len(selected.trip_ids)):
                yield selected.trip_ids, position


def _rewrite(
    step: OnFeeds,
    feed: RealtimeFeeds,
    context: StepContext,
    places: Callable[[FeedEntity], Iterator[Place]],
    new_of: Callable[[str], str],
    what: str,
    code: str,
) -> dict[str, str]:
    """Rewrites the texts in places and reports how many; a blank is no name, and stays.

    Returns:
        The new text by the old one, of all that there are, those that stay the same included.
    """
    renamed: dict[str, str] = {}
    changed: dict[str, list[int]] = {}
    for feed_name in step.present(feed):
        for position, entity in enumerate(feed.message(feed_name).entity):
            found = [old for place in places(entity) if (old := _text(place))]
            for old in found:
                if old not in renamed:
                    renamed[old] = new_of(old)
            if any(renamed[old] != old for old in found):
                changed.setdefault(feed_name, []).append(position)
    blank = [old for old, new in renamed.items() if not new.strip()]
    if blank:
        report(context, "error", f"{code}_blank", f"{what} of which nothing would be left", None, blank)
        return {}
    for feed_name, positions in changed.items():
        entities = feed.edit(feed_name).entity
        told: list[str] = []
        for position in positions:
            for place in list(places(entities[position])):
                old = _text(place)
                if old and renamed[old] != old:
                    _set(place, renamed[old])
                    told.append(f"{old} to {renamed[old]}")
        report(context, "info", f"{code}_rewritten", f"{what} rewritten", feed_name, told)
    if not changed:
        nothing_matched(context, f"none of {len(renamed):,} {what} has another name after {step.name}")
    return renamed


def _text(place: Place) -> str:
    holder, at = place
    value = holder[at] if isinstance(at, int) else getattr(holder, at)
    # Protobuf hands out bytes in place of text that is not UTF-8: no pattern can be held against them.
    return value if isinstance(value, str) else ""


def _set(place: Place, text: str) -> None:
    holder, at = place
    if isinstance(at, int):
        holder[at] = text
    else:
        setattr(holder, at, text)


def _report_shared(context: StepContext, what: str, renamed: Mapping[str, str]) -> None:
    """Names that several had not before and have now."""
    olds: dict[str, list[str]] = {}
    for old, new in renamed.items():
        olds.setdefault(new, []).append(old)
    shared = [f"{new} (from {', '.join(several)})" for new, several in olds.items() if len(several) > 1]
    if shared:
        message = f"{len(shared):,} {what} are now those of two or more"
        context.find(Finding("warning", "ids_now_shared", message, None, len(shared), tuple(shared)))


def _require_substitution(kind: str, pattern: str, replacement: str) -> None:
    try:
        re.sub(pattern, replacement, "")
    except (re.error, IndexError, TypeError) as error:
        raise StepDefinitionError(f"{kind}: {pattern!r} to {replacement!r}: {error}") from None
