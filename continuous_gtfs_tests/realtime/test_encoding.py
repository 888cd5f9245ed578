from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2, wrappers_pb2
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.transit import gtfs_realtime_pb2
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.errors import UnreadableMessageError
from continuous_gtfs.realtime.encoding import feed_to_json
from continuous_gtfs.realtime.messages import parse_feed, serialize_feed
from continuous_gtfs_tests.real_data import real_data_path
from continuous_gtfs_tests.realtime.captures import captures, feed_message, trip_update, vehicle


def expected(message: Message) -> Any:
    return json.loads(MessageToJson(message, preserving_proto_field_name=True))


def is_same_value_for_value(document: Any, other: Any) -> bool:
    """Whether two documents are the same with the kinds of their numbers and the order of their keys."""
    return repr(document) == repr(other)


def refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("path", captures())
def test_a_real_feed_gives_the_document_of_protobufs_own_writer(path: Path) -> None:
    message = parse_feed(path.read_bytes(), name=path.name)
    document = json.loads(feed_to_json(message), object_pairs_hook=refuse_repeated_keys)
    assert is_same_value_for_value(document, expected(message))


@pytest.mark.parametrize("name", ["vehicle_positions_1690679342", "trip_updates_1690865133"])
def test_a_real_feed_gives_the_document_that_its_vendor_published(name: str) -> None:
    folder = real_data_path("sound_transit_2023-08")
    message = parse_feed((folder / f"{name}.pb").read_bytes(), name=name)
    published = json.loads((folder / f"{name}.json").read_bytes())
    document = json.loads(feed_to_json(message))
    assert len(document["entity"]) == len(published["entity"]) == 15
    assert [entity["id"] for entity in document["entity"]] == [entity["id"] for entity in published["entity"]]


def test_every_kind_of_value_is_written_as_protobuf_does() -> None:
    message = feed_message(
        trip_update('Montréal   \u2028 \U0001f68b "quoted" \\ \x00', "a"),
        vehicle("v", "b"),
        {"is_deleted": True},
        {"vehicle": {"position": {"latitude": "NaN", "longitude": "-Infinity", "odometer": "Infinity"}}},
        {"vehicle": {"position": {"latitude": 47.6, "longitude": -122.33, "odometer": 1e300, "speed": 1e-42}}},
        {"vehicle": {"timestamp": "18446744073709551615", "occupancy_percentage": 4294967295}},
        {"trip_update": {"trip": {}, "delay": -2147483648, "stop_time_update": [{"arrival": {"time": "-1"}}]}},
        {"alert": {"active_period": [{}, {"start": 1}], "informed_entity": [], "cause": "STRIKE"}},
        incrementality="DIFFERENTIAL",
    )
    document = json.loads(feed_to_json(message))
    assert is_same_value_for_value(document, expected(message))
    assert document["header"]["timestamp"] == "1700000000"
    assert document["entity"][3]["vehicle"]["position"] == {
        "latitude": "NaN",
        "longitude": "-Infinity",
        "odometer": "Infinity",
    }
    assert document["entity"][4]["vehicle"]["position"]["latitude"] == 47.6


def test_what_the_bindings_do_not_know_is_left_out_as_there() -> None:
    data = serialize_feed(feed_message({"vehicle": {"current_status": "IN_TRANSIT_TO"}}))
    message = parse_feed(data[:-1] + b"\x63", name="later spec")
    assert json.loads(feed_to_json(message)) == expected(message)
    assert json.loads(feed_to_json(message))["entity"][0]["vehicle"] == {}


@given(st.floats(width=32))
def test_a_32_bit_float_is_its_shortest_decimal(value: float) -> None:
    message = feed_message({"vehicle": {"position": {"latitude": 0, "longitude": 0}}})
    message.entity[0].vehicle.position.latitude = value
    written = json.loads(feed_to_json(message))["entity"][0]["vehicle"]["position"]["latitude"]
    assert written == expected(message)["entity"][0]["vehicle"]["position"]["latitude"]
    if math.isfinite(value):
        assert struct.unpack("<f", struct.pack("<f", written))[0] == value


@pytest.mark.parametrize("value", [3.4028234663852886e38, -3.4028234663852886e38, 1.401298464324817e-45])
def test_the_ends_of_the_32_bit_floats_do_not_overflow(value: float) -> None:
    message = feed_message({"vehicle": {"position": {"latitude": 0, "longitude": 0}}})
    message.entity[0].vehicle.position.latitude = value
    assert json.loads(feed_to_json(message)) == expected(message)


def extended_feed_message() -> Any:
    """FeedMessage in a descriptor pool of its own, with extensions of every awkward kind registered."""
    pool = descriptor_pool.DescriptorPool()
    for module in (struct_pb2, wrappers_pb2, gtfs_realtime_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="extension.proto",
        package="vendor",
        dependency=[m.DESCRIPTOR.name for m in (struct_pb2, wrappers_pb2, gtfs_realtime_pb2)],
    )
    field = descriptor_pb2.FieldDescriptorProto
    extra = file.message_type.add(name="Extra")
    extra.field.add(name="blob", number=1, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    extra.field.add(name="blobs", number=2, type=field.TYPE_BYTES, label=field.LABEL_REPEATED)
    extra.field.add(name="total", number=3, type=field.TYPE_FIXED64, label=field.LABEL_OPTIONAL)
    extra.field.add(name="ratio", number=4, type=field.TYPE_DOUBLE, label=field.LABEL_OPTIONAL)
    extra.field.add(
        name="any_json",
        number=5,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_OPTIONAL,
        type_name=".google.protobuf.Struct",
    )
    extra.field.add(
        name="wrapped",
        number=6,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_OPTIONAL,
        type_name=".google.protobuf.Int64Value",
    )
    with_map = file.message_type.add(name="WithMap")
    counts = with_map.nested_type.add(name="CountsEntry")
    counts.options.map_entry = True
    counts.field.add(name="key", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    counts.field.add(name="value", number=2, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    with_map.field.add(
        name="counts",
        number=1,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED,
        type_name=".vendor.WithMap.CountsEntry",
    )
    extendee = ".transit_realtime.FeedHeader"
    for name, number, type_name in [("extra", 1001, ".vendor.Extra"), ("with_map", 1002, ".vendor.WithMap")]:
        file.extension.add(
            name=name,
            number=number,
            extendee=extendee,
            type=field.TYPE_MESSAGE,
            label=field.LABEL_OPTIONAL,
            type_name=type_name,
        )
    file.extension.add(name="notes", number=1003, extendee=extendee, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
    pool.Add(file)
    feed_message_type = pool.FindMessageTypeByName("transit_realtime.FeedMessage")
    message: Any = message_factory.GetMessageClass(feed_message_type)()
    message.header.gtfs_realtime_version = "2.0"
    header = message.header
    header.Extensions[pool.FindExtensionByName("vendor.notes")].extend(["a", "é"])
    extra_value = header.Extensions[pool.FindExtensionByName("vendor.extra")]
    extra_value.blob = b"\xff\x00?>"
    extra_value.blobs.extend([b"", b"x"])
    extra_value.total = 2**63
    extra_value.ratio = math.inf
    extra_value.any_json.update({"list": [1, None, {"a": True}]})
    extra_value.wrapped.value = 5
    header.Extensions[pool.FindExtensionByName("vendor.with_map")].counts[3] = 2**40
    return message


def test_registered_extensions_are_written_as_protobuf_does() -> None:
    message = extended_feed_message()
    document = json.loads(feed_to_json(message))
    assert is_same_value_for_value(document, expected(message))
    assert document["header"]["[vendor.extra]"] == {
        "blob": "/wA/Pg==",
        "blobs": ["", "eA=="],
        "total": str(2**63),
        "ratio": "Infinity",
        "any_json": {"list": [1, None, {"a": True}]},
        "wrapped": "5",
    }
    assert document["header"]["[vendor.notes]"] == ["a", "é"]
    assert document["header"]["[vendor.with_map]"] == {"counts": {"3": str(2**40)}}


def test_text_that_is_not_utf8_is_named_instead_of_published_in_pythons_notation() -> None:
    data = serialize_feed(feed_message(trip_update("abcd", "a"))).replace(b"abcd", b"ab\xffd")
    message = parse_feed(data, name="latin-1")
    with pytest.raises(UnreadableMessageError, match=r"transit_realtime\.TripDescriptor\.trip_id .*not UTF-8"):
        feed_to_json(message)
    assert serialize_feed(message) == data
