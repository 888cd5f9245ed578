from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.csv_tables import TEXT
from continuous_gtfs.gtfs.digest import content_digest
from continuous_gtfs.gtfs.feed import Feed, FeedLimits
from continuous_gtfs_tests.builders import feed_zip, small_feed
from continuous_gtfs_tests.real_data import real_data_path

REAL_FEEDS = [
    "sound_transit_2023-08/schedule.zip",
    "sound_transit_2024-11/schedule.zip",
    "raba_2025/schedule.zip",
    "kingston/schedule.zip",
    "bullrunner/schedule.zip",
    "island_transit_2009/island-transit_20090312_0314.zip",
    *(f"versions_renfe_ld/renfeld_2026-08-{day}_23-10.zip" for day in (18, 19, 20, 21)),
]
REAL_FOLDERS = ["flex_fares/ctran-fares-v2", "flex_fares/piercetransit-stop-areas-flex"]
LARGE_FEEDS = ["bench/hart.zip", "bench/mta_bus_brooklyn.zip", "bench/renfe_cercanias.zip"]


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("name", REAL_FEEDS)
def test_a_real_feed_that_no_step_touches_keeps_every_byte_of_every_member(name: str) -> None:
    data = real_data_path(name).read_bytes()
    written = Feed.from_bytes(data).to_bytes()
    assert list(members(written).items()) == list(members(data).items())
    assert content_digest(written) == content_digest(data)


@pytest.mark.parametrize("name", LARGE_FEEDS)
def test_a_large_real_feed_keeps_every_byte_of_every_member(name: str) -> None:
    data = real_data_path(name).read_bytes()
    with (
        zipfile.ZipFile(io.BytesIO(Feed.from_bytes(data).to_bytes())) as after,
        zipfile.ZipFile(io.BytesIO(data)) as before,
    ):
        assert after.namelist() == before.namelist()
        for entry in before.infolist():
            assert (after.getinfo(entry.filename).CRC, after.getinfo(entry.filename).file_size) == (
                entry.CRC,
                entry.file_size,
            )
        assert after.testzip() is None


@pytest.mark.parametrize("name", REAL_FOLDERS)
def test_a_real_feed_with_flex_and_fares_keeps_every_byte_of_every_member(name: str) -> None:
    files = {path.name: path.read_bytes() for path in sorted(real_data_path(name).iterdir())}
    assert members(Feed.from_bytes(feed_zip(files)).to_bytes()) == files


@pytest.mark.parametrize("name", REAL_FEEDS)
def test_every_table_of_a_real_feed_is_read_with_all_its_rows(name: str) -> None:
    feed = Feed.from_path(real_data_path(name))
    for file in feed.files:
        lines = len([line for line in feed.member_bytes(file).splitlines() if line])
        counted_unparsed = feed.row_counts()[file]
        assert len(feed.table(file)) == counted_unparsed
        # A value of several lines makes fewer rows than lines.
        assert counted_unparsed <= lines - 1


def test_free_text_beside_the_tables_is_carried_along_unread() -> None:
    feed = Feed.from_path(real_data_path("sound_transit_2024-11/schedule.zip"))
    stops = feed.table("stops.txt")
    feed.set_table("stops.txt", stops[stops["stop_id"] != "E09"])
    written = Feed.from_bytes(feed.to_bytes())
    assert written.member_bytes("modifications.txt").startswith(b"Below is a list of the changes")
    assert len(written.table("stops.txt")) == len(stops) - 1
    assert written.row_counts()["modifications.txt"] > 0


def test_free_text_is_refused_only_as_a_table() -> None:
    feed = Feed.from_bytes(
        small_feed(replaced={"modifications.txt": 'Changes in this version:\n\n* a 5" gap, closed\n'})
    )
    assert Feed.from_bytes(feed.to_bytes()).member_bytes("modifications.txt").endswith(b'a 5" gap, closed\n')
    assert feed.row_counts()["modifications.txt"] == 1
    with pytest.raises(FeedStructureError, match=r"modifications\.txt line 3, column 1"):
        feed.table("modifications.txt")


def test_a_large_real_feed_is_read() -> None:
    feed = Feed.from_path(real_data_path("bench/hart.zip"))
    table = feed.table("stop_times.txt")
    assert len(table) == 435_507
    assert set(table.dtypes) == {TEXT}


@given(
    st.dictionaries(
        st.sampled_from(["agency.txt", "note.txt", "logo.png", "x/y.csv"]), st.binary(max_size=60), max_size=4
    )
)
def test_any_bytes_in_members_that_no_step_touches_survive(files: dict[str, bytes]) -> None:
    given_files = {"stops.txt": b"\xef\xbb\xbfstop_id\r\nA\r\n", **files}
    assert members(Feed.from_bytes(feed_zip(given_files)).to_bytes()) == given_files


def test_a_touched_table_is_written_plainly_and_keeps_columns_it_does_not_know() -> None:
    data = small_feed(replaced={"stops.txt": '\ufeff"stop_id",x_vendor,stop_name\r\n"007","a,b",\r\n"8",c,"d"\r\n'})
    feed = Feed.from_bytes(data)
    stops = feed.table("stops.txt")
    stops.loc[stops["stop_id"] == "8", "stop_name"] = "Eight"
    feed.set_table("stops.txt", stops)
    assert feed.member_bytes("stops.txt") == b'stop_id,x_vendor,stop_name\n007,"a,b",\n8,c,Eight\n'


def test_changing_a_table_changes_no_feed_until_it_is_set() -> None:
    feed = Feed.from_bytes(small_feed())
    before = feed.member_bytes("stops.txt")
    table = feed.table("stops.txt")
    table.loc[:, "stop_name"] = "changed in place"
    table["stop_id"] = table["stop_id"] + "x"
    table.drop(index=0, inplace=True)
    assert feed.table("stops.txt")["stop_id"].tolist() == ["S", "S-1", "M", "N"]
    assert "changed in place" not in feed.table("stops.txt")["stop_name"].tolist()
    assert feed.member_bytes("stops.txt") == before


def test_changing_a_table_after_it_was_set_changes_no_feed() -> None:
    feed = Feed.from_bytes(small_feed())
    table = feed.table("stops.txt")
    table["stop_name"] = "set"
    feed.set_table("stops.txt", table)
    table.loc[:, "stop_name"] = "later"
    assert set(feed.table("stops.txt")["stop_name"]) == {"set"}


def test_a_fork_and_its_original_do_not_see_each_others_changes() -> None:
    feed = Feed.from_bytes(small_feed())
    fork = feed.fork()
    stops = feed.table("stops.txt")
    fork.set_table("stops.txt", stops.head(1))
    feed.remove_file("trips.txt")
    assert (len(feed.table("stops.txt")), len(fork.table("stops.txt"))) == (4, 1)
    assert "trips.txt" in fork
    assert fork.changed_since(feed) == {"stops.txt", "trips.txt"}


def test_setting_a_table_equal_to_what_is_there_leaves_the_file_untouched() -> None:
    data = small_feed(replaced={"stops.txt": '"stop_id"\r\n"A"\r\n'})
    feed = Feed.from_bytes(data)
    fork = feed.fork()
    fork.set_table("stops.txt", fork.table("stops.txt"))
    assert fork.changed_since(feed) == frozenset()
    assert fork.member_bytes("stops.txt") == b'"stop_id"\r\n"A"\r\n'


def test_a_new_file_comes_last_and_a_removed_one_is_gone() -> None:
    feed = Feed.from_bytes(small_feed())
    before = feed.files
    feed.set_table("levels.txt", feed.table("stops.txt")[["stop_id"]].rename(columns={"stop_id": "level_id"}))
    feed.remove_file("calendar_dates.txt")
    assert feed.files == (*(name for name in before if name != "calendar_dates.txt"), "levels.txt")
    assert Feed.from_bytes(feed.to_bytes()).files == feed.files


def test_a_file_that_cannot_be_read_can_be_replaced() -> None:
    feed = Feed.from_bytes(small_feed(replaced={"trips.txt": "a,b\n1\n"}))
    with pytest.raises(FeedStructureError, match="line 2, column 2"):
        feed.table("trips.txt")
    feed.set_table("trips.txt", feed.table("stops.txt")[["stop_id"]])
    assert len(feed.table("trips.txt")) == 4


def test_a_missing_file_is_named_with_those_that_are_there() -> None:
    feed = Feed.from_bytes(feed_zip({"stops.txt": "stop_id\n", "locations.geojson": "{}"}))
    for ask in (feed.table, feed.member_bytes, feed.remove_file):
        with pytest.raises(FeedStructureError, match=r"no trips\.txt; it has stops\.txt, locations\.geojson"):
            ask("trips.txt")
    with pytest.raises(FeedStructureError, match=r"locations\.geojson is no table"):
        feed.table("locations.geojson")


@pytest.mark.parametrize("name", ["stops", "/stops.txt", ".txt", "a\\b.txt", "../stops.txt"])
def test_a_table_needs_a_name_that_a_feed_can_hold(name: str) -> None:
    feed = Feed.from_bytes(small_feed())
    with pytest.raises(ValueError, match="no name for a table of a feed"):
        feed.set_table(name, feed.table("stops.txt"))


def test_rows_are_counted_the_same_before_and_after_parsing() -> None:
    feed = Feed.from_bytes(
        feed_zip(
            {
                "stops.txt": 'stop_id,stop_name\n1,"two\nlines"\n\n2,"say ""x"""\n3,plain',
                "trips.txt": "trip_id\n",
                "routes.txt": "route_id\r\nA\r\n\r\nB\r\n",
            }
        )
    )
    for name, count in {"stops.txt": 3, "trips.txt": 0, "routes.txt": 2}.items():
        assert feed.row_counts()[name] == count
        assert len(feed.table(name)) == count
        assert feed.row_counts()[name] == count


def test_a_file_that_is_deflated_already_is_copied_as_it_lies_in_the_zip() -> None:
    data = small_feed()
    written = Feed.from_bytes(data).to_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(io.BytesIO(written)) as after:
        for old, new in zip(before.infolist(), after.infolist(), strict=True):
            assert stored_bytes(written, new) == stored_bytes(data, old)


def stored_bytes(data: bytes, entry: zipfile.ZipInfo) -> bytes:
    start = entry.header_offset + 30 + len(entry.filename)
    return data[start : start + entry.compress_size]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_file_compressed_otherwise_is_deflated_with_the_same_content(tmp_path: Path, method: int) -> None:
    files = members(small_feed())
    path = tmp_path / "feed.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(f"folder/{name}", (2031, 1, 1, 1, 1, 2)), content)
    assert members(Feed.from_path(path).to_bytes()) == files


def test_a_damaged_file_that_no_one_touches_is_found_before_it_is_published() -> None:
    data = bytearray(small_feed(replaced={"notes.txt": "abc" * 1000}))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = archive.getinfo("notes.txt")
    data[entry.header_offset + 30 + len("notes.txt") + 4] ^= 0xFF
    with pytest.raises(FeedStructureError, match=r"notes\.txt is damaged in the zip"):
        Feed.from_bytes(bytes(data)).to_bytes()


def test_limits_are_handed_on() -> None:
    with pytest.raises(FeedStructureError, match="the limit is 3"):
        Feed.from_bytes(small_feed(), limits=FeedLimits(max_members=3))
