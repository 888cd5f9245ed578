from __future__ import annotations

import json

import pytest

from continuous_gtfs.gtfs.checks.references import dangling_references, references_resolve
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs_tests.builders import csv_text, small_feed, small_feed_files


def feed(**replaced: str) -> Feed:
    return Feed.from_bytes(small_feed(replaced={f"{name}.txt": text for name, text in replaced.items()}))


def edited(name: str, old: str, new: str) -> str:
    text = small_feed_files()[f"{name}.txt"]
    assert old in text
    return text.replace(old, new)


def test_the_small_feed_refers_to_nothing_that_is_not_there() -> None:
    found = dangling_references(feed())
    assert (found.rows, found.unreadable) == ({}, {})
    assert references_resolve(found).is_passed


@pytest.mark.parametrize(
    ("name", "old", "new", "column", "lost"),
    [
        ("trips", "007,DAY,T1", "GONE,DAY,T1", "trips.txt route_id", {"GONE": 1}),
        ("trips", "007,DAY,T1", "007,NIGHTS,T1", "trips.txt service_id", {"NIGHTS": 1}),
        ("stops", "N,North End", "O,North End", "stop_times.txt stop_id", {"N": 3}),
        ("stops", ",0,S\n", ",0,X\n", "stops.txt parent_station", {"X": 1}),
        ("routes", "007,A,", "007,B,", "routes.txt agency_id", {"B": 1}),
    ],
)
def test_an_id_that_is_defined_nowhere_is_counted_by_column(
    name: str, old: str, new: str, column: str, lost: dict[str, int]
) -> None:
    found = dangling_references(feed(**{name: edited(name, old, new)}))
    assert found.rows[column] == lost
    outcome = references_resolve(found, dangling_references(feed()))
    assert not outcome.is_passed
    assert column in outcome.message
    assert outcome.numbers["dangling"][column] == {
        "rows": sum(lost.values()),
        "ids": len(lost),
        "sample": sorted(lost),
    }
    assert json.dumps(outcome.numbers)


def test_a_blank_cell_and_the_spaces_around_an_id_are_no_dangling_reference() -> None:
    padded = edited("trips", "007,DAY,T1", " 007 ,DAY,T1")
    without_parent = edited("stops", ",0,S\n", ",0, \n")
    assert dangling_references(feed(trips=padded, stops=without_parent)).rows == {}


def test_what_dangled_before_does_not_block_and_another_id_does() -> None:
    old = dangling_references(feed(trips=edited("trips", "007,DAY,T1", "GONE,DAY,T1")))
    assert references_resolve(old, old).is_passed
    assert references_resolve(old, old).numbers["dangling_rows_known_before"] == 1
    other = dangling_references(feed(trips=edited("trips", "007,DAY,T1", "LOST,DAY,T1")))
    assert not references_resolve(other, old).is_passed
    assert references_resolve(other, old, other).is_passed


def test_service_of_calendar_dates_alone_is_defined() -> None:
    files = small_feed_files()
    trips = files["trips.txt"].replace("N7,DAY,NIGHT", "N7,EXTRA,NIGHT")
    found = dangling_references(
        feed(trips=trips, calendar_dates=csv_text("service_id,date,exception_type", "EXTRA,20260601,1"))
    )
    assert found.rows == {}


def test_a_file_that_cannot_be_read_is_not_a_file_without_dangling_references() -> None:
    broken = feed(routes="route_id,route_type\n007\n")
    found = dangling_references(broken)
    assert "routes.txt" in found.unreadable
    assert "trips.txt route_id" not in found.rows, "any id might be defined in the file that cannot be read"
    outcome = references_resolve(found, dangling_references(feed()))
    assert not outcome.is_passed
    assert "routes.txt cannot be read" in outcome.message
    assert references_resolve(found, found).is_passed, "it could not be read before either"
