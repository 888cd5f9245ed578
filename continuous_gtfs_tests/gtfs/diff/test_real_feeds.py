from __future__ import annotations

import itertools
import json
import re

import pytest

from continuous_gtfs.gtfs.diff.feeds import diff_feeds
from continuous_gtfs.gtfs.diff.markdown import markdown
from continuous_gtfs.gtfs.diff.pictures import stops_map_png, trips_by_date_png
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs_tests.builders import feed_zip
from continuous_gtfs_tests.real_data import real_data_path

ZIPS = [
    "sound_transit_2023-08/schedule.zip",
    "sound_transit_2024-11/schedule.zip",
    "raba_2025/schedule.zip",
    "kingston/schedule.zip",
    "bullrunner/schedule.zip",
    "island_transit_2009/island-transit_20090312_0314.zip",
    "versions_renfe_ld/renfeld_2026-08-18_23-10.zip",
    "bench/hart.zip",
    "bench/mta_bus_brooklyn.zip",
    "bench/renfe_cercanias.zip",
]
FOLDERS = ["flex_fares/ctran-fares-v2", "flex_fares/piercetransit-stop-areas-flex"]


def real_feed(name: str) -> Feed:
    path = real_data_path(name)
    if path.is_dir():
        return Feed.from_bytes(feed_zip({file.name: file.read_bytes() for file in sorted(path.iterdir())}))
    return Feed.from_path(path)


@pytest.mark.parametrize("name", [*ZIPS, *FOLDERS])
def test_a_real_feed_is_the_same_as_itself(name: str) -> None:
    diff = diff_feeds(real_feed(name), real_feed(name))
    assert diff.is_same
    assert (diff.trips.could_not_tell, diff.trips.renumbered.count) == ("", 0)


@pytest.mark.parametrize("name", [*ZIPS[:7], *FOLDERS])
def test_a_real_feed_written_with_other_line_ends_is_the_same(name: str) -> None:
    """None of the bytes is equal then, so that every cell is compared."""
    feed = real_feed(name)
    other = {file: bytes(feed.member_bytes(file)) for file in feed.files}
    for file, data in other.items():
        if file.endswith(".txt") and b'"' not in data and file != "modifications.txt":
            unix = data.replace(b"\r\n", b"\n")
            other[file] = unix if unix != data else data.replace(b"\n", b"\r\n")
    assert diff_feeds(feed, Feed.from_bytes(feed_zip(other))).is_same


@pytest.mark.parametrize("name", [*ZIPS[:6], "bench/hart.zip"])
def test_a_real_feed_with_all_its_trips_re_numbered_has_none_added_and_none_removed(name: str) -> None:
    feed = real_feed(name)
    other = {file: bytes(feed.member_bytes(file)) for file in feed.files}
    ids = feed.keys("trips.txt", "trip_id").present()
    renamed = feed.fork()
    for file in ("trips.txt", "stop_times.txt", "frequencies.txt"):
        if file in feed:
            keys = feed.keys(file, "trip_id")
            renamed.set_cells(file, ~keys.is_blank(), {"trip_id": [f"n-{text}" for text in keys.texts() if text]})
    assert len(other) == len(renamed.files)
    diff = diff_feeds(feed, renamed)
    trips = diff.trips
    assert (trips.added.count, trips.removed.count, trips.renumbered.count) == (0, 0, len(ids))
    for file in diff.files:
        assert file.rows is not None
        assert (file.rows.added, file.rows.removed, file.rows.changed) == (0, 0, 0), file.file


def test_the_same_operator_from_day_to_day() -> None:
    folder = real_data_path("versions_renfe_ld")
    days = [Feed.from_path(path) for path in sorted(folder.glob("*.zip"))]
    assert len(days) == 4
    for before, after in itertools.pairwise(days):
        diff = diff_feeds(before, after)
        assert not diff.is_same
        assert diff.trips.could_not_tell == diff.service.could_not_tell_after == ""
        trips = diff.trips
        assert trips.renumbered.count > 10 * trips.removed.count, "ids hold the date, and most trips stay"
        assert trips.before - trips.removed.count + trips.added.count == trips.after
        assert len(diff.to_text().splitlines()) < 50
        json.dumps(diff.to_dict())


def test_two_years_of_one_agency_make_small_pictures_and_a_page() -> None:
    diff = diff_feeds(real_feed(ZIPS[0]), real_feed(ZIPS[1]))
    assert (diff.stops.added.count, diff.stops.removed.count) == (61, 8)
    assert max(len(trips_by_date_png(diff)), len(stops_map_png(diff))) < 60_000
    assert len(re.findall(r"!\[", markdown(diff))) == 2


def test_a_feed_of_many_stops_makes_a_small_map() -> None:
    diff = diff_feeds(real_feed("sound_transit_2024-11/schedule.zip"), real_feed("bench/mta_bus_brooklyn.zip"))
    assert diff.stops.added.count > 4000
    assert len(stops_map_png(diff)) < 60_000
