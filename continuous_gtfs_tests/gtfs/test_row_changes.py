"""What a feed says of the rows it lost, gained and changed since it was forked."""

from __future__ import annotations

import numpy as np

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.pipeline.results import RowChanges
from continuous_gtfs_tests.builders import small_feed


def fork() -> Feed:
    return Feed.from_bytes(small_feed()).fork()


def test_a_row_set_twice_was_changed_once() -> None:
    feed = fork()
    is_bus = feed.keys("routes.txt", "route_id").is_in({"007"})
    feed.set_cells("routes.txt", is_bus, {"route_color": "111111"})
    feed.set_cells("routes.txt", is_bus, {"route_text_color": "222222"})
    assert feed.row_changes() == {"routes.txt": RowChanges(changed=1)}


def test_a_row_that_was_changed_and_then_removed_counts_as_removed_alone() -> None:
    feed = fork()
    feed.set_cells("trips.txt", np.array([True, True, False]), {"trip_headsign": "South End"})
    feed.sort_rows("trips.txt", np.array([2, 1, 0]))
    feed.add_rows("trips.txt", {"trip_id": ["T3"]})
    feed.drop_rows("trips.txt", feed.keys("trips.txt", "trip_id").is_in({"T1"}))
    assert feed.row_changes() == {"trips.txt": RowChanges(removed=1, added=1, changed=1, removed_sample=("T1",))}


def test_a_table_written_as_a_whole_tells_changed_rows_from_removed_and_added_ones() -> None:
    feed = fork()
    stops = feed.table("stops.txt")
    stops.loc[stops["stop_id"] == "M", "stop_name"] = "Mill Square"
    stops.loc[stops["stop_id"] == "N", "stop_id"] = "N-1"
    feed.set_table("stops.txt", stops)
    assert feed.row_changes() == {"stops.txt": RowChanges(removed=1, added=1, changed=1, removed_sample=("N",))}


def test_a_file_that_was_removed_has_no_changed_rows() -> None:
    feed = fork()
    feed.set_cells("feed_info.txt", np.array([True]), {"feed_lang": "es"})
    feed.remove_file("feed_info.txt")
    assert feed.row_changes() == {"feed_info.txt": RowChanges(removed=1)}


def test_changes_survive_json() -> None:
    changes = RowChanges(removed=1, added=2, changed=3, removed_sample=("a",))
    assert RowChanges.from_dict(changes.to_dict()) == changes
