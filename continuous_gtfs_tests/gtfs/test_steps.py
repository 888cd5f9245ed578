from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from continuous_gtfs.errors import StepDefinitionError, StepFailedError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.steps import ClearField, RemoveRows, UpdateFeedInfo, UpdateFields
from continuous_gtfs.gtfs.where import where
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.pipeline.running import run_step
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs_tests.builders import csv_text, small_feed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROUTE_7 = where("route_id", equals="007")


def run(step: Step[Feed], data: bytes | None = None) -> tuple[Feed, Feed, StepResult]:
    before = Feed.from_bytes(data if data is not None else small_feed())
    after, result = run_step(step, before, now=NOW)
    return before, after, result


def codes(result: StepResult) -> list[tuple[str, str, int]]:
    return [(finding.severity, finding.code, finding.count) for finding in result.findings]


def test_remove_rows_removes_what_matches_and_touches_no_other_file() -> None:
    before, after, result = run(RemoveRows("trips.txt", ROUTE_7))
    assert (
        after.member_bytes("trips.txt")
        == csv_text(
            "route_id,service_id,trip_id,trip_headsign,direction_id,block_id", "N7,DAY,NIGHT,North End,0,"
        ).encode()
    )
    assert after.changed_since(before) == {"trips.txt"}
    assert (result.rows_before, result.rows_after) == ({"trips.txt": 3}, {"trips.txt": 1})
    assert codes(result) == [("info", "rows_removed", 2)]
    assert result.findings[0].sample == ("T1", "T2")


def test_removing_every_row_leaves_the_header() -> None:
    _, after, _ = run(RemoveRows("calendar.txt", where("service_id", matches=".")))
    assert after.member_bytes("calendar.txt").count(b"\n") == 1


def test_update_fields_sets_the_fields_of_matching_rows_only() -> None:
    _, after, result = run(UpdateFields("routes.txt", ROUTE_7, {"route_color": "007CAD", "route_short_name": "7 Line"}))
    rows = after.table("routes.txt")[["route_id", "route_short_name", "route_color"]]
    assert rows.to_numpy().tolist() == [["007", "7 Line", "007CAD"], ["N7", "N7", "220044"]]
    assert codes(result) == [("info", "rows_updated", 1)]


def test_updating_to_what_is_there_already_leaves_the_file_untouched() -> None:
    before, after, result = run(UpdateFields("routes.txt", ROUTE_7, {"route_color": "003366"}))
    assert after.changed_since(before) == frozenset()
    assert codes(result) == [("info", "rows_updated", 0)]


def test_clear_field_blanks_the_field_and_keeps_the_column() -> None:
    _, after, result = run(ClearField("trips.txt", ROUTE_7, "block_id"))
    assert after.table("trips.txt")["block_id"].tolist() == ["", "", ""]
    assert codes(result) == [("info", "fields_cleared", 1)]
    assert result.findings[0].sample == ("T1",)


def test_update_feed_info_sets_fields_and_adds_a_column_that_the_specification_knows() -> None:
    _, after, result = run(UpdateFeedInfo({"feed_publisher_name": "Big", "feed_contact_url": "https://big.example"}))
    table = after.table("feed_info.txt")
    assert table["feed_publisher_name"].tolist() == ["Big"]
    assert table["feed_contact_url"].tolist() == ["https://big.example"]
    assert list(table.columns)[-1] == "feed_contact_url"
    assert codes(result) == [("info", "fields_set", 2)]


def test_update_feed_info_makes_the_file_only_from_all_that_it_must_hold() -> None:
    without = small_feed(without=["feed_info.txt"])
    _, after, result = run(UpdateFeedInfo({"feed_lang": "en"}), without)
    assert "feed_info.txt" not in after
    assert codes(result) == [("warning", "file_missing", 0)]
    values = {"feed_publisher_name": "Big", "feed_publisher_url": "https://big.example", "feed_lang": "en"}
    _, after, result = run(UpdateFeedInfo({**values, "feed_version": "7"}), without)
    assert after.table("feed_info.txt").to_dict("records") == [{**values, "feed_version": "7"}]
    assert (result.rows_before, result.rows_after) == ({}, {"feed_info.txt": 1})


def test_update_feed_info_fills_a_file_that_has_a_header_only() -> None:
    data = small_feed(replaced={"feed_info.txt": "feed_publisher_name,feed_lang\n"})
    _, after, _ = run(UpdateFeedInfo({"feed_publisher_name": "Big"}), data)
    assert after.member_bytes("feed_info.txt") == b"feed_publisher_name,feed_lang\nBig,\n"


def test_update_feed_info_does_not_add_a_column_that_nobody_knows() -> None:
    before, after, result = run(UpdateFeedInfo({"feed_publisher_nam": "Big"}))
    assert after.changed_since(before) == frozenset()
    assert codes(result)[0] == ("warning", "column_missing", 0)


LACKING = [
    (RemoveRows, ("transfers.txt", where("from_stop_id", equals="S")), "file_missing", "the feed has no transfers.txt"),
    (RemoveRows, ("stops.txt", where("zone_id", equals="1")), "column_missing", "stops.txt has no column zone_id"),
    (RemoveRows, ("stops.txt", where("stop_id", equals="?")), "nothing_matched", "no row of stops.txt matches"),
    (UpdateFields, ("routes.txt", ROUTE_7, {"network_id": "x"}), "column_missing", "routes.txt has no column network"),
    (ClearField, ("trips.txt", ROUTE_7, "trip_short_name"), "column_missing", "trips.txt has no column trip_short"),
    (UpdateFeedInfo, ({"x_vendor": "1"},), "column_missing", "has no column x_vendor"),
]


@pytest.mark.parametrize(("kind", "arguments", "code", "said"), LACKING)
def test_what_is_missing_is_a_warning(kind: Any, arguments: tuple[object, ...], code: str, said: str) -> None:
    before, after, result = run(kind(*arguments))
    assert after.changed_since(before) == frozenset()
    assert (result.findings[0].severity, result.findings[0].code) == ("warning", code)
    assert said in result.findings[0].message


@pytest.mark.parametrize(("kind", "arguments", "code", "said"), LACKING)
def test_what_is_missing_fails_a_step_that_requires_it(
    kind: Any, arguments: tuple[object, ...], code: str, said: str
) -> None:
    with pytest.raises(StepFailedError, match=said) as caught:
        run(kind(*arguments, required=True))
    assert caught.value.result.findings[0].code == code


def test_an_unreadable_file_fails_the_step_with_line_and_column() -> None:
    with pytest.raises(StepFailedError, match=r"stops\.txt line 2, column 2") as caught:
        run(RemoveRows("stops.txt", where("stop_id", equals="A")), small_feed(replaced={"stops.txt": "stop_id,x\nA\n"}))
    assert caught.value.result.status == "failed"


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        (RemoveRows, ("stops.txt", "stop_id == 'E01'"), "is no condition; write where"),
        (UpdateFields, ("routes.txt", ROUTE_7, {}), "no fields to set"),
        (UpdateFields, ("routes.txt", ROUTE_7, {"route_sort_order": 1}), "route_sort_order=1 is no text"),
        (UpdateFeedInfo, ({},), "no fields to set"),
    ],
)
def test_a_step_that_cannot_be_meant_is_refused_when_it_is_written(
    kind: Any, arguments: tuple[object, ...], said: str
) -> None:
    with pytest.raises(StepDefinitionError, match=said):
        kind(*arguments)


def test_steps_are_named_for_what_they_do_and_declare_their_file() -> None:
    steps: list[Step[Feed]] = [
        RemoveRows("stop_times.txt", ROUTE_7),
        UpdateFields("routes.txt", ROUTE_7, {"route_color": "FFFFFF"}),
        ClearField("trips.txt", ROUTE_7, "block_id"),
        UpdateFeedInfo({"feed_lang": "en"}),
        RemoveRows("stops.txt", ROUTE_7, name="my_name"),
    ]
    assert [(step.name, set(step.files or ())) for step in steps] == [
        ("remove_rows_stop_times", {"stop_times.txt"}),
        ("update_fields_routes", {"routes.txt"}),
        ("clear_field_trips", {"trips.txt"}),
        ("update_feed_info", {"feed_info.txt"}),
        ("my_name", {"stops.txt"}),
    ]


def test_every_parameter_is_part_of_a_steps_hash() -> None:
    variants: list[Step[Feed]] = [
        RemoveRows("stops.txt", where("stop_id", equals="A")),
        RemoveRows("stops.txt", where("stop_id", equals="B")),
        RemoveRows("stops.txt", ~where("stop_id", equals="A")),
        RemoveRows("stops.txt", where("stop_id", matches="A")),
        RemoveRows("stops.txt", where("stop_code", equals="A")),
        RemoveRows("trips.txt", where("stop_id", equals="A")),
        RemoveRows("stops.txt", where("stop_id", equals="A"), required=True),
    ]
    assert len({step.source_hash() for step in variants}) == len(variants)
    assert RemoveRows("stops.txt", where("stop_id", equals="A")).source_hash() == variants[0].source_hash()
