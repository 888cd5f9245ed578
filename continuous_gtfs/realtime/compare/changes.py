"""The fields in which two messages of one type differ, each with its path and both values.

Two messages are gone through field by field. Repeated fields are paired first: the updates of a trip by stop, sets by
content, the others by position.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from continuous_gtfs.realtime.compare.contents import (
    WITHOUT_ORDER,
    content,
    is_declared_default,
    unknown_fields,
)
from continuous_gtfs.realtime.compare.identity import as_text
from continuous_gtfs.realtime.compare.report import FieldChange
from continuous_gtfs.realtime.compare.tolerances import Tolerances
from continuous_gtfs.realtime.encoding import shortest_float32

_POSITION = "transit_realtime.Position"
_STOP_TIME_UPDATE = "transit_realtime.TripUpdate.stop_time_update"
_METRES_A_DEGREE = 111_320.0
_FULL_CIRCLE = 360.0

_LIMITS = {
    "transit_realtime.FeedHeader.timestamp": "header_timestamp_s",
    "transit_realtime.VehiclePosition.timestamp": "timestamp_s",
    "transit_realtime.TripUpdate.timestamp": "timestamp_s",
    "transit_realtime.TripUpdate.delay": "prediction_s",
    "transit_realtime.TripUpdate.StopTimeEvent.time": "prediction_s",
    "transit_realtime.TripUpdate.StopTimeEvent.delay": "prediction_s",
    "transit_realtime.TripUpdate.StopTimeEvent.uncertainty": "prediction_s",
    "transit_realtime.Position.bearing": "bearing_deg",
    "transit_realtime.Position.speed": "speed_m_s",
    "transit_realtime.Position.odometer": "odometer_m",
}
"""Which tolerance is a field's; every other value is the same or is not."""


def changes(
    before: Message, after: Message, tolerances: Tolerances, *, path: str = "", without: frozenset[str] = frozenset()
) -> Iterator[FieldChange]:
    """Every field that differs beyond its tolerance, by field number, unknown fields last.

    A field that is set in one message only differs, unless it holds the default that the .proto file declares.

    Args:
        path: What to put before the paths.
        without: Names of fields that are not looked at.
    """
    if before == after:
        return
    old, new = dict(before.ListFields()), dict(after.ListFields())
    if before.DESCRIPTOR.full_name == _POSITION and _is_near(before, after, tolerances.position_m):
        without = without | {"latitude", "longitude"}
    for field in sorted(old.keys() | new.keys(), key=lambda one: one.number):
        if field.name in without:
            continue
        here = path + (f"[{field.full_name}]" if field.is_extension else field.name)
        if field.is_repeated:
            yield from _repeated(field, old.get(field, ()), new.get(field, ()), tolerances, here)
        elif field in old and field in new:
            if field.message_type is not None:
                yield from changes(old[field], new[field], tolerances, path=f"{here}.")
            elif not _is_same(field, old[field], new[field], tolerances):
                yield FieldChange(here, shown(field, old[field]), shown(field, new[field]))
        elif field in old and not is_declared_default(field, old[field]):
            yield FieldChange(here, shown(field, old[field]), None)
        elif field in new and not is_declared_default(field, new[field]):
            yield FieldChange(here, None, shown(field, new[field]))
    yield from unknown_changes(before, after, path=path)


def unknown_changes(before: Message, after: Message, *, path: str = "") -> Iterator[FieldChange]:
    """Fields of one message itself that the bindings do not know and that differ."""
    old, new = unknown_fields(before), unknown_fields(after)
    for number in sorted(old.keys() | new.keys()):
        if old.get(number) != new.get(number):
            yield FieldChange(
                f"{path}unknown field {number}", _unknown_shown(old.get(number)), _unknown_shown(new.get(number))
            )


def shown(field: FieldDescriptor, value: Any) -> Any:
    """One value as JSON has it: enums by name, bytes in base64, numbers as numbers, NaN as text."""
    if field.message_type is not None:
        return json_format.MessageToDict(value, preserving_proto_field_name=True)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        value = shortest_float32(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _unknown_shown(values: tuple[Hashable, ...] | None) -> list[str] | None:
    if values is None:
        return None
    datas = [value[1] for value in values if isinstance(value, tuple)]
    return [base64.b64encode(data).decode() if isinstance(data, bytes) else str(data) for data in datas]


def _is_same(field: FieldDescriptor, before: Any, after: Any, tolerances: Tolerances) -> bool:
    if before == after:
        return True
    if isinstance(before, float) and isinstance(after, float) and math.isnan(before) and math.isnan(after):
        return True
    name = _LIMITS.get(field.full_name)
    if name is None:
        return False
    apart = abs(before - after)
    if name == "bearing_deg" and math.isfinite(apart):
        apart = min(apart % _FULL_CIRCLE, _FULL_CIRCLE - apart % _FULL_CIRCLE)
    limit: float = getattr(tolerances, name)
    return bool(apart <= limit)


def _is_near(before: Any, after: Any, limit_m: float) -> bool:
    """Whether two positions lie within the limit; in metres on a sphere, good enough for a few of them."""
    north = (after.latitude - before.latitude) * _METRES_A_DEGREE
    east = (after.longitude - before.longitude + 180) % _FULL_CIRCLE - 180
    east *= _METRES_A_DEGREE * math.cos(math.radians(before.latitude)) if math.isfinite(before.latitude) else 1
    return math.hypot(north, east) <= limit_m


def _repeated(
    field: FieldDescriptor, before: Sequence[Any], after: Sequence[Any], tolerances: Tolerances, path: str
) -> Iterator[FieldChange]:
    message_type = field.message_type
    if message_type is None:
        if not (len(before) == len(after) and all(map(_is_value, before, after))):
            yield FieldChange(path, [shown(field, value) for value in before], [shown(field, value) for value in after])
    elif message_type.GetOptions().map_entry:
        if dict(before) != dict(after):
            yield FieldChange(path, repr(sorted(dict(before).items())), repr(sorted(dict(after).items())))
    elif field.full_name in WITHOUT_ORDER:
        yield from _set_changes(field, before, after, path)
    else:
        yield from _list_changes(field, before, after, tolerances, path)


def _is_value(before: Any, after: Any) -> bool:
    return bool(before == after) or (before != before and after != after)


def _set_changes(
    field: FieldDescriptor, before: Sequence[Message], after: Sequence[Message], path: str
) -> Iterator[FieldChange]:
    old, new = Counter(map(content, before)), Counter(map(content, after))
    gone, come = old - new, new - old
    for message in before:
        if gone[key := content(message)] > 0:
            gone[key] -= 1
            yield FieldChange(path, shown(field, message), None)
    for message in after:
        if come[key := content(message)] > 0:
            come[key] -= 1
            yield FieldChange(path, None, shown(field, message))


def _list_changes(
    field: FieldDescriptor, before: Sequence[Message], after: Sequence[Message], tolerances: Tolerances, path: str
) -> Iterator[FieldChange]:
    old, new = _labelled(field, before, after)
    for label, message in old.items():
        here = f"{path}[{label}]"
        if label in new:
            yield from changes(message, new[label], tolerances, path=f"{here}.")
        else:
            yield FieldChange(here, shown(field, message), None)
    for label, message in new.items():
        if label not in old:
            yield FieldChange(f"{path}[{label}]", None, shown(field, message))
    shared_before = [label for label in old if label in new]
    shared_after = [label for label in new if label in old]
    if shared_before != shared_after:
        yield FieldChange(f"{path} (order)", shared_before, shared_after)


def _labelled(
    field: FieldDescriptor, before: Sequence[Any], after: Sequence[Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Both lists by a label that pairs what belongs together: the stop of an update, else the position."""
    if field.full_name == _STOP_TIME_UPDATE:
        for name in ("stop_sequence", "stop_id"):
            if all(update.HasField(name) for updates in (before, after) for update in updates):
                return _by_value(before, name), _by_value(after, name)
    return {str(i): one for i, one in enumerate(before)}, {str(i): one for i, one in enumerate(after)}


def _by_value(updates: Sequence[Any], name: str) -> dict[str, Any]:
    """A trip that calls twice at a stop has a second update for it, told by a number."""
    seen: Counter[Any] = Counter()
    labelled = {}
    for update in updates:
        value = getattr(update, name)
        seen[value] += 1
        labelled[
            f"{name} {value if isinstance(value, int) else as_text(value)}"
            + (f" ({seen[value]})" if seen[value] > 1 else "")
        ] = update
    return labelled
