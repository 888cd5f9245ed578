"""Every guard through a real run and a real store: what it refuses is not published, and the last good feed stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from dagster import AssetCheckEvaluation, AssetCheckSeverity
from google.transit import gtfs_realtime_pb2 as gtfs_rt

from continuous_gtfs import names
from continuous_gtfs.defs.realtime_guards import GUARDS_CHECK
from continuous_gtfs.realtime.guards.judging import GUARDS
from continuous_gtfs.realtime.guards.thresholds import RealtimeThresholds
from continuous_gtfs.versions import FeedVersion
from continuous_gtfs_tests.defs.conftest import Bench, failures_of
from continuous_gtfs_tests.defs.test_realtime_assets import (
    JOB,
    TU,
    VP,
    guard_table,
    guards_failed,
    location,
    now,
    publish_schedule,
    trip_updates,
)

PUBLICATION = names.realtime_publication("production", VP)
Make = Callable[[datetime], bytes]


def of_vehicles(
    at: datetime,
    ids: Iterable[str],
    *,
    trip_id: str = "",
    stop_id: str = "M",
    incrementality: int = gtfs_rt.FeedHeader.FULL_DATASET,
) -> bytes:
    message = gtfs_rt.FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.incrementality = incrementality  # type: ignore[assignment]
    message.header.timestamp = int(at.timestamp())
    for number, entity_id in enumerate(ids):
        vehicle = message.entity.add(id=entity_id).vehicle
        vehicle.vehicle.id = f"train {number}"
        vehicle.stop_id = stop_id
        if trip_id:
            vehicle.trip.trip_id = trip_id
    return message.SerializeToString()


def vehicles(at: datetime, count: int) -> bytes:
    return of_vehicles(at, map(str, range(count)))


def without_timestamp(at: datetime) -> bytes:
    message = gtfs_rt.FeedMessage.FromString(vehicles(at, 20))
    message.header.ClearField("timestamp")
    return message.SerializeToString()


def in_milliseconds(at: datetime) -> bytes:
    message = gtfs_rt.FeedMessage.FromString(vehicles(at, 20))
    message.header.timestamp *= 1000
    return message.SerializeToString()


REFUSED: dict[str, tuple[Make, str]] = {
    "differential": (
        lambda at: of_vehicles(at, map(str, range(20)), incrementality=gtfs_rt.FeedHeader.DIFFERENTIAL),
        "is_full_dataset: header.incrementality is DIFFERENTIAL",
    ),
    "milliseconds": (in_milliseconds, "is in milliseconds; the spec wants POSIX seconds"),
    "no timestamp": (without_timestamp, "header_age_is_within_limit: the header has no timestamp"),
    "future": (lambda at: vehicles(at + timedelta(seconds=60), 20), "header_is_not_in_the_future"),
    "back in time": (
        lambda at: vehicles(at - timedelta(seconds=60), 20),
        "header_does_not_go_back: the feed has gone back in time",
    ),
    "one id for all": (
        lambda at: of_vehicles(at, ["same"] * 20),
        "entity_ids_are_unique: 19 of 20 entities dropped, as a later one has their id (19 said something else): ",
    ),
    "header only": (lambda at: vehicles(at, 0), "has_entities_while_trips_run: the feed has no entities"),
    "a fall": (
        lambda at: vehicles(at, 9),
        "does_not_lose_entities: the feed has 9 entities; what is live has 20",
    ),
    "unknown trips": (
        lambda at: of_vehicles(at, map(str, range(20)), trip_id="of another schedule"),
        "trip_ids_are_known: 20 of 20 trip_ids (100 %) are not in the published schedule",
    ),
    "unknown stops": (
        lambda at: of_vehicles(at, map(str, range(20)), stop_id="elsewhere"),
        "stop_ids_are_known: 20 of 20 stop_ids (100 %) are not in the published schedule",
    ),
}


def publish_good(bench: Bench, at: datetime | None = None) -> FeedVersion:
    """A feed of twenty vehicles, live beside a schedule that has a trip running; it is from ``at``, else 20 s old."""
    publish_schedule(bench)
    good = bench.archive("production", VP, vehicles(at or now() - timedelta(seconds=20), 20))
    assert bench.run(location(bench), JOB).success
    return good


def live_version(bench: Bench) -> str:
    manifest = bench.live(PUBLICATION)
    assert manifest is not None
    version_id: str = manifest.facts["inputs"][VP]["version_id"]
    return version_id


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_guard_refuses_is_not_published_and_the_last_good_feed_stays(bench: Bench, case: str) -> None:
    make, told = REFUSED[case]
    good = publish_good(bench)
    stable = bench.published / f"{PUBLICATION}.pb"
    bytes_before = stable.read_bytes()
    bench.archive("production", VP, make(now()))
    result = bench.run(location(bench), JOB)
    assert not result.success
    assert f"not published, the last good feed stays: production/{VP}: " in failures_of(result)
    assert told in failures_of(result)
    assert guards_failed(result)[VP]
    assert live_version(bench) == good.version_id
    assert stable.read_bytes() == bytes_before
    assert result.get_asset_materialization_events() == [], "its freshness goes stale"


def test_each_guard_stands_in_the_table_of_the_check_with_its_value_and_threshold(bench: Bench) -> None:
    publish_good(bench)
    bench.archive("production", VP, vehicles(now(), 18))
    (evaluation,) = bench.run(location(bench), JOB).get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == (GUARDS_CHECK, True)
    rows = {str(record.data["guard"]): record.data for record in guard_table(evaluation)}
    assert tuple(rows) == GUARDS
    assert {row["result"] for row in rows.values()} == {"holds"}
    assert (rows["does_not_lose_entities"]["value"], rows["does_not_lose_entities"]["threshold"]) == (10, 50)
    assert (rows["has_entities_while_trips_run"]["value"], rows["stop_ids_are_known"]["value"]) == (18, 0)


def test_the_vendor_that_goes_back_is_told_from_a_retry_that_comes_late(bench: Bench) -> None:
    older = bench.archive("production", VP, vehicles(now() - timedelta(seconds=40), 20))
    live = bench.archive("production", VP, vehicles(now() - timedelta(seconds=20), 20))
    tag = names.version_tag(VP)
    assert bench.run(location(bench), JOB, tags={tag: live.version_id}).success
    late = bench.run(location(bench), JOB, tags={tag: older.version_id})
    assert late.success
    assert late.get_asset_check_evaluations() == [], "it was fetched before what is live"
    again = bench.archive("production", VP, vehicles(now() - timedelta(seconds=30), 20))
    back = bench.run(location(bench), JOB, tags={tag: again.version_id})
    assert guards_failed(back) == {VP: ["header_does_not_go_back"]}
    assert live_version(bench) == live.version_id


def test_a_vendor_whose_servers_are_seconds_apart_is_left_out_quietly_where_the_agency_says_so(bench: Bench) -> None:
    good = publish_good(bench)
    bench.agency = replace(bench.agency, realtime=RealtimeThresholds(header_back_s=10))
    bench.archive("production", VP, vehicles(now() - timedelta(seconds=25), 20))
    result = bench.run(location(bench), JOB)
    assert result.success
    assert live_version(bench) == good.version_id, "and never goes out"
    assert result.get_asset_materialization_events() == []


def test_a_fall_that_lasts_is_taken_as_true(bench: Bench) -> None:
    bench.agency = replace(bench.agency, realtime=RealtimeThresholds(entities_fall_held_s=40))
    begins = now() - timedelta(seconds=50)
    publish_good(bench, begins)
    for later_s, is_published in ((5, False), (40, False), (41, True)):
        fallen = bench.archive("production", VP, vehicles(begins + timedelta(seconds=later_s), 3))
        assert bench.run(location(bench), JOB).success is is_published
        assert (live_version(bench) == fallen.version_id) is is_published


def accept(bench: Bench, words: str) -> tuple[bool, str, list[AssetCheckEvaluation]]:
    result = bench.run(location(bench), JOB, tags={names.ACCEPT_TAG: words})
    return result.success, failures_of(result), list(result.get_asset_check_evaluations())


def test_an_operator_accepts_a_fall_by_name_and_it_warns_and_is_recorded(bench: Bench) -> None:
    publish_good(bench)
    fallen = bench.archive("production", VP, vehicles(now(), 3))
    assert not bench.run(location(bench), JOB).success
    is_published, _, (evaluation,) = accept(bench, "does_not_lose_entities")
    assert is_published
    assert (evaluation.passed, evaluation.severity) == (False, AssetCheckSeverity.WARN)
    assert (evaluation.description or "").startswith("accepted by the operator: does_not_lose_entities: ")
    assert live_version(bench) == fallen.version_id
    manifest = bench.live(PUBLICATION)
    assert manifest is not None
    assert "the feed has 3 entities" in manifest.facts["accepted"]["does_not_lose_entities"]


@pytest.mark.parametrize("words", ["header_is_not_in_the_future", "all", "has_trips"])
def test_what_cannot_be_accepted_is_named(bench: Bench, words: str) -> None:
    good = publish_good(bench)
    bench.archive("production", VP, vehicles(now() + timedelta(seconds=100), 20))
    is_published, told, _ = accept(bench, words)
    assert not is_published
    assert words in told
    assert live_version(bench) == good.version_id


def test_another_guard_than_the_accepted_one_still_blocks(bench: Bench) -> None:
    publish_good(bench)
    bench.archive("production", VP, of_vehicles(now(), ["1", "2"], incrementality=gtfs_rt.FeedHeader.DIFFERENTIAL))
    is_published, told, (evaluation,) = accept(bench, "does_not_lose_entities")
    assert not is_published
    assert "is_full_dataset: " in told
    assert evaluation.severity is AssetCheckSeverity.ERROR
    results = {str(record.data["guard"]): record.data["result"] for record in guard_table(evaluation)}
    assert (results["does_not_lose_entities"], results["is_full_dataset"]) == ("accepted", "fails")


def test_of_a_repeated_id_the_last_entity_is_published_and_what_was_dropped_is_told(bench: Bench) -> None:
    publish_good(bench)
    bench.archive("production", VP, of_vehicles(now(), ["a", *map(str, range(18)), "a"]))
    result = bench.run(location(bench), JOB)
    assert result.success
    published = gtfs_rt.FeedMessage.FromString((bench.published / f"{PUBLICATION}.pb").read_bytes())
    assert [entity.id for entity in published.entity] == [*map(str, range(18)), "a"]
    assert published.entity[-1].vehicle.vehicle.id == "train 19"
    (event,) = result.get_asset_materialization_events()
    told = event.materialization.metadata["duplicates_dropped"].value
    assert told == "1 of 20 entities dropped, as a later one has their id (1 said something else): 'a'"
    manifest = bench.live(PUBLICATION)
    assert manifest is not None
    assert manifest.facts["entities"][VP] == 19


def test_a_feed_can_have_thresholds_of_its_own(bench: Bench) -> None:
    bench.agency = replace(bench.agency, realtime_feeds={TU: RealtimeThresholds(header_age_s=3_600)})
    bench.archive("production", VP, vehicles(now() - timedelta(minutes=5), 3))
    bench.archive("production", TU, trip_updates(now() - timedelta(minutes=5)))
    result = bench.run(location(bench), JOB)
    assert guards_failed(result) == {VP: ["header_age_is_within_limit"]}
    assert bench.live(names.realtime_publication("production", TU)) is not None
