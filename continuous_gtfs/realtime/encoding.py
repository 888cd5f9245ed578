"""FeedMessage to JSON: the document that protobuf's own ``MessageToJson`` gives, made in less time.

A message goes out every 20 s and the JSON form is the slowest part of it. What is worth knowing of a field
(its name, how its values are written) is found once and kept, and orjson writes the text.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from continuous_gtfs.errors import UnreadableMessageError

Writer = Callable[[Any], Any]

_INT64_KINDS = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
_FLOAT32 = struct.Struct("<f")

# Of every field met so far, in all descriptor pools: bounded by the schemas, not by the feeds. Descriptors are
# compared by identity; being a key here keeps one alive. A second thread at worst finds the same answer again.
_writers: dict[FieldDescriptor, tuple[str, Writer | None]] = {}


def feed_to_json(message: Message) -> bytes:
    """The message as JSON with the field names of the .proto file.

    The parsed document equals that of ``MessageToJson(preserving_proto_field_name=True)``: 64-bit integers as
    text, enums by name, bytes in base64, ``"NaN"`` and ``"Infinity"``, extensions under ``[full.name]`` if
    registered. What the bindings do not know cannot be shown and is left out, as there.

    Raises:
        UnreadableMessageError: A text field is not UTF-8. ``MessageToJson`` would publish Python's notation
            of the bytes.
    """
    return orjson.dumps(_message(message))


def _message(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for field, value in message.ListFields():
        known = _writers.get(field)
        if known is None:
            known = _writers[field] = _name(field), _writer(field)
        name, write = known
        document[name] = value if write is None else write(value)
    return document


def _name(field: FieldDescriptor) -> str:
    return f"[{field.full_name}]" if field.is_extension else field.name


def _writer(field: FieldDescriptor) -> Writer | None:
    """How a field's value becomes a JSON value; None where it is one already."""
    if not field.is_repeated:
        return _single_writer(field)
    single = _single_writer(field)
    if single is None:
        return list

    def write_each(values: Any) -> list[Any]:
        return [single(value) for value in values]

    return write_each


def _single_writer(field: FieldDescriptor) -> Writer | None:
    kind = field.cpp_type
    if field.message_type is not None:
        return _message if _is_plain(field.message_type) else _other_message
    if field.enum_type is not None:
        names = {value.number: value.name for value in field.enum_type.values}
        # A number without a name can only stand in an open enum, and stays a number.
        return lambda number: names.get(number, number)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return lambda data: base64.b64encode(data).decode()
        return _text_writer(field)
    if kind in _INT64_KINDS:
        return str
    if kind == FieldDescriptor.CPPTYPE_FLOAT:
        return _float32
    if kind == FieldDescriptor.CPPTYPE_DOUBLE:
        return _float64
    return None


def _is_plain(descriptor: Descriptor) -> bool:
    """Whether a message is written as an object of its fields: no well-known type, no map."""
    if descriptor.full_name.startswith("google.protobuf."):
        return False
    return not any(
        field.message_type is not None and field.message_type.GetOptions().map_entry for field in descriptor.fields
    )


def _other_message(message: Message) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _text_writer(field: FieldDescriptor) -> Writer:
    name = field.full_name

    def write(text: str | bytes) -> str:
        if isinstance(text, bytes):
            raise UnreadableMessageError(f"{name} is {text[:80]!r}, which is not UTF-8: mend it in a step")
        return text

    return write


def _float64(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _float32(value: float) -> float | str:
    if not math.isfinite(value):
        return _float64(value)
    return shortest_float32(value)


def shortest_float32(value: float) -> float:
    """The shortest decimal that is this finite 32-bit float: 47.6 rather than 47.599998474121094."""
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        if _FLOAT32.unpack(_FLOAT32.pack(short))[0] == value:
            return short
    return float(f"{value:.9g}")
