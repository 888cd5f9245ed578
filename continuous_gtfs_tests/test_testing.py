"""The testing kit: what it builds, what it lets pass and what it says when something differs."""

from __future__ import annotations

import doctest
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import pytest

from continuous_gtfs import testing
from continuous_gtfs.errors import FeedStructureError, StepDefinitionError, StepFailedError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.steps import ClearField, Finding, RemoveRows, StepContext, step, where
from continuous_gtfs.gtfs.validation import validate_feed
from continuous_gtfs.testing import (
    assert_finding,
    assert_only_changed,
    assert_rows,
    column,
    feed_from_text,
    rows,
    run_one,
    small_feed,
)

CLEAR = ClearField("trips.txt", where("trip_id", equals="T1"), "block_id")
STOPS = {"stops.txt": "stop_id,stop_name\nA,Alder\n"}


def test_the_example_of_the_kit_runs_as_it_stands() -> None:
    outcome = doctest.testmod(testing)
    assert (outcome.failed, outcome.attempted > 5) == (0, True)


def test_a_feed_holds_the_text_it_is_made_of_without_the_tests_indentation() -> None:
    feed = feed_from_text(
        {
            "stops.txt": """
                stop_id,stop_name
                A,"Alder, north"
            """,
            "extra.txt": b"\xef\xbb\xbfa \r\n1 \r\n",
        }
    )
    assert feed.files == ("stops.txt", "extra.txt")
    assert feed.member_bytes("stops.txt") == b'stop_id,stop_name\nA,"Alder, north"\n'
    assert feed.member_bytes("extra.txt") == b"\xef\xbb\xbfa \r\n1 \r\n"


def test_a_feed_without_stops_is_refused_as_a_vendors_would_be() -> None:
    with pytest.raises(FeedStructureError, match=r"stops\.txt"):
        feed_from_text({"routes.txt": "route_id\n1\n"})


def test_the_small_feed_has_no_error_and_runs_on_the_day_that_steps_are_told() -> None:
    report = validate_feed(small_feed().to_bytes(), service_date=testing.NOW.date())
    assert dict(report.errors) == {}
    assert date(2026, 1, 1) <= testing.NOW.date() <= date(2026, 12, 31)


def test_files_of_the_small_feed_are_replaced_added_and_left_out() -> None:
    feed = small_feed(replaced={**STOPS, "extra.txt": "a\n1\n"}, without=["feed_info.txt"])
    assert column(feed, "stops.txt", "stop_id") == ["A"]
    assert "extra.txt" in feed
    assert "feed_info.txt" not in feed
    with pytest.raises(KeyError, match="feed_infos"):
        small_feed(without=["feed_infos.txt"])


def test_one_step_runs_on_a_copy_with_the_time_and_the_inputs_it_is_given() -> None:
    seen: list[object] = []

    @step(files=["trips.txt"])
    def look(feed: Feed, context: StepContext) -> None:
        seen.extend((context.now, context.inputs["names"]))
        feed.remove_file("trips.txt")

    now = datetime(2026, 2, 3, tzinfo=UTC)
    before = small_feed()
    after, result = run_one(look, before, now=now, inputs={"names": 7})
    assert seen == [now, 7]
    assert ("trips.txt" in before, "trips.txt" in after) == (True, False)
    assert result.changes["trips.txt"].removed == 3


def test_what_is_no_step_and_what_a_step_did_not_declare_are_refused_as_in_a_pipeline() -> None:
    def plain(feed: Feed) -> None: ...

    not_a_step: Any = plain
    with pytest.raises(StepDefinitionError, match="plain function plain"):
        run_one(not_a_step, small_feed())

    @step(files=["stops.txt"])
    def sneaky(feed: Feed) -> None:
        feed.remove_file("trips.txt")

    with pytest.raises(StepFailedError, match=r"changed trips\.txt but declares stops\.txt"):
        run_one(sneaky, small_feed())


def test_rows_are_the_cells_as_they_stand() -> None:
    assert rows(feed_from_text({"stops.txt": b'stop_id,stop_name\r\n 007 ,""\r\n'}), "stops.txt") == [
        {"stop_id": " 007 ", "stop_name": ""}
    ]
    assert rows(feed_from_text({"stops.txt": "stop_id\n"}), "stops.txt") == []


def test_rows_are_compared_in_the_columns_that_are_named() -> None:
    feed = small_feed()
    assert_rows(feed, "routes.txt", "route_id,route_color\n007,003366\nN7,220044\n")
    assert_rows(feed, "routes.txt", [{"route_id": "007", "route_type": "3"}, {"route_color": "220044"}])
    with pytest.raises(AssertionError, match=r"-007,FFFFFF\n\+007,003366"):
        assert_rows(feed, "routes.txt", "route_id,route_color\n007,FFFFFF\nN7,220044\n")


@pytest.mark.parametrize(
    "expected",
    [
        "route_id\n007\n",
        "route_id\nN7\n007\n",
        "route_id\n007\nN7\nN8\n",
        [{"route_id": "007"}],
        [{"route_id": "007"}, {"route_id": "N8"}],
        [{"route_id": "007"}, {"route_id": "N7"}, {"route_id": "N8"}],
        [],
        "route_id\n",
    ],
)
def test_a_row_too_few_too_many_another_or_another_order_differs(expected: Any) -> None:
    with pytest.raises(AssertionError, match=r"routes\.txt has other rows"):
        assert_rows(small_feed(), "routes.txt", expected)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(AssertionError, match=r"routes\.txt has no column route_colour; it has route_id,"):
        assert_rows(small_feed(), "routes.txt", [{"route_colour": ""}])
    with pytest.raises(KeyError, match="route_colour"):
        column(small_feed(), "routes.txt", "route_colour")


def test_only_the_files_that_are_named_may_have_changed() -> None:
    before = small_feed()
    after, _ = run_one(CLEAR, before)
    assert_only_changed(before, after, "trips.txt")
    assert_only_changed(before, small_feed())
    with pytest.raises(AssertionError, match=r"changed: trips\.txt; expected: nothing"):
        assert_only_changed(before, after)
    with pytest.raises(AssertionError, match=r"changed: trips\.txt; expected: stops\.txt, trips\.txt"):
        assert_only_changed(before, after, "stops.txt", "trips.txt")
    assert_only_changed(before, small_feed(without=["feed_info.txt"]), "feed_info.txt")


def test_a_finding_is_found_by_its_code_and_else_those_there_are_are_listed() -> None:
    _, result = run_one(RemoveRows("trips.txt", where("trip_id", equals="none")), small_feed())
    assert assert_finding(result, "nothing_matched").severity == "warning"
    with pytest.raises(AssertionError, match="reported rows_removed 0 times, not once; its findings: nothing_matched"):
        assert_finding(result, "rows_removed")

    @step(files=[])
    def twice(feed: Feed, context: StepContext) -> None:
        for number in ("one", "two"):
            context.find(Finding("info", "seen", number))

    with pytest.raises(AssertionError, match="reported seen 2 times"):
        assert_finding(run_one(twice, small_feed())[1], "seen")


def test_the_kit_needs_neither_pytest_nor_dagster_nor_pandas() -> None:
    script = (
        "import sys\n"
        "from continuous_gtfs.testing import rows, small_feed\n"
        "assert rows(small_feed(), 'stops.txt')\n"
        "print(sorted({'pytest', 'dagster', 'pandas'} & set(sys.modules)))\n"
    )
    seen = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert seen.stdout.strip() == "[]"
