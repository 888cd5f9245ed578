from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import pandas as pd
import pytest

from continuous_gtfs.agencies.sound_transit.schedule import LINK_SERVICE_KEPT, STEPS, normalize_stop_names
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.validation import new_errors, validate_feed
from continuous_gtfs.pipeline.hashing import steps_hash
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.pipeline.running import check_steps, run_step, run_steps
from continuous_gtfs.simulator.agency import GeneratedAgency
from continuous_gtfs.simulator.service_days import NEVER
from continuous_gtfs_tests.builders import small_feed
from continuous_gtfs_tests.real_data import real_data_path

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SERVICE_START = date(2026, 6, 1)
SERVICE_FILES = ("calendar.txt", "calendar_dates.txt", "shapes.txt", "stop_times.txt", "trips.txt")
CLOSED = {"E01", "E01-T1", "E01-T2", "E07", "E07-T1", "E07-T2"}


@pytest.fixture(scope="module")
def vendor_feed() -> Feed:
    return Feed.from_bytes(GeneratedAgency(seed=1).schedule_zip(revision=1, service_start=SERVICE_START))


@pytest.fixture(scope="module")
def transformed(vendor_feed: Feed) -> tuple[Feed, list[StepResult]]:
    return run_steps(STEPS, vendor_feed, now=NOW)


def values(table: pd.DataFrame, column: str) -> set[str]:
    return set(table[column]) - {""}


def test_stations_not_open_are_gone_from_every_file(
    vendor_feed: Feed, transformed: tuple[Feed, list[StepResult]]
) -> None:
    feed, _ = transformed
    assert values(vendor_feed.table("stops.txt"), "stop_id") >= CLOSED
    for file in feed.files:
        table = feed.table(file)
        for column in table.columns:
            assert not CLOSED & set(table[column]), f"{file} {column}"


def test_nothing_refers_to_what_is_not_there(transformed: tuple[Feed, list[StepResult]]) -> None:
    feed, _ = transformed
    stops = values(feed.table("stops.txt"), "stop_id")
    assert values(feed.table("stops.txt"), "parent_station") <= stops
    assert values(feed.table("stop_times.txt"), "stop_id") <= stops
    assert values(feed.table("transfers.txt"), "from_stop_id") <= stops
    assert values(feed.table("transfers.txt"), "to_stop_id") <= stops
    assert values(feed.table("facilities.txt"), "stop_id") <= stops


def test_every_trip_still_calls_at_two_stops(transformed: tuple[Feed, list[StepResult]]) -> None:
    feed, _ = transformed
    calls = Counter(feed.table("stop_times.txt")["trip_id"])
    assert min(calls[trip_id] for trip_id in feed.table("trips.txt")["trip_id"]) >= 2


def test_transforming_makes_no_new_validation_error(
    vendor_feed: Feed, transformed: tuple[Feed, list[StepResult]]
) -> None:
    before = validate_feed(vendor_feed.to_bytes(), service_date=SERVICE_START, country_code="US")
    after = validate_feed(transformed[0].to_bytes(), service_date=SERVICE_START, country_code="US")
    assert new_errors(after, before.errors) == {}


def test_link_lines_have_their_names_and_colors(transformed: tuple[Feed, list[StepResult]]) -> None:
    routes = transformed[0].table("routes.txt")
    columns = ["route_id", "route_short_name", "route_color", "route_text_color"]
    rows = routes.loc[routes["route_id"].isin(["100479", "2LINE"]), columns]
    assert sorted(rows.to_numpy().tolist()) == [
        ["100479", "1 Line", "28813F", "FFFFFF"],
        ["2LINE", "2 Line", "007CAD", "FFFFFF"],
    ]


def test_sounder_trips_have_no_block_and_others_keep_theirs(
    vendor_feed: Feed, transformed: tuple[Feed, list[StepResult]]
) -> None:
    before, after = vendor_feed.table("trips.txt"), transformed[0].table("trips.txt")
    is_sounder = before["route_id"].isin(["SNDR_EV", "SNDR_TL"])
    assert values(before[is_sounder], "block_id")
    assert not values(after[after["route_id"].isin(["SNDR_EV", "SNDR_TL"])], "block_id")
    others = before[~is_sounder & (before["service_id"] != NEVER)].reset_index(drop=True)
    assert after[~after["route_id"].isin(["SNDR_EV", "SNDR_TL"])].reset_index(drop=True).equals(others)


def test_service_that_never_runs_is_gone_with_its_trips(
    vendor_feed: Feed, transformed: tuple[Feed, list[StepResult]]
) -> None:
    assert NEVER in values(vendor_feed.table("calendar.txt"), "service_id")
    for file in ("calendar.txt", "trips.txt"):
        assert NEVER not in values(transformed[0].table(file), "service_id")


def test_of_the_link_and_t_line_services_of_a_real_schedule_one_stays() -> None:
    feed, results = run_steps(STEPS, Feed.from_path(real_data_path("sound_transit_2024-11/schedule.zip")), now=NOW)
    services = (
        feed.keys("calendar.txt", "service_id").present() | feed.keys("calendar_dates.txt", "service_id").present()
    )
    assert {name for name in services if name.startswith(("LLR", "TLINE"))} == {LINK_SERVICE_KEPT}
    assert feed.keys("trips.txt", "service_id").present() <= services
    assert feed.keys("stop_times.txt", "trip_id").present() == feed.keys("trips.txt", "trip_id").present()
    assert feed.keys("trips.txt", "shape_id").present() <= feed.keys("shapes.txt", "shape_id").present()
    removed = {file: sum(r.changes[file].removed for r in results if file in r.changes) for file in SERVICE_FILES}
    assert removed["trips.txt"] == 12_943 + 895
    assert removed["stop_times.txt"] == 170_409 + 10_740


def test_the_publisher_is_named(transformed: tuple[Feed, list[StepResult]]) -> None:
    info = transformed[0].table("feed_info.txt")
    assert info["feed_publisher_name"].tolist() == ["Sound Transit"]
    assert info["feed_contact_url"].tolist()[0].startswith("https://www.soundtransit.org/")


def test_stop_names_are_normalized_to_single_plain_spaces() -> None:
    stops = "stop_id,stop_name\n1,S 200th St &\u00a028th\u00a0 Ave S\n2,College  District\n3,Mill Street\n"
    feed, result = run_step(normalize_stop_names, Feed.from_bytes(small_feed(replaced={"stops.txt": stops})), now=NOW)
    assert feed.table("stops.txt")["stop_name"].tolist() == [
        "S 200th St & 28th Ave S",
        "College District",
        "Mill Street",
    ]
    assert (result.findings[0].code, result.findings[0].count) == ("names_normalized", 2)


def test_the_same_version_gives_the_same_bytes(vendor_feed: Feed, transformed: tuple[Feed, list[StepResult]]) -> None:
    again, _ = run_steps(STEPS, Feed.from_bytes(vendor_feed.to_bytes()), now=NOW)
    assert again.to_bytes() == transformed[0].to_bytes()


@pytest.mark.parametrize(
    ("name", "expected_changes"),
    [
        ("sound_transit_2023-08/schedule.zip", {"routes.txt", "feed_info.txt", "stops.txt", *SERVICE_FILES}),
        ("sound_transit_2024-11/schedule.zip", {"stops.txt", *SERVICE_FILES}),
        ("kingston/schedule.zip", {"feed_info.txt"}),
        ("bullrunner/schedule.zip", {"feed_info.txt", "stops.txt"}),
    ],
)
def test_the_steps_run_on_real_schedules_and_report_what_they_did_not_find(
    name: str, expected_changes: set[str]
) -> None:
    feed = Feed.from_path(real_data_path(name))
    after, results = run_steps(STEPS, feed, now=NOW)
    assert after.changed_since(feed) == expected_changes
    assert {result.status for result in results} == {"success"}
    not_found = {result.name for result in results for finding in result.findings if finding.severity == "warning"}
    assert {"remove_station_e01", "remove_station_e07"} <= not_found
    assert all(result.findings for result in results)


def test_the_steps_are_named_once_each_and_have_a_hash() -> None:
    assert [step.name for step in check_steps(STEPS)] == [step.name for step in STEPS]
    assert steps_hash(STEPS) == steps_hash(STEPS)
    assert steps_hash(STEPS) != steps_hash(STEPS[1:])
