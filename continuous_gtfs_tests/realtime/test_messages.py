from __future__ import annotations

import gzip
import io
import random
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.agencies.sound_transit.realtime import STEPS
from continuous_gtfs.errors import UnreadableMessageError
from continuous_gtfs.pipeline.running import run_steps
from continuous_gtfs.pipeline.step import step
from continuous_gtfs.realtime.compare.feeds import compare_feeds
from continuous_gtfs.realtime.compare.report import Level
from continuous_gtfs.realtime.compare.tolerances import EXACT
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.messages import MOST_ENTITIES, header_timestamp, parse_feed, serialize_feed
from continuous_gtfs.realtime.steps import PassThrough
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
    assert len(message.entity) > 0
    if capture_name(path) in WRITTEN_IN_ANOTHER_ORDER:
        again = parse_feed(written, name=path.name)
        assert compare_feeds(message, again, bodies=(data, written)).level is Level.CONTENT_AND_ORDER
        assert sorted(written) == sorted(data)
        assert serialize_feed(again) == written
    else:
        assert written == data


@pytest.mark.parametrize("path", captures())
def test_a_real_feed_that_no_step_touches_goes_out_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    feeds = RealtimeFeeds({"feed": parse_feed(data, name=path.name)}, bodies={"feed": data})

    @step(files=None)
    def reader(feed: RealtimeFeeds) -> None:
        assert len(feed.message("feed").entity) > 0

    made, _ = run_steps([PassThrough(), reader], feeds, now=datetime(2026, 3, 1, tzinfo=UTC))
    assert made.to_bytes("feed") == data


@pytest.mark.parametrize("path", captures())
@pytest.mark.parametrize("feed", ["vehicle_positions", "trip_updates"])
def test_the_reference_steps_change_nothing_of_a_real_feed_but_what_they_say(path: Path, feed: str) -> None:
    data = path.read_bytes()
    before = parse_feed(data, name=path.name)
    feeds = RealtimeFeeds({feed: before}, bodies={feed: data})
    made, _ = run_steps(STEPS, feeds, now=datetime.fromtimestamp(before.header.timestamp, UTC))
    found = compare_feeds(before, parse_feed(made.to_bytes(feed), name=path.name), tolerances=EXACT)
    assert found.differences == ()
    assert {change.path for change in found.header_changes} <= {"header.gtfs_realtime_version"}
    assert found.counts.other_entity_ids == 0


@pytest.mark.parametrize("path", [p for p in captures() if p.id and p.id.startswith("nyct")])
def test_unknown_extensions_survive_an_edit(path: Path) -> None:
    data = path.read_bytes()
    message = parse_feed(data, name=path.name)
    message.header.gtfs_realtime_version = "9.9"
    assert serialize_feed(message) == data.replace(b"\x0a\x031.0", b"\x0a\x039.9", 1)


def field(number: int, wire_type: int, content: bytes) -> bytes:
    """A field as it is written, with a tag of two bytes."""
    tag = number << 3 | wire_type
    size = bytes([len(content)]) if wire_type == 2 else b""
    return bytes([tag & 0x7F | 0x80, tag >> 7]) + size + content


# The numbers that NYCT (1001) and OVapi (1003) use, with what they write there and with what others could.
EXTENSIONS = {
    "NYCT's trip": field(1001, 2, b"\x0a\x0f01 0123+ SFT/242\x10\x01\x18\x01"),
    "OVapi's trip": field(1003, 2, b"\x0a\x0aARR:18:123"),
    "a text": field(1001, 2, b"hello"),
    "bytes that are no message": field(1001, 2, b"\xff\xff\xff"),
    "a number": field(1001, 0, b"\x96\x01"),
    "a 32-bit number": field(1003, 5, b"abcd"),
    "a 64-bit number": field(1003, 1, b"abcdefgh"),
    "a group": field(1001, 3, b"\x08\x01") + field(1001, 4, b""),
    "both and one twice": field(1003, 2, b"x") + field(1001, 0, b"\x01") + field(1003, 2, b"y"),
}


@pytest.mark.parametrize("extension", [pytest.param(content, id=name) for name, content in EXTENSIONS.items()])
def test_an_extension_survives_at_every_place_whatever_stands_at_its_number(extension: bytes) -> None:
    message = feed_message(trip_update("t", "a"), vehicle("v", "a"))
    update, position = message.entity[0].trip_update, message.entity[1].vehicle
    places = (message.header, message.entity[0], update.trip, update.stop_time_update[0], position, position.vehicle)
    for place in places:
        place.MergeFromString(extension)
    data = serialize_feed(message)
    assert data.count(extension) == len(places)
    feeds = RealtimeFeeds({"trip_updates": parse_feed(data, name=NAME)}, bodies={"trip_updates": data})

    @step(files=["trip_updates"])
    def edit(feed: RealtimeFeeds) -> None:
        edited = feed.edit("trip_updates")
        edited.header.timestamp += 1
        edited.entity[0].trip_update.delay = 5

    made, _ = run_steps([edit], feeds, now=datetime(2026, 3, 1, tzinfo=UTC))
    written = made.to_bytes("trip_updates")
    assert written.count(extension) == len(places)
    found = compare_feeds(message, parse_feed(written, name=NAME), tolerances=EXACT)
    assert [change.path for change in found.header_changes] == ["header.timestamp"]
    assert [[change.path for change in one.changes] for one in found.differences] == [["trip_update.delay"]]


def test_bindings_of_one_vendor_in_the_process_are_named_when_they_do_not_fit_another_vendors_feed() -> None:
    # In a process of its own, since what is registered stays.
    script = (
        "import sys\n"
        "from google.protobuf import descriptor_pb2, descriptor_pool\n"
        "from continuous_gtfs.errors import UnreadableMessageError\n"
        "from continuous_gtfs.realtime.messages import parse_feed\n"
        "file = descriptor_pb2.FileDescriptorProto(name='v.proto', package='v', dependency=['gtfs-realtime.proto'])\n"
        "file.message_type.add(name='Extra')\n"
        "file.extension.add(name='extra', number=1001, extendee='.transit_realtime.FeedHeader', type=11, label=1,\n"
        "    type_name='.v.Extra')\n"
        "descriptor_pool.Default().Add(file)\n"
        "data = sys.stdin.buffer.read()\n"
        "try:\n    parse_feed(data, name='feed')\n"
        "except UnreadableMessageError as error:\n    print(error)\n"
    )
    message = feed_message()
    message.header.MergeFromString(EXTENSIONS["bytes that are no message"])
    ran = subprocess.run([sys.executable, "-c", script], input=serialize_feed(message), capture_output=True)
    assert ran.stderr == b""
    assert b"does not fit an extension which something in this process has registered" in ran.stdout


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
        (gzip.compress(serialize_feed(feed_message()), mtime=0), "gzip"),
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


HEADER = serialize_feed(feed_message())


def test_far_too_many_entities_are_refused_whatever_they_lack() -> None:
    for entity in (b"\x12\x00", b"\x12\x05\n\x01a\x22\x00"):
        assert parse_feed(HEADER, name=NAME)
        with pytest.raises(UnreadableMessageError, match=r"200,001 entities in [\d,]+ bytes; a feed may have 200,000"):
            parse_feed(HEADER + entity * (MOST_ENTITIES + 1), name=NAME)


def test_the_smallest_messages_take_a_bounded_multiple_of_their_bytes() -> None:
    # Four bytes for the two largest messages.
    entity_with_empty_alert = bytes([0x12, 2, 0x2A, 0])
    script = f"""
from continuous_gtfs.realtime.messages import parse_feed

def highest_kb():
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])

body = {HEADER!r} + {entity_with_empty_alert!r} * 500_000
before = highest_kb()
try:
    parse_feed(body, name="x")
except Exception as error:
    print((highest_kb() - before) * 1024 / len(body), error)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "a feed may have" in said
    assert 20 < float(said.split()[0]) < 60


def nested(depth: int) -> bytes:
    """A field that the spec does not know, with groups inside of groups."""
    return bytes([0xA3, 0x06]) * depth + bytes([0xA4, 0x06]) * depth


def test_unknown_fields_inside_of_each_other_are_kept() -> None:
    assert nested(90) in serialize_feed(parse_feed(HEADER + nested(90), name=NAME))


def test_what_is_nested_without_end_is_refused() -> None:
    with pytest.raises(UnreadableMessageError, match="no protobuf"):
        parse_feed(HEADER + nested(100_000), name=NAME)


def test_an_id_of_a_megabyte_makes_no_error_of_a_megabyte() -> None:
    message = feed_message({"id": "x" * 1_000_000, "vehicle": {"position": {"latitude": 1, "longitude": 2}}})
    message.entity[0].vehicle.position.ClearField("longitude")
    with pytest.raises(UnreadableMessageError) as refusal:
        parse_feed(message.SerializePartialToString(), name=NAME)
    assert len(str(refusal.value)) <= 2000


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
