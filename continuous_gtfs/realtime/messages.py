"""Bytes to FeedMessage and back, and telling a feed from what is not one.

Not here: JSON (``encoding``), whether a feed is good enough to publish (``guards``).

Nothing is lost between the two functions: fields that the bindings do not know (extensions of other
agencies, enum values of a later spec) stay in the message and are written again. Vendors use the same extension
numbers for different things, so no extension is registered here: what is not interpreted cannot be misread.
"""

from __future__ import annotations

import re
from functools import cache

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError, EncodeError, Message
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.errors import UnreadableMessageError

MOST_ENTITIES = 200_000
"""National feeds have tens of thousands. A body can hold a message in two bytes, which takes some hundred in memory:
parsing takes up to 60 times a body's size, so ``max_bytes`` of the feed is what bounds it; see docs/operations.md."""

_MAX_NAMED = 3
_ENTITY = re.compile(r"^entity\[(\d+)\]\.?(.*)$")
_BEGINNINGS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"<", "HTML or XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"header", "a FeedMessage in text form"),
)


def parse_feed(data: bytes, *, name: str) -> FeedMessage:
    """The FeedMessage in ``data``, with everything the spec calls required.

    Random bytes are at times valid protobuf that consists of unknown fields only, so a header with a
    ``gtfs_realtime_version`` is what makes a feed.

    Args:
        name: Which feed, for the error.

    Raises:
        UnreadableMessageError: The body is empty, something else (named), cut off, has more than
            ``MOST_ENTITIES``, or lacks a required field (named, with the entity). An empty answer here would
            read as "no vehicles".
    """
    if not data:
        raise UnreadableMessageError(f"{name}: the body is empty; a feed without entities still has a header")
    message = FeedMessage()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        found = _recognized(data) or _unparsable(data)
        raise UnreadableMessageError(f"{_not_a_feed(name, data)} but {found}") from error
    if len(message.entity) > MOST_ENTITIES:
        raise UnreadableMessageError(
            f"{name}: {len(message.entity):,} entities in {len(data):,} bytes; a feed may have {MOST_ENTITIES:,}"
        )
    if not message.HasField("header"):
        found = _recognized(data) or "protobuf without a header: another kind of message, or garbage"
        raise UnreadableMessageError(f"{_not_a_feed(name, data)} but {found}")
    try:
        # Looks for missing fields, in half of the time that IsInitialized takes.
        message.SerializeToString()
    except EncodeError as error:
        raise UnreadableMessageError(f"{name}: {_missing(message)}") from error
    # Protobuf hands out bytes in place of text that is not UTF-8.
    version = message.header.gtfs_realtime_version
    if not isinstance(version, str) or not version.strip():
        raise UnreadableMessageError(f"{name}: header.gtfs_realtime_version is {version!r}, not a version")
    return message


def serialize_feed(message: FeedMessage) -> bytes:
    """The message as bytes; equal messages give equal bytes.

    Raises:
        UnreadableMessageError: A required field is missing, so that no consumer could read it.
    """
    try:
        return message.SerializeToString(deterministic=True)
    except EncodeError as error:
        raise UnreadableMessageError(f"the message cannot be written: {_missing(message)}") from error


def header_timestamp(message: FeedMessage) -> int | None:
    """POSIX seconds from the header; None where it has none, or 0, which no vendor means."""
    return message.header.timestamp or None


def _not_a_feed(name: str, data: bytes) -> str:
    return f"{name}: the body of {len(data)} bytes is no GTFS-Realtime FeedMessage"


def _recognized(data: bytes) -> str | None:
    """What the bytes are instead; None where nothing is recognised.

    None of them is quoted: an error page may repeat the request, and with it a token.
    """
    beginning = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((what for start, what in _BEGINNINGS if beginning.startswith(start)), None)


def _unparsable(data: bytes) -> str:
    try:
        _without_extensions().FromString(data)
    except DecodeError:
        return "no protobuf: cut off in transit, or garbage"
    return (
        "protobuf that does not fit an extension which something in this process has registered: another vendor "
        "uses its number. Do not import that vendor's bindings; what is not known here is kept as it is"
    )


@cache
def _without_extensions() -> type[Message]:
    """FeedMessage in a pool of descriptors of its own, where nobody can register an extension."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(FeedMessage.DESCRIPTOR.file.serialized_pb)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(FeedMessage.DESCRIPTOR.full_name))


def _missing(message: FeedMessage) -> str:
    # Documented, but absent from the type stubs.
    paths: list[str] = message.FindInitializationErrors()  # type: ignore[attr-defined]
    named = ", ".join(_named(message, path) for path in paths[:_MAX_NAMED])
    more = f" and {len(paths) - _MAX_NAMED} more" if len(paths) > _MAX_NAMED else ""
    return f"required by the spec but missing: {named}{more}"


def _named(message: FeedMessage, path: str) -> str:
    """A path with the id of its entity, since a position in a list of hundreds helps nobody."""
    match = _ENTITY.match(path)
    if match is None:
        return path
    entity = message.entity[int(match[1])]
    return f"{path} (entity id {entity.id!r})" if entity.HasField("id") else path
