"""Entities as flat rows: what was sent, under the spec's names, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.realtime.entity_rows import ENTITY_COLUMNS, entity_rows
from continuous_gtfs.realtime.messages import parse_feed
from continuous_gtfs_tests.realtime.captures import captures

HEADER = 'header { gtfs_realtime_version: "2.0" timestamp: 1 }'


def rows(entities: str) -> list[dict[str, object]]:
    return entity_rows(text_format.Parse(f"{HEADER} {entities}", FeedMessage()))


def test_a_vehicle_is_a_row_of_the_fields_that_are_set() -> None:
    (row,) = rows(
        """
        entity { id: "1" vehicle {
          trip { trip_id: "t" route_id: "r" direction_id: 0 start_date: "20260301" schedule_relationship: DUPLICATED }
          vehicle { id: "v" label: "Train 7" }
          position { latitude: 47.5 longitude: -122.25 }
          stop_id: "S1" current_stop_sequence: 4 current_status: STOPPED_AT timestamp: 1772352000
        } }
        """
    )
    assert row == {
        "entity": "vehicle",
        "id": "1",
        "trip_id": "t",
        "route_id": "r",
        "direction_id": 0,
        "start_date": "20260301",
        "schedule_relationship": "DUPLICATED",
        "vehicle_id": "v",
        "vehicle_label": "Train 7",
        "latitude": 47.5,
        "longitude": -122.25,
        "stop_id": "S1",
        "current_stop_sequence": 4,
        "current_status": "STOPPED_AT",
        "timestamp": 1772352000,
    }


def test_a_trip_update_tells_of_its_first_stop_and_how_many_there_are() -> None:
    (row,) = rows(
        """
        entity { id: "1" trip_update {
          trip { trip_id: "t" } vehicle { id: "v" } delay: -30
          stop_time_update { stop_id: "S1" stop_sequence: 2 arrival { delay: 60 time: 100 } departure { time: 130 } }
          stop_time_update { stop_id: "S2" }
        } }
        """
    )
    assert row == {
        "entity": "trip_update",
        "id": "1",
        "trip_id": "t",
        "vehicle_id": "v",
        "delay": -30,
        "stop_time_updates": 2,
        "first_stop_id": "S1",
        "first_stop_sequence": 2,
        "first_arrival_delay": 60,
        "first_arrival_time": 100,
        "first_departure_time": 130,
    }


def test_an_alert_tells_its_cause_and_a_deletion_is_a_row_too() -> None:
    assert rows('entity { id: "1" alert { cause: STRIKE } } entity { id: "2" is_deleted: true }') == [
        {"entity": "alert", "id": "1", "cause": "STRIKE"},
        {"id": "2", "is_deleted": True},
    ]


def test_an_entity_that_is_two_things_is_two_rows() -> None:
    found = rows('entity { id: "1" vehicle { stop_id: "S" } trip_update { trip { trip_id: "t" } } }')
    assert [row["entity"] for row in found] == ["trip_update", "vehicle"]


def test_a_position_that_is_no_number_is_null() -> None:
    (row,) = rows('entity { id: "1" vehicle { position { latitude: nan longitude: inf } } }')
    assert (row["latitude"], row["longitude"]) == (None, None)


@pytest.mark.parametrize("path", captures())
def test_every_capture_gives_rows_of_the_declared_columns(path: Path) -> None:
    message = parse_feed(path.read_bytes(), name=path.name)
    found = entity_rows(message)
    assert len(found) >= len(message.entity)
    assert {column for row in found for column in row} <= set(ENTITY_COLUMNS)
