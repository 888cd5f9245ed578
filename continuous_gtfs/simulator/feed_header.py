"""Reads and changes the header of an encoded FeedMessage; entities and unknown fields stay as they are."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from google.transit.gtfs_realtime_pb2 import FeedMessage


def header_timestamp(data: bytes) -> int:
    """The header's timestamp, 0 when it has none.

    Raises:
        ValueError: The bytes are no FeedMessage.
    """
    return int(_parse(data).header.timestamp)


def with_header_timestamp(data: bytes, timestamp: int) -> bytes:
    """The same message with another header timestamp."""
    message = _parse(data)
    message.header.timestamp = timestamp
    return bytes(message.SerializeToString(deterministic=True))


def header_only(data: bytes) -> bytes:
    """The same message without its entities."""
    message = _parse(data)
    message.ClearField("entity")
    return bytes(message.SerializeToString(deterministic=True))


def _parse(data: bytes) -> FeedMessage:
    try:
        return FeedMessage.FromString(data)
    except DecodeError as error:
        raise ValueError(f"not a GTFS-Realtime FeedMessage ({error})") from error
