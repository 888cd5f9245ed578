"""The testing kit for realtime steps: what it builds and what it says of a field that does not exist."""

from __future__ import annotations

import doctest
from datetime import date

import pytest

from continuous_gtfs import testing_realtime
from continuous_gtfs.errors import UnreadableMessageError
from continuous_gtfs.testing import NOW, small_feed
from continuous_gtfs.testing_realtime import entities, realtime_feeds, schedule_index


def test_the_example_in_its_docstring_is_true() -> None:
    results = doctest.testmod(testing_realtime)
    assert results.attempted > 4
    assert results.failed == 0


def test_feeds_are_as_described_with_numbers_for_ids_and_a_fresh_header() -> None:
    feeds = realtime_feeds(
        vehicle_positions=[{"vehicle": {"stop_id": "A"}}, {"id": "x", "is_deleted": True}], alerts=[]
    )
    assert feeds.names == ("vehicle_positions", "alerts")
    assert entities(feeds, "vehicle_positions") == [
        {"id": "1", "vehicle": {"stop_id": "A"}},
        {"id": "x", "is_deleted": True},
    ]
    assert feeds.message("alerts").header.timestamp == int(NOW.timestamp())
    assert realtime_feeds(header={"timestamp": 7}, alerts=[]).message("alerts").header.timestamp == 7


def test_a_field_that_does_not_exist_is_named_with_its_feed() -> None:
    with pytest.raises(UnreadableMessageError, match=r"trip_updates: .*trip_idd"):
        realtime_feeds(trip_updates=[{"trip_update": {"trip": {"trip_idd": "1"}}}])


def test_the_schedule_to_ask_is_that_of_the_feed() -> None:
    index = schedule_index(small_feed())
    assert list(index.trips) == ["NIGHT", "T1", "T2"]
    assert index.runs_on("T1", date(2026, 6, 1))
