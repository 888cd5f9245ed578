"""Replay of captures: their order, their entities, and what a folder must hold."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.unknown_fields import UnknownFieldSet
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.simulator.feeds_clock import FeedTick
from continuous_gtfs.simulator.replay import ReplaySource
from continuous_gtfs_tests.real_data import real_data_path
from continuous_gtfs_tests.simulator.running import Clock, replay_folder, serve_in_thread

NOW = datetime(2026, 3, 2, 12, 0, 5, tzinfo=UTC)


def snapshot(timestamp: int, *entity_ids: str) -> bytes:
    message = FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.timestamp = timestamp
    for entity_id in entity_ids:
        message.entity.add(id=entity_id).vehicle.timestamp = timestamp - 3
    return message.SerializeToString()


def tick(index: int, at: datetime = NOW) -> FeedTick:
    return FeedTick(index, at)


def entity_ids(data: bytes) -> list[str]:
    return [entity.id for entity in FeedMessage.FromString(data).entity]


def test_snapshots_come_in_the_order_of_their_header_timestamps_in_pairs_and_around_again(tmp_path: Path) -> None:
    # The names sort the other way round.
    replay_folder(
        tmp_path,
        {
            "vehicle_positions": [snapshot(300, "v3"), snapshot(200, "v2"), snapshot(100, "v1")],
            "trip_updates": [snapshot(301, "t3"), snapshot(201, "t2"), snapshot(101, "t1")],
        },
    )
    source = ReplaySource(tmp_path, shift_to_now=True)
    served = [
        [*entity_ids(source.realtime("qa", feed, tick(index), 0))]
        for index in range(4)
        for feed in ("vehicle_positions", "trip_updates")
    ]
    assert served == [["v1"], ["t1"], ["v2"], ["t2"], ["v3"], ["t3"], ["v1"], ["t1"]]


def test_files_in_a_folder_named_for_the_feed_count_too(tmp_path: Path) -> None:
    (tmp_path / "trip_updates_30s").mkdir()
    (tmp_path / "trip_updates_30s" / "any.pb").write_bytes(snapshot(200, "later"))
    (tmp_path / "trip_updates_0.pb").write_bytes(snapshot(100, "first"))
    source = ReplaySource(tmp_path, shift_to_now=True)
    assert [entity_ids(source.realtime("qa", "trip_updates", tick(i), 0)) for i in range(2)] == [["first"], ["later"]]


def test_shifting_changes_the_header_timestamp_and_nothing_else(tmp_path: Path) -> None:
    captured = snapshot(100, "a", "b")
    replay_folder(tmp_path, {"vehicle_positions": [captured]})
    served = ReplaySource(tmp_path, shift_to_now=True).realtime("qa", "vehicle_positions", tick(0), 0)
    message, expected = FeedMessage.FromString(served), FeedMessage.FromString(captured)
    assert message.header.timestamp == int(NOW.timestamp())
    message.header.timestamp = expected.header.timestamp
    assert message == expected


def test_without_shifting_the_capture_is_served_byte_for_byte(tmp_path: Path) -> None:
    replay_folder(tmp_path, {"vehicle_positions": [snapshot(100, "a")]})
    source = ReplaySource(tmp_path, shift_to_now=False)
    assert source.realtime("qa", "vehicle_positions", tick(0), 0) == snapshot(100, "a")


REAL_CAPTURES = ["sound_transit_2023-08", "raba_2025", "kingston", "nyct_rt_10s", "mbta_concentrate"]


def real_messages(folder: str) -> Iterator[bytes]:
    for path in sorted(real_data_path(folder).rglob("*.pb")):
        yield path.read_bytes()


def unknown_bytes(message: object) -> int:
    """How many fields the bindings do not know, anywhere in the message."""
    count = len(UnknownFieldSet(message))
    for descriptor, value in message.ListFields():  # type: ignore[attr-defined]
        if descriptor.message_type is not None:
            # A map field's or repeated field's members, or the one message.
            members = value if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]
            count += sum(unknown_bytes(member) for member in members)
    return count


@pytest.mark.parametrize("folder", REAL_CAPTURES)
def test_every_entity_of_a_real_capture_survives_with_the_fields_nobody_knows(tmp_path: Path, folder: str) -> None:
    captures = list(real_messages(folder))
    assert captures
    # Served as whatever feed: what is in the message makes no difference to a replay.
    source = ReplaySource(replay_folder(tmp_path, {"vehicle_positions": captures}), shift_to_now=True)
    expected = sorted(captures, key=lambda data: FeedMessage.FromString(data).header.timestamp)
    timestamps = [FeedMessage.FromString(data).header.timestamp for data in expected]
    unknown = 0
    for index, captured in enumerate(expected):
        served = source.realtime("production", "vehicle_positions", tick(index), 0)
        if timestamps.count(timestamps[index]) == 1:
            assert entity_bytes(served) == entity_bytes(captured)
        unknown += unknown_bytes(FeedMessage.FromString(served))
    assert unknown == sum(unknown_bytes(FeedMessage.FromString(data)) for data in captures)
    assert (unknown > 0) == (folder == "nyct_rt_10s"), f"{unknown} unknown fields"


def entity_bytes(data: bytes) -> list[bytes]:
    return [entity.SerializeToString(deterministic=True) for entity in FeedMessage.FromString(data).entity]


def test_every_entity_of_a_real_capture_is_served_to_both_editions() -> None:
    folder = real_data_path("sound_transit_2023-08")
    clock = Clock(NOW)
    with serve_in_thread(replay=folder, now=clock) as vendor:
        for feed in ("vehicle_positions", "trip_updates"):
            captures = sorted(folder.glob(f"{feed}_*.pb"), key=lambda path: int(re.findall(r"\d+", path.name)[0]))
            for index, path in enumerate([*captures, captures[0]]):
                clock.at = NOW + timedelta(seconds=20 * index)
                bodies = {edition: vendor.get(edition, feed).content for edition in ("production", "qa")}
                assert entity_bytes(bodies["production"]) == entity_bytes(path.read_bytes())
                assert bodies["production"] == bodies["qa"]
            clock.at = NOW
        assert vendor.get("qa", "schedule").content == (folder / "schedule.zip").read_bytes()


def test_a_kind_that_the_folder_lacks_answers_404_and_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    replay_folder(tmp_path, {"trip_updates": [snapshot(100, "t")]})
    with serve_in_thread(replay=tmp_path) as vendor:
        assert vendor.get("qa", "trip_updates").status_code == 200
        assert vendor.get("qa", "vehicle_positions").status_code == 404
        assert vendor.get("qa", "schedule").status_code == 404
        assert vendor.state("qa", "schedule")["current"] is None
        answer = vendor.control("POST", "faults", edition="qa", feed="schedule", kind="hang")
        assert answer.status_code == 400
        assert "trip_updates" in answer.json()["error"]
    warned = [record.getMessage() for record in caplog.records if "404" in record.getMessage()]
    assert [feed for feed in ("schedule", "vehicle_positions") if any(feed in text for text in warned)] == [
        "schedule",
        "vehicle_positions",
    ]
    assert len(warned) == 2


def test_a_replay_has_no_next_schedule(tmp_path: Path) -> None:
    replay_folder(tmp_path, {"trip_updates": [snapshot(100, "t")]})
    with serve_in_thread(replay=tmp_path, schedule_every_s=1.0) as vendor:
        answer = vendor.control("POST", "schedule", edition="qa")
        assert answer.status_code == 409
        assert "one schedule" in answer.json()["error"]


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no folder .*nowhere"):
        ReplaySource(tmp_path / "nowhere", shift_to_now=True)


def test_a_folder_without_captures_says_what_it_must_hold(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"schedule\.zip, vehicle_positions\*\.pb or trip_updates\*\.pb"):
        ReplaySource(tmp_path, shift_to_now=True)


def test_a_capture_that_is_no_feed_message_is_named(tmp_path: Path) -> None:
    replay_folder(tmp_path, {"trip_updates": [snapshot(100, "t"), b"<html>"]})
    with pytest.raises(ConfigurationError, match=r"trip_updates_1\.pb.*FeedMessage"):
        ReplaySource(tmp_path, shift_to_now=True)
