"""What a message says, whatever its form: declared defaults count as absent, sets have no order, unknown fields count.

The content of a message is a tuple that can be compared and hashed. ``changes`` goes through two messages field by
field; this is for what has to be found, or paired, as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

WITHOUT_ORDER = frozenset(
    {
        "transit_realtime.Alert.active_period",
        "transit_realtime.Alert.informed_entity",
        "transit_realtime.TranslatedString.translation",
        "transit_realtime.TranslatedImage.localized_image",
    }
)
"""Repeated fields that the spec has as sets. The order of every other one has a meaning."""

NAN = "NaN"


def content(message: Message) -> Hashable:
    """All that a message says. Equal messages have equal contents, also where a number in them is NaN."""
    return (
        tuple((field.full_name, _field_content(field, value)) for field, value in said_fields(message).items()),
        tuple(unknown_fields(message).items()),
    )


def said_fields(message: Message) -> dict[FieldDescriptor, Any]:
    """The fields that are set, by number, without those set to the default that the .proto file declares for them.

    ``is_deleted: false`` says what its absence says. ``delay: 0`` does not: no default is declared for it.
    """
    return {field: value for field, value in message.ListFields() if not is_declared_default(field, value)}


def is_declared_default(field: FieldDescriptor, value: Any) -> bool:
    return not field.is_repeated and field.has_default_value and value == field.default_value


def unknown_fields(message: Message) -> dict[int, tuple[Hashable, ...]]:
    """What the bindings do not know, by number and then as it came; of other numbers the order has no meaning."""
    found: dict[int, tuple[Hashable, ...]] = {}
    for field in _each(UnknownFieldSet(message)):
        found[field.field_number] = (*found.get(field.field_number, ()), (field.wire_type, _unknown(field.data)))
    return dict(sorted(found.items()))


def _each(fields: UnknownFieldSet) -> Iterator[Any]:
    return map(fields.__getitem__, range(len(fields)))


def _unknown(data: Any) -> Hashable:
    if isinstance(data, UnknownFieldSet):
        return tuple((field.field_number, field.wire_type, _unknown(field.data)) for field in _each(data))
    value: Hashable = data
    return value


def _field_content(field: FieldDescriptor, value: Any) -> Hashable:
    if not field.is_repeated:
        return _value_content(field, value)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return value.__class__.__name__, repr(sorted(value.items(), key=repr))
    contents = [_value_content(field, each) for each in value]
    return tuple(sorted(contents, key=repr) if field.full_name in WITHOUT_ORDER else contents)


def _value_content(field: FieldDescriptor, value: Any) -> Hashable:
    if field.message_type is not None:
        return content(value)
    if isinstance(value, float) and math.isnan(value):
        return NAN
    single: Hashable = value
    return single
