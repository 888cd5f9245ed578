"""The real realtime captures as test parameters, and feeds written by hand as plain dictionaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs_tests.real_data import real_data_folder

# Written by their vendors with fields in another order than by number, which is valid: the same message has
# other bytes once it is serialised here.
WRITTEN_IN_ANOTHER_ORDER = {
    "mbta_concentrate/tripupdates.pb",
    "mbta_concentrate/vehiclepositions.pb",
    "sound_transit_2023-08/trip_updates_1690679342.pb",
    "sound_transit_2023-08/trip_updates_1690865133.pb",
    "sound_transit_2023-08/vehicle_positions_1690679342.pb",
    "sound_transit_2023-08/vehicle_positions_1690865133.pb",
}


def captures() -> list[Any]:
    """Every ``.pb`` of the folder of real feeds; one skipped parameter where there is no folder."""
    folder = real_data_folder()
    found = sorted(folder.rglob("*.pb")) if folder else []
    if folder is None or not found:
        reason = "no real feeds: set CONTINUOUS_GTFS_TEST_DATA to the folder of real feeds"
        return [pytest.param(Path(), marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(path, id=capture_name(path)) for path in found]


def capture_name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def feed_message(*entities: dict[str, Any], **header: Any) -> FeedMessage:
    """A FeedMessage with these entities (ids are numbered where not given) and header fields."""
    document = {
        "header": {"gtfs_realtime_version": "2.0", "timestamp": 1_700_000_000} | header,
        "entity": [{"id": str(number)} | entity for number, entity in enumerate(entities, start=1)],
    }
    return ParseDict(document, FeedMessage())


def trip_update(trip_id: str, *stop_ids: str) -> dict[str, Any]:
    updates = [
        {"stop_sequence": sequence, "stop_id": stop_id, "arrival": {"delay": 60}}
        for sequence, stop_id in enumerate(stop_ids, start=1)
    ]
    return {"trip_update": {"trip": {"trip_id": trip_id}, "stop_time_update": updates}}


def vehicle(vehicle_id: str, stop_id: str) -> dict[str, Any]:
    return {
        "vehicle": {
            "trip": {"trip_id": f"trip of {vehicle_id}"},
            "vehicle": {"id": vehicle_id},
            "position": {"latitude": 47.5, "longitude": -122.25},
            "stop_id": stop_id,
            "current_stop_sequence": 7,
            "current_status": "STOPPED_AT",
            "occupancy_status": "MANY_SEATS_AVAILABLE",
        }
    }
