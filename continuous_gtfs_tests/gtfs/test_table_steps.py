from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from continuous_gtfs.errors import StepDefinitionError, StepFailedError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.steps import AddRows, MergeTable, ReferenceTable, RewriteIds, SortRows, where
from continuous_gtfs.pipeline.results import RowChanges, StepResult
from continuous_gtfs.pipeline.running import run_step
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs_tests.builders import csv_text, small_feed
from continuous_gtfs_tests.gtfs.test_removals import full_feed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(step: Step[Feed], feed: Feed | None = None) -> tuple[Feed, StepResult]:
    return run_step(step, feed or Feed.from_bytes(small_feed()), now=NOW)


def column(feed: Feed, file: str, name: str) -> list[str]:
    return feed.keys(file, name).texts()


def test_an_id_is_rewritten_wherever_the_reference_lets_it_stand() -> None:
    feed, result = run(RewriteIds("stop_id", r"^S", "STATION"), full_feed())
    assert column(feed, "stops.txt", "stop_id") == ["STATION", "STATION-1", "STATION-E", "M", "N"]
    assert column(feed, "stops.txt", "parent_station") == ["", "STATION", "STATION", "", ""]
    assert column(feed, "stop_times.txt", "stop_id")[0] == "STATION-1"
    assert column(feed, "pathways.txt", "from_stop_id") == ["STATION-E"]
    assert column(feed, "stop_areas.txt", "stop_id") == ["STATION-1", "M"]
    assert column(feed, "transfers.txt", "to_stop_id") == ["M", "M", "STATION"]
    assert column(feed, "translations.txt", "record_id") == ["N7", "STATION", "NIGHT", ""]
    assert result.changes["stops.txt"] == RowChanges(changed=3)
    assert not any(changes.removed or changes.added for changes in result.changes.values())


def test_a_service_is_rewritten_in_calendars_trips_timeframes_and_booking_rules() -> None:
    feed, _ = run(RewriteIds("service_id", r"^(OLD|NIGHTS)$", r"X_\1"), full_feed())
    assert "X_NIGHTS" in column(feed, "calendar.txt", "service_id")
    assert column(feed, "calendar_dates.txt", "service_id") == ["X_NIGHTS", "EXTRA"]
    assert column(feed, "trips.txt", "service_id") == ["DAY", "DAY", "X_NIGHTS"]
    assert column(feed, "timeframes.txt", "service_id") == ["DAY", "X_NIGHTS"]
    assert column(feed, "booking_rules.txt", "prior_notice_service_id") == ["X_OLD"]


def test_only_ids_of_rows_that_match_are_rewritten() -> None:
    feed, _ = run(RewriteIds("trip_id", r"$", "x", where("route_id", equals="N7")), full_feed())
    assert column(feed, "trips.txt", "trip_id") == ["T1", "T2", "NIGHTx"]
    assert column(feed, "frequencies.txt", "trip_id") == ["T1", "NIGHTx"]


def test_two_ids_that_would_become_one_fail_the_step() -> None:
    with pytest.raises(StepFailedError, match=r"1 trip_ids would take the name of another: 'T' \(from T2\)"):
        run(RewriteIds("trip_id", r"\d$", ""))
    with pytest.raises(StepFailedError, match="would take the name of another"):
        run(RewriteIds("trip_id", "T2", "T1"))
    with pytest.raises(StepFailedError, match="would take the name of another"):
        run(RewriteIds("route_id", "^007$", ""))


def test_ids_may_trade_names() -> None:
    feed, _ = run(RewriteIds("trip_id", r"^T2$", "T3"))
    feed, _ = run(RewriteIds("trip_id", r"^T1$", "T2"), feed)
    assert column(feed, "trips.txt", "trip_id") == ["T2", "T3", "NIGHT"]


@pytest.mark.parametrize(
    ("what", "pattern", "replacement", "said"),
    [
        ("headsign", "a", "b", "no such id; choose from agency_id"),
        ("trip_id", "(", "", "unterminated"),
        ("trip_id", "a", r"\1", "invalid group reference"),
    ],
)
def test_a_rewriting_that_cannot_be_meant_is_refused(what: str, pattern: str, replacement: str, said: str) -> None:
    with pytest.raises(StepDefinitionError, match=said):
        RewriteIds(what, pattern, replacement)


def test_rows_are_sorted_by_number_where_all_are_numbers_and_keep_their_bytes() -> None:
    times = 'trip_id,stop_sequence,x\r\nB,10,"a"\r\nB,9, b\r\nA,2,c'
    feed, result = run(
        SortRows("stop_times.txt", ["trip_id", "stop_sequence"]),
        Feed.from_bytes(small_feed(replaced={"stop_times.txt": times})),
    )
    assert feed.member_bytes("stop_times.txt") == b'trip_id,stop_sequence,x\r\nA,2,c\r\nB,9, b\r\nB,10,"a"\r\n'
    assert (result.rows_before, result.rows_after) == ({"stop_times.txt": 3}, {"stop_times.txt": 3})


def test_sorting_what_is_sorted_leaves_the_file_untouched() -> None:
    before = Feed.from_bytes(small_feed())
    after, _ = run(SortRows("calendar.txt", ["service_id"]), before)
    assert after.changed_since(before) == frozenset()


def test_rows_are_added_with_new_columns_and_those_that_are_there_are_named() -> None:
    rows = [{"stop_id": "X", "stop_name": "New, Stop", "x_note": "n"}, {"stop_id": "M", "stop_name": "again"}]
    feed, result = run(AddRows("stops.txt", rows))
    assert column(feed, "stops.txt", "stop_id") == ["S", "S-1", "M", "N", "X"]
    assert column(feed, "stops.txt", "x_note") == ["", "", "", "", "n"]
    assert feed.member_bytes("stops.txt").endswith(b'X,"New, Stop",,,,,n\n')
    assert next((f.severity, f.code, f.sample) for f in result.findings) == ("warning", "rows_present", ("M",))
    assert result.changes["stops.txt"].added == 1
    with pytest.raises(StepFailedError, match=r"1 rows are in stops\.txt already: M"):
        run(AddRows("stops.txt", rows, required=True))


def test_a_file_that_is_not_there_is_added_as_a_whole() -> None:
    feed, result = run(AddRows("levels.txt", [{"level_id": "L0", "level_index": "0"}]))
    assert feed.member_bytes("levels.txt") == b"level_id,level_index\nL0,0\n"
    assert (result.rows_before, result.rows_after) == ({}, {"levels.txt": 1})


def test_a_reference_table_fills_in_fields_where_its_keys_match() -> None:
    reference = ReferenceTable.from_text(csv_text("stop_id,stop_name,stop_code", "M,Mill St,77", "N,,78", "GONE,x,1"))
    feed, result = run(MergeTable("stops.txt", reference, on=["stop_id"]))
    assert column(feed, "stops.txt", "stop_name") == ["Harbor Station", "Harbor Station", "Mill St", "North End"]
    assert column(feed, "stops.txt", "stop_code") == ["", "", "77", "78"]
    assert [(f.severity, f.code, f.count) for f in result.findings] == [
        ("info", "rows_updated", 2),
        ("warning", "reference_unmatched", 1),
    ]
    feed, _ = run(MergeTable("stops.txt", reference, on=["stop_id"], unmatched="add"))
    assert column(feed, "stops.txt", "stop_id")[-1] == "GONE"
    with pytest.raises(StepFailedError, match=r"1 rows of the reference table are not in stops\.txt: GONE"):
        run(MergeTable("stops.txt", reference, on=["stop_id"], unmatched="fail"))


def test_the_text_of_a_reference_table_is_part_of_the_hash_of_its_step(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("stop_id,stop_name\nM,Mill\n")
    one = MergeTable("stops.txt", ReferenceTable.from_path(path), on=["stop_id"]).source_hash()
    assert MergeTable("stops.txt", ReferenceTable.from_path(path), on=["stop_id"]).source_hash() == one
    path.write_text("stop_id,stop_name\nM,Mull\n")
    assert MergeTable("stops.txt", ReferenceTable.from_path(path), on=["stop_id"]).source_hash() != one


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ReferenceTable.from_path("/nowhere/names.csv"), "reference table /nowhere/names.csv: No such file"),
        (lambda: ReferenceTable.from_text("a,b\n1\n"), "line 2, column 2"),
        (lambda: MergeTable("s.txt", ReferenceTable.from_text("a\n1\n"), on=["b"]), "has no column b"),
        (lambda: MergeTable("s.txt", ReferenceTable.from_text("a\n1\n1\n"), on=["a"]), "has '1' twice"),
        (lambda: AddRows("s.txt", []), "no rows to add"),
        (lambda: AddRows("s.txt", [{"a": 1}]), "a=1 is no text"),
        (lambda: SortRows("s.txt", "stop_id"), "give a list of columns"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_written(make, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StepDefinitionError, match=said):
        make()


def test_misspelt_files_and_columns_are_findings() -> None:
    for step, code in (
        (SortRows("stopz.txt", ["stop_id"]), "file_missing"),
        (SortRows("stops.txt", ["stop_idd"]), "column_missing"),
        (MergeTable("stops.txt", ReferenceTable.from_text("idd,n\n1,2\n"), on=["idd"]), "column_missing"),
        (RewriteIds("trip_id", "nothing like this", ""), "nothing_matched"),
    ):
        _, result = run(step)
        assert [(f.severity, f.code) for f in result.findings] == [("warning", code)]


def test_a_row_is_there_already_only_if_its_whole_key_is() -> None:
    transfers = "from_stop_id,to_stop_id,from_route_id,transfer_type\nM,N,007,1\n"
    feed = Feed.from_bytes(small_feed(replaced={"transfers.txt": transfers}))
    rows = [{"from_stop_id": "M", "to_stop_id": "N", "transfer_type": "2"}] * 2
    after, result = run(AddRows("transfers.txt", rows), feed)
    assert column(after, "transfers.txt", "transfer_type") == ["1", "2"]
    assert [finding.code for finding in result.findings] == ["rows_present", "rows_added"]


def test_nothing_is_added_to_a_file_that_has_every_row() -> None:
    before = Feed.from_bytes(small_feed())
    after, _ = run(AddRows("stops.txt", [{"stop_id": "M", "x_note": "n"}]), before)
    assert after.changed_since(before) == frozenset()


def test_a_reference_row_without_a_key_is_refused_since_a_blank_matches_nothing() -> None:
    with pytest.raises(StepDefinitionError, match="a row that is blank in parent_station"):
        MergeTable("stops.txt", ReferenceTable.from_text("parent_station,stop_name\n,x\n"), on=["parent_station"])


def test_ids_that_only_look_like_numbers_are_sorted_as_text() -> None:
    stops = csv_text("stop_id,stop_name", "nan,a", "1_9,b", "1_10,c", "2,d")
    feed, _ = run(SortRows("stops.txt", ["stop_id"]), Feed.from_bytes(small_feed(replaced={"stops.txt": stops})))
    assert column(feed, "stops.txt", "stop_id") == ["1_10", "1_9", "2", "nan"]


def test_an_id_is_not_made_another_by_its_padding() -> None:
    with pytest.raises(StepFailedError, match="would take the name of another"):
        run(RewriteIds("stop_id", "^M$", "N "))
