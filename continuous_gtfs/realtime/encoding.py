"""FeedMessage to JSON: the document that protobuf's own ``MessageToJson`` gives, made in less time.

A message goes out every 20 s and the JSON form is the slowest part of it. What is worth knowing of a field
(its name, how its values are written) is found once and kept, and orjson writes the text.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from continuous_gtfs.errors import UnreadableMessageError

Writer = Callable[[Any], Any]

_INT64_KINDS = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
_FLOAT32 = struct.Struct("<f")
_pack_float32, _unpack_float32 = _FLOAT32.pack, _FLOAT32.unpack


def feed_to_json(message: Message) -> bytes:
    """The message as JSON with the field names of the .proto file.

    The parsed document equals that of ``MessageToJson(preserving_proto_field_name=True)``: 64-bit integers as
    text, enums by name, bytes in base64, ``"NaN"`` and ``"Infinity"``, extensions under ``[full.name]`` if
    registered. What the bindings do not know cannot be shown and is left out, as there.

    Raises:
        UnreadableMessageError: A text field is not UTF-8. ``MessageToJson`` would publish Python's notation
            of the bytes.
    """
    try:
        return orjson.dumps(_message(message))
    except TypeError:
        # Protobuf hands out bytes in place of text that is not UTF-8; to look at each text takes longer than this.
        for name, text in _unreadable_texts(message):
            raise UnreadableMessageError(f"{name} is {text[:80]!r}, which is not UTF-8: mend it in a step") from None
        raise


class _Writers(dict[FieldDescriptor, tuple[str, Writer | None]]):
    """The name of each field met so far and how its values are written: None where they are JSON values already.

    Of all descriptor pools, so bounded by the schemas and not by the feeds. Descriptors are compared by identity; being
    a key here keeps one alive. A second thread at worst finds the same answer again.
    """

    def __missing__(self, field: FieldDescriptor) -> tuple[str, Writer | None]:
        name = f"[{field.full_name}]" if field.is_extension else field.name
        known = self[field] = name, _writer(field)
        return known


class _EnumNames(dict[int, str | int]):
    """Names by number. A number without one can only stand in an open enum, and stays a number."""

    def __missing__(self, number: int) -> int:
        return number


_writers = _Writers()


def _message(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for field, value in message.ListFields():
        name, write = _writers[field]
        document[name] = value if write is None else write(value)
    return document


def _messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """``_message`` of each, without a call for each: most messages of a feed lie in lists."""
    documents = []
    for message in messages:
        document: dict[str, Any] = {}
        for field, value in message.ListFields():
            name, write = _writers[field]
            document[name] = value if write is None else write(value)
        documents.append(document)
    return documents


def _writer(field: FieldDescriptor) -> Writer | None:
    single = _single_writer(field)
    if not field.is_repeated:
        return single
    if single is None:
        return list
    if single is _message:
        return _messages
    return lambda values: [single(value) for value in values]


def _single_writer(field: FieldDescriptor) -> Writer | None:
    if field.message_type is not None:
        return _message if _is_plain(field.message_type) else _other_message
    if field.enum_type is not None:
        return _EnumNames({value.number: value.name for value in field.enum_type.values}).__getitem__
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda data: base64.b64encode(data).decode()
    if field.cpp_type in _INT64_KINDS:
        return str
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return _float32
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
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


def _unreadable_texts(message: Message) -> Iterator[tuple[str, bytes]]:
    for field, value in message.ListFields():
        values = value if field.is_repeated else (value,)
        for one in values:
            if isinstance(one, Message):
                yield from _unreadable_texts(one)
            elif isinstance(one, bytes) and field.type != FieldDescriptor.TYPE_BYTES:
                yield field.full_name, one


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
    for form in ("%.6g", "%.7g", "%.8g"):
        short = float(form % value)
        if _unpack_float32(_pack_float32(short))[0] == value:
            return short
    return float(f"{value:.9g}")
