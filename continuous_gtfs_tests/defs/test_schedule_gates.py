"""The gates between a transformed schedule and its publication, and what an operator can accept."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckEvaluation, AssetCheckSeverity, Definitions, ExecuteInProcessResult

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import ScheduleThresholds
from continuous_gtfs.definitions.schedule import build_definitions
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.defs.schedule_gates import (
    COVERAGE_CHECK,
    REFERENCES_CHECK,
    SHRINKAGE_CHECK,
    TRIPS_CHECK,
    VALIDATION_CHECK,
)
from continuous_gtfs.gtfs.steps import RemoveRows
from continuous_gtfs.gtfs.where import where
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs_tests.builders import feed_zip, small_feed_files
from continuous_gtfs_tests.defs.conftest import Bench, failures_of

JOB = "schedule_production"
NAME = names.schedule_publication("production")
TODAY = date(2026, 6, 3)
# When the vendor was asked: one version a second, at noon where the agency is.
FETCHED_AT = (datetime(2026, 6, 3, 19, tzinfo=UTC) + timedelta(seconds=second) for second in itertools.count())
TRANSFORMED = keys.transformed_feed_key("production")


def location(bench: Bench, steps: Sequence[object] = (), **thresholds: Any) -> Definitions:
    return build_definitions(
        agency=replace(bench.agency, schedule=ScheduleThresholds(**thresholds)),
        steps=check_steps(steps),
        artifacts=bench.artifacts,
        vendor_access=VendorAccess(),
    )


def files(version: str = "1", *, days: int = 60) -> dict[str, str]:
    return small_feed_files(
        first_date=TODAY - timedelta(days=7), last_date=TODAY + timedelta(days=days), feed_version=version
    )


def without(files: Mapping[str, str], name: str, word: str) -> dict[str, str]:
    """The files, one of them less the lines that hold a word."""
    lines = files[name].splitlines(keepends=True)
    return {**files, name: "".join(line for line in lines if word not in line)}


def smaller(version: str) -> bytes:
    """Two of three trips are gone."""
    cut = files(version)
    for trip_id in ("T2", "NIGHT"):
        cut = without(without(cut, "trips.txt", trip_id), "stop_times.txt", trip_id)
    return feed_zip(cut)


def publish(
    bench: Bench, body: bytes, definitions: Definitions | None = None, **options: Any
) -> ExecuteInProcessResult:
    version = bench.archive("production", "schedule", body, next(FETCHED_AT))
    return bench.run(definitions or location(bench), JOB, partition_key=version.version_id, **options)


def check(result: ExecuteInProcessResult, name: str) -> AssetCheckEvaluation:
    (found,) = [one for one in result.get_asset_check_evaluations() if one.check_name == name]
    return found


def live_input(bench: Bench) -> str:
    manifest = bench.live(NAME)
    assert manifest is not None
    version_id: str = manifest.facts["inputs"]["schedule"]["version_id"]
    return version_id


def accept(*what: str) -> dict[str, str]:
    return {names.ACCEPT_TAG: ",".join(what)}


def test_a_good_version_passes_every_gate_and_the_manifest_has_their_words(bench: Bench) -> None:
    result = publish(bench, feed_zip(files()))
    assert result.success
    assert {one.check_name for one in result.get_asset_check_evaluations() if one.asset_key == TRANSFORMED} == {
        VALIDATION_CHECK,
        TRIPS_CHECK,
        REFERENCES_CHECK,
        COVERAGE_CHECK,
        SHRINKAGE_CHECK,
    }
    manifest = bench.live(NAME)
    assert manifest is not None
    assert manifest.facts["gates"][COVERAGE_CHECK]["message"] == "trips run on 7 of the next 7 days"
    assert manifest.facts["accepted"] == {}


def test_a_step_that_leaves_references_behind_is_stopped_by_name_and_number(bench: Bench) -> None:
    cut = RemoveRows("stops.txt", where("stop_id", equals="N"))
    result = publish(bench, feed_zip(files()), location(bench, [cut], notices={"foreign_key_violation": "ignore"}))
    assert not result.success
    found = check(result, REFERENCES_CHECK)
    assert (found.passed, found.severity) == (False, AssetCheckSeverity.ERROR)
    assert "stop_times.txt stop_id: 3 rows refer to 1 unknown ids (N)" in str(found.description)
    assert found.metadata["dangling_rows"].value == 3
    assert check(result, VALIDATION_CHECK).passed
    assert bench.live(NAME) is None


def test_a_reference_that_dangles_in_the_vendors_own_feed_goes_out(bench: Bench) -> None:
    result = publish(bench, feed_zip(without(files(), "stops.txt", "N,North")))
    assert result.success
    assert check(result, REFERENCES_CHECK).metadata["dangling_rows_known_before"].value == 3


def test_a_feed_that_ends_before_the_published_one_does_is_stopped(bench: Bench) -> None:
    assert publish(bench, feed_zip(files("1"))).success
    before = live_input(bench)
    result = publish(bench, feed_zip(files("2", days=2)), location(bench, day_fall_percent=100))
    assert not result.success
    assert "trips run on 3 of the next 7 days" in str(check(result, COVERAGE_CHECK).description)
    assert check(result, SHRINKAGE_CHECK).passed
    assert live_input(bench) == before


def test_a_feed_with_much_less_service_is_stopped_until_an_operator_accepts_it(bench: Bench) -> None:
    assert publish(bench, feed_zip(files("1"))).success
    before = live_input(bench)
    refused = publish(bench, smaller("2"))
    assert not refused.success
    assert "trips fall from 3 to 1, by 66.7 % (more than 20 %)" in str(check(refused, SHRINKAGE_CHECK).description)
    assert live_input(bench) == before

    accepted = publish(bench, smaller("2"), tags=accept(SHRINKAGE_CHECK))
    assert accepted.success, failures_of(accepted)
    found = check(accepted, SHRINKAGE_CHECK)
    assert (found.passed, found.severity) == (False, AssetCheckSeverity.WARN)
    assert str(found.description).startswith("accepted by the operator")
    assert live_input(bench) != before
    manifest = bench.live(NAME)
    assert manifest is not None
    assert list(manifest.facts["accepted"]) == [SHRINKAGE_CHECK]
    assert "from 3 to 1" in manifest.facts["accepted"][SHRINKAGE_CHECK]


def test_what_is_accepted_in_the_run_config_is_accepted_too(bench: Bench) -> None:
    assert publish(bench, feed_zip(files("1"))).success
    config = {"resources": {"operator": {"config": {"accept": SHRINKAGE_CHECK}}}}
    assert publish(bench, smaller("2"), run_config=config).success


@pytest.mark.parametrize("named", [(COVERAGE_CHECK,), ("foreign_key_violation",), ("does_not_shrnk",)])
def test_accepting_something_else_accepts_nothing(bench: Bench, named: tuple[str, ...]) -> None:
    assert publish(bench, feed_zip(files("1"))).success
    assert not publish(bench, smaller("2"), tags=accept(*named)).success


@pytest.mark.parametrize(("word", "told"), [("all", "one by one"), (TRIPS_CHECK, "cannot be accepted")])
def test_everything_at_once_and_a_schedule_without_trips_cannot_be_accepted(bench: Bench, word: str, told: str) -> None:
    result = publish(bench, feed_zip(files()), tags=accept(word))
    assert not result.success
    assert told in failures_of(result)
    assert bench.live(NAME) is None


def test_a_new_validation_error_is_accepted_by_its_code_and_recorded_with_its_number(bench: Bench) -> None:
    assert publish(bench, feed_zip(files("1"))).success
    worse = feed_zip(without(files("2"), "stops.txt", "N,North"))
    assert not publish(bench, worse, tags=accept("invalid_url")).success
    accepted = publish(bench, worse, tags=accept("foreign_key_violation"))
    assert accepted.success, failures_of(accepted)
    assert check(accepted, VALIDATION_CHECK).severity is AssetCheckSeverity.WARN
    manifest = bench.live(NAME)
    assert manifest is not None
    assert manifest.facts["accepted"] == {"foreign_key_violation": "foreign_key_violation: 3 (was 0)"}


def test_of_two_new_errors_both_must_be_accepted(bench: Bench) -> None:
    assert publish(bench, feed_zip(files("1"))).success
    cut = without(files("2"), "stops.txt", "N,North")
    worse = feed_zip({**cut, "routes.txt": cut["routes.txt"].replace("003366", "blue")})
    assert not publish(bench, worse, tags=accept("foreign_key_violation")).success
    assert publish(bench, worse, tags=accept("foreign_key_violation", "invalid_color")).success


def test_the_agency_says_how_many_notices_of_a_code_pass(bench: Bench) -> None:
    assert publish(bench, feed_zip(files("1"))).success
    worse = feed_zip(without(files("2"), "stops.txt", "N,North"))
    assert not publish(bench, worse, location(bench, notices={"foreign_key_violation": 2})).success
    assert publish(bench, worse, location(bench, notices={"foreign_key_violation": 3})).success


def test_a_warning_that_the_agency_calls_blocking_blocks_where_it_is_new(bench: Bench) -> None:
    assert publish(bench, feed_zip(files("1"))).success
    stops = files("2")["stops.txt"] + "LONE,Lonely Stop,47.630000,-122.330000,0,\n"
    worse = feed_zip({**files("2"), "stops.txt": stops})
    strict = location(bench, notices={"stop_without_stop_time": "block"})
    refused = publish(bench, worse, strict)
    assert "stop_without_stop_time: 1 (was 0)" in str(check(refused, VALIDATION_CHECK).description)
    assert publish(bench, worse).success
    assert publish(bench, worse, strict).success, "what is published has it as well"


def test_publishing_alone_stands_behind_the_gate_that_refused(bench: Bench) -> None:
    assert publish(bench, feed_zip(files("1"))).success
    version = bench.archive("production", "schedule", smaller("2"), next(FETCHED_AT))
    assert not bench.run(location(bench), JOB, partition_key=version.version_id).success
    alone = bench.run(
        location(bench),
        JOB,
        partition_key=version.version_id,
        asset_selection=[keys.published_schedule_key("production")],
        tags=accept(SHRINKAGE_CHECK),
    )
    assert not alone.success
    assert SHRINKAGE_CHECK in failures_of(alone)
    assert live_input(bench) != version.version_id


def test_both_validation_reports_lie_beside_the_version_and_the_check_links_them(bench: Bench) -> None:
    cut = RemoveRows("stops.txt", where("stop_id", equals="N"))
    result = publish(bench, feed_zip(files()), location(bench, [cut]))
    metadata = check(result, VALIDATION_CHECK).metadata
    paths = {name: Path(str(metadata[name].value)) for name in metadata if name.endswith(("_json", "_html"))}
    assert sorted(paths) == ["validation_html", "validation_json", "vendor_validation_html", "vendor_validation_json"]
    after, before = (json.loads(paths[name].read_text()) for name in ("validation_json", "vendor_validation_json"))
    assert (after["errors"], before["errors"]) == ({"foreign_key_violation": 3}, {})
    assert len([notice for notice in after["notices"] if notice["code"] == "foreign_key_violation"]) == 3
    assert "foreign_key_violation" in paths["validation_html"].read_text()
    assert metadata["errors_made_by_steps"].value == {"foreign_key_violation": 3}


def test_an_older_version_is_not_compared_in_size_since_it_replaces_nothing(bench: Bench) -> None:
    older = bench.archive("production", "schedule", smaller("1"), next(FETCHED_AT) - timedelta(days=2))
    assert publish(bench, feed_zip(files("2"))).success
    newest = live_input(bench)
    result = bench.run(location(bench), JOB, partition_key=older.version_id)
    assert result.success, failures_of(result)
    assert live_input(bench) == newest


def test_the_thresholds_stand_in_the_descriptions_of_the_checks(bench: Bench) -> None:
    graph = location(bench, trips_fall_percent=12.5, covers_next_days=9).resolve_asset_graph()
    told = {key.name: graph.get_check_spec(key).description or "" for key in graph.asset_check_keys}
    assert "trips by 12.5 %" in told[SHRINKAGE_CHECK]
    assert "next 9 days" in told[COVERAGE_CHECK]
