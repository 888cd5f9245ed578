from __future__ import annotations

import json
from dataclasses import replace

import pytest

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.diff.feeds import diff_feeds
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs_tests.builders import csv_text, small_feed_files
from continuous_gtfs_tests.gtfs.diff.feeds import diff_of, edited, feed, file_of

STOPS = small_feed_files()["stops.txt"]
HEADER, *ROWS = STOPS.splitlines()


@pytest.mark.parametrize(
    "stops",
    [
        STOPS,
        csv_text(HEADER, *reversed(ROWS)),
        "\ufeff" + STOPS.replace("\n", "\r\n"),
        STOPS.replace("Mill Street", '"Mill Street"'),
        STOPS.replace("Mill Street", "  Mill Street "),
        STOPS.replace("stop_id,", " stop_id ,"),
        STOPS.rstrip("\n"),
        csv_text(*(",".join(reversed(line.split(","))) for line in (HEADER, *ROWS))),
    ],
    ids=[
        "bytes",
        "row order",
        "BOM and CRLF",
        "quotes",
        "padding",
        "padded header",
        "no last line end",
        "column order",
    ],
)
def test_the_same_cells_are_the_same_content_however_they_are_written(stops: str) -> None:
    diff = diff_of({"stops.txt": stops})
    assert diff.is_same
    assert diff.files == ()


def test_a_changed_cell_is_told_with_its_key_both_values_and_the_lines() -> None:
    diff = diff_of(edited("stops.txt", ("Mill Street", "Mill St")))
    assert not diff.is_same
    [file] = diff.files
    assert file.rows is not None
    assert (file.file, file.rows.added, file.rows.removed, file.rows.changed) == ("stops.txt", 0, 0, 1)
    [change] = file.rows.changed_sample
    assert change.key == {"stop_id": "M"}
    assert change.cells == {"stop_name": ("Mill Street", "Mill St")}
    assert (change.line_before, change.line_after) == (4, 4)


def test_rows_are_added_and_removed_by_their_key() -> None:
    diff = diff_of(edited("stops.txt", ("M,Mill", "O,Mill")))
    rows = file_of(diff, "stops.txt").rows
    assert rows is not None
    assert (rows.added, rows.removed, rows.changed) == (1, 1, 0)
    assert [row.key for row in rows.added_sample] == [{"stop_id": "O"}]
    assert [row.before and row.before["stop_name"] for row in rows.removed_sample] == ["Mill Street"]


def test_rows_that_share_a_key_are_counted_one_by_one() -> None:
    twice = "M,Mill Street,47.620000,-122.330000,0,\n"
    diff = diff_of({"stops.txt": STOPS + twice}, {"stops.txt": STOPS + twice + twice.replace("Mill", "Hill")})
    rows = file_of(diff, "stops.txt").rows
    assert rows is not None
    assert (rows.before, rows.after, rows.added, rows.removed, rows.changed) == (6, 5, 0, 1, 0)
    assert [row.before and row.before["stop_name"] for row in rows.removed_sample] == ["Hill Street"]


def test_a_new_column_is_told_once_and_changes_no_row() -> None:
    lines = [f"{line},{cell}" for line, cell in zip(STOPS.splitlines(), ["stop_code", "1", "2", "3", "4"], strict=True)]
    file = file_of(diff_of({"stops.txt": csv_text(*lines)}), "stops.txt")
    assert (file.columns_added, file.columns_removed) == (("stop_code",), ())
    assert file.rows is not None
    assert file.rows.is_same
    back = file_of(diff_of({}, {"stops.txt": csv_text(*lines)}), "stops.txt")
    assert (back.columns_added, back.columns_removed) == ((), ("stop_code",))


def test_files_come_and_go_with_their_rows() -> None:
    levels = {"levels.txt": csv_text("level_id,level_index", "L1,0", "L2,1")}
    added = file_of(diff_of(levels), "levels.txt")
    assert (added.status, added.columns_added) == ("added", ("level_id", "level_index"))
    assert added.rows is not None
    assert (added.rows.added, added.rows.removed) == (2, 0)
    removed = file_of(diff_of({}, levels), "levels.txt")
    assert removed.rows is not None
    assert (removed.status, removed.rows.added, removed.rows.removed) == ("removed", 0, 2)


def test_a_file_that_no_one_knows_is_compared_by_whole_rows_and_their_order_counts() -> None:
    one, other = (csv_text("id,word", *rows) for rows in (["1,a", "2,b", "3,c"], ["2,b", "1,a", "3,c"]))
    reordered = file_of(diff_of({"words.txt": other}, {"words.txt": one}), "words.txt").rows
    assert reordered is not None
    assert (reordered.is_reordered, reordered.added, reordered.removed, reordered.changed) == (True, 0, 0, 0)
    changed = file_of(diff_of({"words.txt": one.replace("2,b", "2,x")}, {"words.txt": one}), "words.txt").rows
    assert changed is not None
    assert (changed.is_reordered, changed.added, changed.removed, changed.changed) == (False, 1, 1, 0)


def test_a_table_without_its_key_or_with_a_single_row_is_paired_in_order() -> None:
    diff = diff_of(edited("feed_info.txt", ("small-1", "small-2")))
    rows = file_of(diff, "feed_info.txt").rows
    assert rows is not None
    assert (rows.added, rows.removed, rows.changed) == (0, 0, 1)
    assert rows.changed_sample[0].cells == {"feed_version": ("small-1", "small-2")}


@pytest.mark.parametrize(
    ("name", "one", "other", "reason"),
    [
        ("notes.txt", "free text, no table\nat all\n", "free text, no table\nat all, it is\n", "notes.txt line 2"),
        ("levels.txt", "level_id,level_index\nL1\n", "level_id,level_index\nL1,0\n", "before: levels.txt line 2"),
        ("locations.geojson", "{}", '{"type": "FeatureCollection"}', ""),
        ("logo.png", b"\x89PNG", b"\x89PNG\0", ""),
    ],
)
def test_what_is_no_table_is_compared_as_bytes_and_the_reason_is_given(
    name: str, one: str | bytes, other: str | bytes, reason: str
) -> None:
    assert diff_of({name: one}, {name: one}).is_same
    file = file_of(diff_of({name: other}, {name: one}), name)
    assert (file.status, file.rows) == ("changed", None)
    assert reason in file.could_not_tell
    assert bool(file.could_not_tell) == bool(reason)


def test_counts_are_complete_and_samples_are_cut() -> None:
    many = csv_text("level_id,level_index", *(f"L{number},{number}" for number in range(50)))
    rows = file_of(
        diff_of({"levels.txt": many.replace(",1\n", ",100\n")}, {"levels.txt": many}, sample=5), "levels.txt"
    ).rows
    assert rows is not None
    assert rows.changed == 1
    gone = file_of(diff_of({"levels.txt": "level_id,level_index\n"}, {"levels.txt": many}, sample=5), "levels.txt").rows
    assert gone is not None
    assert (gone.removed, len(gone.removed_sample)) == (50, 5)
    assert [row.line_before for row in gone.removed_sample] == [2, 3, 4, 5, 6]


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    before = 'level_id,level_index,level_name\nL1,0,"two\nlines"\n\nL2,1,x\n'
    rows = file_of(diff_of({"levels.txt": before.replace("x", "y")}, {"levels.txt": before}), "levels.txt").rows
    assert rows is not None
    assert [(row.line_before, row.line_after) for row in rows.changed_sample] == [(5, 5)]


def test_routes_are_added_removed_and_changed() -> None:
    diff = diff_of(edited("routes.txt", ("N7,A,N7", "N8,A,N8"), ("003366", "003377")))
    assert [one["route_id"] for one in diff.routes.added.sample] == ["N8"]
    assert [one["route_id"] for one in diff.routes.removed.sample] == ["N7"]
    [changed] = diff.routes.changed.sample
    assert changed["route_id"] == "007"
    assert changed["cells"] == {"route_color": {"before": "003366", "after": "003377"}}


def test_a_feed_without_routes_and_trips_is_compared_too() -> None:
    gone = ("routes.txt", "trips.txt", "stop_times.txt")
    diff = diff_feeds(feed(), feed(without=gone))
    assert [file.file for file in diff.files if file.status == "removed"] == [
        "routes.txt",
        "stop_times.txt",
        "trips.txt",
    ]
    assert (diff.routes.removed.count, diff.trips.removed.count, diff.trips.after) == (2, 3, 0)


def test_a_changed_feed_is_compared_as_it_would_be_written() -> None:
    before = feed()
    after = before.fork()
    after.drop_rows("trips.txt", after.keys("trips.txt", "trip_id").is_in({"T2"}))
    after.set_cells("stops.txt", after.keys("stops.txt", "stop_id").is_in({"M"}), {"stop_name": "Mill Lane"})
    diff = diff_feeds(before, after)
    assert (diff.trips.removed.count, diff.stops.renamed.count) == (1, 1)
    assert diff_feeds(after, Feed.from_bytes(after.to_bytes())).is_same


def test_the_same_diff_gives_the_same_json_and_nothing_that_json_has_not() -> None:
    changes = edited("stops.txt", ("Mill Street", "Mill St")) | edited("trips.txt", ("T1", "X1"), ("T2", "X2"))
    first, second = (json.dumps(diff_of(changes).to_dict()) for _ in range(2))
    assert first == second
    assert json.loads(first)["is_same"] is False
    assert replace(diff_of(changes), sample=3).to_dict()["sample"] == 3


def test_a_damaged_member_is_an_error_and_not_an_empty_file() -> None:
    data = bytearray(feed().to_bytes())
    place = data.index(b"stop_times.txt") + 40
    data[place] ^= 0xFF
    with pytest.raises(FeedStructureError, match=r"stop_times\.txt is damaged"):
        diff_feeds(feed(), Feed.from_bytes(bytes(data)))
