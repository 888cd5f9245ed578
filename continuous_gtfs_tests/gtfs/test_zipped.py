from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.zipped import FeedLimits, ZippedFeed
from continuous_gtfs_tests.builders import feed_zip, small_feed

STOPS = "stop_id\nA\n"


def zip_of(*members: tuple[str, str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Like ``feed_zip``, with names that may come twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return buffer.getvalue()


def test_members_are_named_in_the_order_of_the_zip_and_read_whole() -> None:
    zipped = ZippedFeed(feed_zip({"b.txt": "b", "stops.txt": STOPS, "a.bin": b"\x00\xff"}))
    assert zipped.names == ("b.txt", "stops.txt", "a.bin")
    assert zipped.read("a.bin") == b"\x00\xff"
    assert b"".join(zipped.chunks("stops.txt")) == STOPS.encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"<html>503</html>", r"not a zip but HTML or XML \(16 bytes\)"),
        (feed_zip({"stops.txt": STOPS})[:-30], "cut short or damaged"),
        (feed_zip({"trips.txt": "trip_id\n"}), "no stops.txt; it has trips.txt"),
        (feed_zip({}), "no stops.txt; it has no files at all"),
        (feed_zip({"a/stops.txt": STOPS, "b/stops.txt": STOPS}), "stops.txt in 2 folders: a/, b/"),
        (feed_zip({"stops.txt": STOPS, "../evil.txt": ""}), "leaves the feed's folder"),
        (feed_zip({"stops.txt": STOPS, "/etc/evil.txt": ""}), "an absolute path"),
        (feed_zip({"stops.txt": STOPS, "C:evil.txt": ""}), "an absolute path"),
        (feed_zip({"stops.txt": STOPS, "a\\evil.txt": ""}), "a backslash in its name"),
        (feed_zip({"stops.txt": STOPS, "a//evil.txt": ""}), "an empty folder name"),
    ],
)
def test_what_is_no_feed_is_refused_with_the_reason(data: bytes, said: str) -> None:
    with pytest.raises(FeedStructureError, match=said):
        ZippedFeed(data)


def test_a_member_that_is_there_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zip_of(("stops.txt", STOPS), ("stops.txt", "stop_id\nB\n"))
    with pytest.raises(FeedStructureError, match=r"stops.txt 2 times; which one counts\?"):
        ZippedFeed(data)


def test_an_encrypted_member_is_refused() -> None:
    data = bytearray(feed_zip({"stops.txt": STOPS}))
    data[6] |= 1
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    with pytest.raises(FeedStructureError, match=r"stops.txt is encrypted"):
        ZippedFeed(bytes(data))


def test_a_compression_that_cannot_be_read_is_refused_by_number() -> None:
    data = bytearray(feed_zip({"stops.txt": STOPS}))
    directory = data.index(b"PK\x01\x02")
    data[directory + 10] = 9
    with pytest.raises(FeedStructureError, match=r"stops.txt is compressed by method 9"):
        ZippedFeed(bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_of_the_standard_library_is_read(method: int) -> None:
    assert ZippedFeed(zip_of(("stops.txt", STOPS), method=method)).read("stops.txt") == STOPS.encode()


def test_damaged_bytes_are_found_when_the_member_is_read_and_named() -> None:
    data = bytearray(zip_of(("stops.txt", STOPS), ("trips.txt", "trip_id\n"), method=zipfile.ZIP_STORED))
    data[data.index(STOPS.encode())] ^= 1
    zipped = ZippedFeed(bytes(data))
    assert zipped.read("trips.txt") == b"trip_id\n"
    with pytest.raises(FeedStructureError, match=r"stops.txt is damaged in the zip: Bad CRC-32"):
        zipped.read("stops.txt")
    with pytest.raises(FeedStructureError, match=r"stops.txt is damaged"):
        list(zipped.chunks("stops.txt"))


def test_the_one_sub_folder_of_a_feed_is_taken_off_and_tools_leavings_are_ignored() -> None:
    zipped = ZippedFeed(
        feed_zip(
            {
                "gtfs/": "",
                "gtfs/stops.txt": STOPS,
                "gtfs/docs/readme.md": "read",
                "__MACOSX/gtfs/._stops.txt": "resource fork",
                "gtfs/.DS_Store": "finder",
                "LICENSE": "terms",
            }
        )
    )
    assert zipped.names == ("stops.txt", "docs/readme.md", "LICENSE")
    assert zipped.read("stops.txt") == STOPS.encode()


def test_files_of_the_sub_folder_and_beside_it_must_not_share_a_name() -> None:
    with pytest.raises(FeedStructureError, match=r"trips.txt 2 times"):
        ZippedFeed(feed_zip({"gtfs/stops.txt": STOPS, "gtfs/trips.txt": "a", "trips.txt": "b"}))


@pytest.mark.parametrize("other", ["Stops.TXT", "ſtops.txt", "gtfs/../stops.txt"])
def test_names_that_are_one_file_on_some_systems_are_refused(other: str) -> None:
    with pytest.raises(FeedStructureError, match=r"which one counts|leaves the feed's folder"):
        ZippedFeed(feed_zip({"stops.txt": STOPS, other: "stop_id\nevil\n"}))


def test_a_name_written_in_two_ways_of_unicode_is_one_name() -> None:
    with pytest.raises(FeedStructureError, match="which one counts"):
        ZippedFeed(feed_zip({"stops.txt": STOPS, "caf\u00e9.txt": "a", "cafe\u0301.txt": "b"}))


@pytest.mark.parametrize(
    "name",
    [
        *("../stops.txt", "/etc/passwd", "a/../../b.txt", "C:/b.txt", "C:b.txt", "..\\b.txt", "a//b.txt", "./b.txt"),
        *("b\x1b[31m.txt", "b\r\nforged.txt", "b\u202etxt.exe", "b\u200b.txt", "b\u2028.txt", "b" * 300, "b" * 60_000),
    ],
)
def test_a_name_that_leads_astray_is_refused_in_one_short_line(name: str) -> None:
    with pytest.raises(FeedStructureError, match="the zip member") as refusal:
        ZippedFeed(feed_zip({"stops.txt": STOPS, name: "x"}))
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) <= 2000


def with_long_lengths(data: bytes, size: int) -> bytes:
    """The zip whose last member says in the way of zip64 how long it is."""
    start = data.rindex(b"PK\x01\x02")
    end = data.rindex(b"PK\x05\x06")
    entry = bytearray(data[start:end])
    extra = struct.pack("<HHQ", 1, 8, size)
    name_bytes = int.from_bytes(entry[28:30], "little")
    entry[24:28] = b"\xff" * 4
    entry[30:32] = len(extra).to_bytes(2, "little")
    entry[46 + name_bytes : 46 + name_bytes] = extra
    last = bytearray(data[end:])
    last[12:16] = (int.from_bytes(last[12:16], "little") + len(extra)).to_bytes(4, "little")
    return data[:start] + bytes(entry) + bytes(last)


@pytest.mark.parametrize("size", [1 << 40, (1 << 63) - 1, (1 << 64) - 1])
def test_a_length_of_terabytes_is_refused_before_anything_is_read(size: int) -> None:
    with pytest.raises(FeedStructureError, match="bytes unzipped; the limit is"):
        ZippedFeed(with_long_lengths(feed_zip({"stops.txt": STOPS, "shapes.txt": "x"}), size))


def test_members_that_share_their_bytes_count_each_for_itself() -> None:
    data = feed_zip({"stops.txt": STOPS, "shapes.txt": "0" * 4_000_000})
    start, end = data.rindex(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    copies = [data[start:end].replace(b"shapes.txt", b"shape%04d" % number + b"t") for number in range(600)]
    copies = [copy[:28] + (10).to_bytes(2, "little") + copy[30:] for copy in copies]
    last = bytearray(data[end:])
    directory = data.index(b"PK\x01\x02")
    entries = data[directory:start] + b"".join(copies)
    last[8:12] = struct.pack("<HH", 601, 601)
    last[12:16] = len(entries).to_bytes(4, "little")
    bomb = data[:directory] + entries + bytes(last)
    assert len(bomb) < 100_000
    with pytest.raises(FeedStructureError, match="2,400,000,010 bytes unzipped; the limit is 2,147,483,648"):
        ZippedFeed(bomb)


def test_a_feed_of_zones_may_have_no_stops() -> None:
    assert ZippedFeed(feed_zip({"locations.geojson": "{}"})).names == ("locations.geojson",)


def test_size_limits_are_on_unzipped_bytes_and_members() -> None:
    data = feed_zip({"stops.txt": STOPS, "shapes.txt": "x" * 1000})
    with pytest.raises(FeedStructureError, match="the feed is 1,010 bytes unzipped; the limit is 1,009"):
        ZippedFeed(data, limits=FeedLimits(max_total_bytes=1009))
    with pytest.raises(FeedStructureError, match="2 members; the limit is 1"):
        ZippedFeed(data, limits=FeedLimits(max_members=1))
    assert ZippedFeed(data, limits=FeedLimits(max_total_bytes=1010, max_members=2)).names


def test_a_member_that_compresses_a_thousandfold_is_no_offence() -> None:
    data = feed_zip({"stops.txt": STOPS, "stop_times.txt": "0" * 5_000_000})
    assert len(data) * 500 < 5_000_000
    assert len(ZippedFeed(data).read("stop_times.txt")) == 5_000_000


def test_a_member_longer_than_its_directory_says_is_not_inflated_past_that() -> None:
    data = bytearray(feed_zip({"stops.txt": STOPS, "shapes.txt": "x" * 100_000}))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[second + 24 : second + 28] = (10).to_bytes(4, "little")
    zipped = ZippedFeed(bytes(data), limits=FeedLimits(max_total_bytes=1000))
    with pytest.raises(FeedStructureError, match=r"shapes.txt is damaged"):
        zipped.read("shapes.txt")


def test_a_zip_of_zips_is_refused_by_the_names_in_it() -> None:
    with pytest.raises(FeedStructureError, match=r"holds other zips, not a feed: a\.zip, b\.ZIP"):
        ZippedFeed(feed_zip({"a.zip": small_feed(), "b.ZIP": small_feed()}))


def patched(data: bytes, name: str, size: int) -> bytes:
    """The zip with another length in the directory's entry for the last member."""
    start = data.rindex(b"PK\x01\x02")
    assert data[start + 46 :].startswith(name.encode())
    return data[: start + 24] + size.to_bytes(4, "little") + data[start + 28 :]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("declared", [10, 5_000_000])
def test_a_member_of_another_length_than_the_directory_says_is_damaged(method: int, declared: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("stops.txt", "stop_id\nA\n")
        archive.writestr("notes.txt", "0" * 4_000_000)
    zipped = ZippedFeed(patched(buffer.getvalue(), "notes.txt", declared))
    with pytest.raises(FeedStructureError, match=r"notes\.txt is damaged in the zip"):
        zipped.read("notes.txt")


def test_bytes_after_the_end_of_a_deflated_stream_are_not_handed_on() -> None:
    data = b"stop_id\nA\n"
    packed = zlib.compressobj(6, zlib.DEFLATED, -15)
    stream = packed.compress(data) + packed.flush() + b"SECRET"
    info = zipfile.ZipInfo("stops.txt")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, stream)
    raw = bytearray(buffer.getvalue())
    central = raw.rindex(b"PK\x01\x02")
    for start in (0 + 8, central + 10):
        raw[start : start + 2] = (8).to_bytes(2, "little")
    for start in (0 + 14, central + 16):
        raw[start : start + 12] = struct.pack("<3I", zlib.crc32(data), len(stream), len(data))
    zipped = ZippedFeed(bytes(raw))
    assert zipped.read("stops.txt") == data
    assert zipped.deflated("stops.txt") is None
    assert b"SECRET" not in Feed.from_bytes(bytes(raw)).to_bytes()


def test_a_second_feed_below_the_first_is_refused() -> None:
    with pytest.raises(FeedStructureError, match=r"stops\.txt in 2 folders: the top, other/"):
        ZippedFeed(feed_zip({"stops.txt": "stop_id\n", "other/stops.txt": "stop_id\n"}))


def test_a_name_in_utf8_is_read_as_such_also_where_the_zip_does_not_say_so() -> None:
    data = feed_zip({"stops.txt": "stop_id\n", "fooXX.txt": "x\n"}).replace(b"fooXX.txt", "foo\u00e9.txt".encode())
    assert ZippedFeed(data).names == ("stops.txt", "foo\u00e9.txt")


def test_a_zip_of_far_too_many_members_is_refused_before_they_are_listed() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("stops.txt", "stop_id\n")
    # Only their marks are there: whoever lists them says that the zip is damaged.
    data = b"PK\1\2" * 10_001 + buffer.getvalue()
    with pytest.raises(FeedStructureError, match=r"10002 members; the limit is 1000"):
        ZippedFeed(data)
