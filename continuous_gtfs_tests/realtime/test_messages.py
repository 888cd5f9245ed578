from __future__ import annotations

import gzip
import io
import random
import zipfile
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.errors import UnreadableMessageError
from continuous_gtfs.realtime.messages import header_timestamp, parse_feed, serialize_feed
from continuous_gtfs_tests.realtime.captures import (
    WRITTEN_IN_ANOTHER_ORDER,
    capture_name,
    captures,
    feed_message,
    trip_update,
    vehicle,
)

NAME = "production/trip_updates"


def zip_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("stops.txt", "stop_id\n")
    return buffer.getvalue()


@pytest.mark.parametrize("path", captures())
def test_a_real_feed_is_written_as_it_was_read(path: Path) -> None:
    data = path.read_bytes()
    message = parse_feed(data, name=path.name)
    written = serialize_feed(message)
    if capture_name(path) in WRITTEN_IN_ANOTHER_ORDER:
        assert sorted(written) == sorted(data)
        assert parse_feed(written, name=path.name) == message
        assert serialize_feed(parse_feed(written, name=path.name)) == written
    else:
        assert written == data
    assert len(message.entity) > 0


@pytest.mark.parametrize("path", [p for p in captures() if p.id and p.id.startswith("nyct")])
def test_unknown_extensions_survive_an_edit(path: Path) -> None:
    data = path.read_bytes()
    message = parse_feed(data, name=path.name)
    message.header.gtfs_realtime_version = "9.9"
    assert serialize_feed(message) == data.replace(b"\x0a\x031.0", b"\x0a\x039.9", 1)


def test_an_enum_value_of_a_later_spec_survives() -> None:
    data = serialize_feed(feed_message({"vehicle": {"current_status": "IN_TRANSIT_TO"}}))
    later = data[:-1] + b"\x63"
    message = parse_feed(later, name=NAME)
    assert not message.entity[0].vehicle.HasField("current_status")
    assert serialize_feed(message) == later


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the body is empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML"),
        (b"\xef\xbb\xbf\r\n <?xml version='1.0'?>", "HTML or XML"),
        (b'{"header": {"gtfs_realtime_version": "2.0"}}', "JSON"),
        (b"\n\n  [1, 2]", "JSON"),
        (zip_archive(), "zip archive"),
        (gzip.compress(serialize_feed(feed_message())), "gzip"),
        (b'header {\n  gtfs_realtime_version: "2.0"\n}', "text form"),
        (b"\x00\x01\x02\x03", "garbage"),
        (b"\x7f" * 50, "garbage"),
        (b"\x1a\x02hi", "without a header"),
    ],
)
def test_what_is_no_feed_is_called_by_its_name(data: bytes, told: str) -> None:
    with pytest.raises(UnreadableMessageError, match=told) as refusal:
        parse_feed(data, name=NAME)
    assert str(refusal.value).startswith(f"{NAME}: the body ")
    assert not refusal.value.can_rerun_help


def test_an_error_quotes_nothing_of_the_body() -> None:
    with pytest.raises(UnreadableMessageError) as refusal:
        parse_feed(b"<html>GET /feed?token=hunter2</html>", name=NAME)
    assert "hunter2" not in str(refusal.value)


def test_a_feed_cut_off_inside_an_entity_is_refused() -> None:
    data = serialize_feed(feed_message(trip_update("t", "a", "b"), vehicle("v", "a")))
    header_only = len(serialize_feed(feed_message()))
    first_entity = len(serialize_feed(feed_message(trip_update("t", "a", "b"))))
    whole_entities = {header_only, first_entity}
    for length in range(1, len(data)):
        if length in whole_entities:
            # Nothing in the bytes tells: here the client has to know the length that was promised.
            assert parse_feed(data[:length], name=NAME)
        else:
            with pytest.raises(UnreadableMessageError):
                parse_feed(data[:length], name=NAME)


def test_random_bytes_are_never_a_feed() -> None:
    generator = random.Random(7)
    parsed_as_protobuf = 0
    for _ in range(20_000):
        data = generator.randbytes(generator.randint(1, 6))
        try:
            FeedMessage.FromString(data)
            parsed_as_protobuf += 1
        except DecodeError:
            pass
        with pytest.raises(UnreadableMessageError):
            parse_feed(data, name=NAME)
    assert parsed_as_protobuf > 100


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x0a\x00", "header.gtfs_realtime_version"),
        (b"\x0a\x020\x00\x12\x00", r"header.gtfs_realtime_version, entity\[0\].id"),
        (b"\x0a\x05\x0a\x032.0" + b"\x12\x00" * 5, r"entity\[0\].id, entity\[1\].id, entity\[2\].id and 2 more"),
        (b"\x0a\x05\x0a\x032.0\x12\x03\x0a\x01a\x12\x00", r"entity\[1\].id$"),
    ],
)
def test_a_missing_required_field_is_named_with_its_entity(data: bytes, told: str) -> None:
    with pytest.raises(UnreadableMessageError, match=f"{NAME}: required by the spec but missing: {told}"):
        parse_feed(data, name=NAME)


def test_a_missing_field_inside_an_entity_is_named_with_the_entitys_id() -> None:
    message = feed_message({}, {"id": "bus 7", "vehicle": {"position": {"latitude": 1, "longitude": 2}}})
    message.entity[1].vehicle.position.ClearField("longitude")
    told = r"entity\[1\]\.vehicle\.position\.longitude \(entity id 'bus 7'\)"
    with pytest.raises(UnreadableMessageError, match=told):
        parse_feed(message.SerializePartialToString(), name=NAME)
    with pytest.raises(UnreadableMessageError, match=told):
        serialize_feed(message)


@pytest.mark.parametrize("version", [b"", b"  ", b"\xff\xfe"])
def test_a_blank_or_unreadable_version_is_refused(version: bytes) -> None:
    header = b"\x0a" + bytes([len(version)]) + version
    with pytest.raises(UnreadableMessageError, match="gtfs_realtime_version is"):
        parse_feed(b"\x0a" + bytes([len(header)]) + header, name=NAME)


def test_a_header_without_entities_is_a_feed() -> None:
    assert len(parse_feed(serialize_feed(feed_message()), name=NAME).entity) == 0


def test_equal_messages_give_equal_bytes() -> None:
    one, other = feed_message(), FeedMessage()
    other.header.timestamp = 1_700_000_000
    other.header.gtfs_realtime_version = "2.0"
    assert serialize_feed(one) == serialize_feed(other)


def test_a_header_without_timestamp_has_none() -> None:
    assert header_timestamp(feed_message(timestamp=1_690_679_342)) == 1_690_679_342
    assert header_timestamp(feed_message(timestamp=0)) is None
    message = feed_message()
    message.header.ClearField("timestamp")
    assert header_timestamp(message) is None
