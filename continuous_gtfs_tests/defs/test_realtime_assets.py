"""What a realtime run publishes, and what it refuses to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetMaterialization,
    Definitions,
    ExecuteInProcessResult,
    TableMetadataValue,
    TableRecord,
)
from google.transit import gtfs_realtime_pb2 as gtfs_rt

from continuous_gtfs import names
from continuous_gtfs.agencies.sound_transit.realtime import STEPS
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.publication import PublicationObject
from continuous_gtfs.definitions.realtime import build_definitions
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.published_schedule import INDEX_EXTENSION
from continuous_gtfs.defs.realtime_guards import GUARDS_CHECK
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs.pipeline.step import Step, StepContext, step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.steps import CombineFeeds, UpdateFeedHeader
from continuous_gtfs_tests.builders import feed_zip, small_feed_files
from continuous_gtfs_tests.defs.conftest import Bench, failures_of

JOB = "realtime_production"
VP, TU = "vehicle_positions", "trip_updates"


def vehicles(at: datetime, count: int = 3, stop_id: str = "S1") -> bytes:
    message = gtfs_rt.FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.timestamp = int(at.timestamp())
    for number in range(count):
        entity = message.entity.add(id=f"v{number}")
        entity.vehicle.vehicle.id = f"train {number}"
        entity.vehicle.stop_id = stop_id
    return message.SerializeToString()


def trip_updates(at: datetime, count: int = 3) -> bytes:
    message = gtfs_rt.FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.timestamp = int(at.timestamp())
    for number in range(count):
        update = message.entity.add(id=f"t{number}").trip_update
        update.trip.trip_id = f"trip {number}"
        update.stop_time_update.add(stop_id="S1").arrival.delay = 60
    return message.SerializeToString()


def location(bench: Bench, steps: list[object] | None = None) -> Definitions:
    return build_definitions(
        agency=bench.agency,
        steps=check_steps(STEPS if steps is None else steps),
        artifacts=bench.artifacts,
        vendor_access=VendorAccess(),
    )


def guards_failed(result: ExecuteInProcessResult) -> dict[str, list[str]]:
    """By feed the guards that the table of its failed check shows as failed."""
    evaluations = [each for each in result.get_asset_check_evaluations() if not each.passed]
    assert {evaluation.check_name for evaluation in evaluations} <= {GUARDS_CHECK}
    return {
        evaluation.asset_key.path[-1].removeprefix("published_"): [
            str(record.data["guard"]) for record in guard_table(evaluation) if record.data["result"] == "fails"
        ]
        for evaluation in evaluations
    }


def guard_table(evaluation: AssetCheckEvaluation) -> list[TableRecord]:
    table = evaluation.metadata["guards"]
    assert isinstance(table, TableMetadataValue)
    return list(table.records)


def now() -> datetime:
    return datetime.now(UTC)


def test_a_pair_goes_out_as_protobuf_and_json_and_the_manifest_names_its_inputs(bench: Bench) -> None:
    versions = {
        VP: bench.archive("production", VP, vehicles(now())),
        TU: bench.archive("production", TU, trip_updates(now())),
    }
    tags = {names.version_tag(feed): version.version_id for feed, version in versions.items()}
    result = bench.run(location(bench), JOB, tags=tags)
    assert result.success
    for feed in (VP, TU):
        manifest = bench.live(f"realtime/production/{feed}")
        assert manifest is not None
        assert manifest.facts["inputs"][feed]["version_id"] == versions[feed].version_id
        assert manifest.facts["run_id"] == result.run_id
        assert [item.extension for item in manifest.objects] == ["pb", "json"]
        assert (bench.published / f"realtime/production/{feed}.pb").exists()
    assert len(result.get_asset_materialization_events()) == 2
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    assert len(result.get_step_success_events()) == 1, "one Dagster step, however many steps the agency has"


def test_consumers_are_told_the_agencys_own_cache_control(bench: Bench) -> None:
    published = open_store(str(bench.published))
    for cache_control in (bench.agency.realtime_cache_control, "public, max-age=2, stale-while-revalidate=1"):
        bench.agency = replace(bench.agency, realtime_cache_control=cache_control)
        bench.archive("production", VP, vehicles(now()))
        bench.archive("production", TU, trip_updates(now()))
        assert bench.run(location(bench, [UpdateFeedHeader(version=f"2.{len(cache_control)}")]), JOB).success
        for extension in ("pb", "json"):
            found = published.stat(f"realtime/production/{VP}.{extension}")
            assert found is not None
            assert found.cache_control == cache_control


def test_the_steps_filter_what_must_not_go_out(bench: Bench) -> None:
    bench.archive("production", VP, vehicles(now(), stop_id="E01-T1"))
    assert bench.run(location(bench), JOB).success
    published = gtfs_rt.FeedMessage.FromString(
        (bench.published / "realtime/production/vehicle_positions.pb").read_bytes()
    )
    assert [entity.vehicle.stop_id for entity in published.entity] == ["", "", ""]


def test_a_feed_that_did_not_change_is_neither_published_nor_materialized_again(bench: Bench) -> None:
    bench.archive("production", VP, vehicles(now() - timedelta(seconds=20)))
    bench.archive("production", TU, trip_updates(now()))
    assert bench.run(location(bench), JOB).success
    bench.archive("production", VP, vehicles(now()))
    second = bench.run(location(bench), JOB)
    assert [event.asset_key for event in second.get_asset_materialization_events()] == [
        keys.published_realtime_key("production", VP)
    ]


def test_a_rerun_finishes_what_a_run_that_died_half_way_left_undone(bench: Bench) -> None:
    bench.archive("production", VP, vehicles(now()))
    assert bench.run(location(bench), JOB).success
    stable = bench.published / "realtime/production/vehicle_positions.json"
    complete = stable.read_bytes()
    stable.unlink()
    assert bench.run(location(bench), JOB).success
    assert stable.read_bytes() == complete


def test_a_version_that_went_live_in_a_run_that_died_before_it_reported_is_materialized_by_the_next(
    bench: Bench,
) -> None:
    bench.archive("production", VP, vehicles(now()))
    assert bench.run(location(bench), JOB).success
    key = keys.published_realtime_key("production", VP)
    bench.instance.wipe_assets([key])
    again = bench.run(location(bench), JOB)
    assert [event.asset_key for event in again.get_asset_materialization_events()] == [key]


def test_a_header_from_the_future_is_refused_and_the_last_good_feed_stays(bench: Bench) -> None:
    good = bench.archive("production", VP, vehicles(now()))
    assert bench.run(location(bench), JOB).success
    bench.archive("production", VP, vehicles(now() + timedelta(seconds=500)), fetched_at=now() + timedelta(seconds=1))
    result = bench.run(location(bench), JOB)
    assert not result.success
    assert "production/vehicle_positions: header_is_not_in_the_future: the header timestamp is" in failures_of(result)
    assert guards_failed(result) == {VP: ["header_is_not_in_the_future"]}
    live = bench.live("realtime/production/vehicle_positions")
    assert live is not None
    assert live.facts["inputs"][VP]["version_id"] == good.version_id


def test_a_feed_that_lost_all_its_entities_is_refused_and_its_sibling_is_published(bench: Bench) -> None:
    bench.archive("production", VP, vehicles(now() - timedelta(seconds=20)))
    bench.archive("production", TU, trip_updates(now() - timedelta(seconds=20)))
    assert bench.run(location(bench), JOB).success
    bench.archive("production", VP, vehicles(now(), count=0))
    newer = bench.archive("production", TU, trip_updates(now()))
    result = bench.run(location(bench), JOB)
    assert not result.success
    assert guards_failed(result) == {VP: ["has_entities_while_trips_run"]}
    published = gtfs_rt.FeedMessage.FromString(
        (bench.published / "realtime/production/vehicle_positions.pb").read_bytes()
    )
    assert len(published.entity) == 3
    live = bench.live("realtime/production/trip_updates")
    assert live is not None
    assert live.facts["inputs"][TU]["version_id"] == newer.version_id


def test_a_failed_step_publishes_nothing(bench: Bench) -> None:
    @step(files=[VP])
    def divide(feeds: RealtimeFeeds) -> None:
        raise ZeroDivisionError("a bug in a rule")

    bench.archive("production", VP, vehicles(now()))
    bench.archive("production", TU, trip_updates(now()))
    result = bench.run(location(bench, [divide]), JOB)
    assert not result.success
    assert "step divide failed: ZeroDivisionError: a bug in a rule" in failures_of(result)
    assert bench.live("realtime/production/vehicle_positions") is None
    assert bench.live("realtime/production/trip_updates") is None


def test_a_late_retry_never_replaces_a_newer_feed(bench: Bench) -> None:
    older = bench.archive("production", VP, vehicles(now() - timedelta(seconds=30)))
    newer = bench.archive("production", VP, vehicles(now()))
    tag = names.version_tag(VP)
    assert bench.run(location(bench), JOB, tags={tag: newer.version_id}).success
    late = bench.run(location(bench), JOB, tags={tag: older.version_id})
    assert late.success
    assert late.get_asset_materialization_events() == [], "that would make what is live look fresh"
    live = bench.live("realtime/production/vehicle_positions")
    assert live is not None
    assert live.facts["inputs"][VP]["version_id"] == newer.version_id


def test_an_old_header_is_refused(bench: Bench) -> None:
    bench.archive("production", VP, vehicles(now() - timedelta(seconds=500)))
    result = bench.run(location(bench), JOB)
    assert not result.success
    assert "s old; at most 90 s may be" in failures_of(result)
    assert bench.live("realtime/production/vehicle_positions") is None


def test_a_step_that_writes_another_timestamp_does_not_make_an_old_feed_fresh(bench: Bench) -> None:
    bench.archive("production", VP, vehicles(now() - timedelta(seconds=500)))
    assert not bench.run(location(bench, [UpdateFeedHeader(timestamp="now")]), JOB).success
    assert bench.live("realtime/production/vehicle_positions") is None


def test_a_late_run_of_an_old_version_is_superseded_and_does_not_fail(bench: Bench) -> None:
    old = bench.archive("production", VP, vehicles(now() - timedelta(seconds=500)))
    newer = bench.archive("production", VP, vehicles(now()))
    tag = names.version_tag(VP)
    assert bench.run(location(bench), JOB, tags={tag: newer.version_id}).success
    assert bench.run(location(bench), JOB, tags={tag: old.version_id}).success


def test_a_feed_that_is_still_refused_does_not_fail_the_runs_of_its_sibling(bench: Bench) -> None:
    refused = bench.archive("production", TU, trip_updates(now() - timedelta(seconds=500)))
    fresh = bench.archive("production", VP, vehicles(now()))
    tags = {names.version_tag(TU): refused.version_id, names.version_tag(VP): fresh.version_id}
    assert bench.run(location(bench), JOB, tags=tags | {names.CHANGED_TAG: VP}).success
    assert bench.live("realtime/production/trip_updates") is None
    assert not bench.run(location(bench), JOB, tags=tags | {names.CHANGED_TAG: TU}).success


def test_a_run_that_is_owed_fails_by_every_feed_that_it_may_not_publish(bench: Bench) -> None:
    """No run has failed by this version before, so nothing else would be red."""
    refused = bench.archive("production", VP, vehicles(now() - timedelta(seconds=500)))
    tags = {names.version_tag(VP): refused.version_id, names.CHANGED_TAG: names.NONE_CHANGED}
    result = bench.run(location(bench), JOB, tags=tags)
    assert not result.success
    assert guards_failed(result).keys() == {VP}


def test_what_is_wrong_with_one_publication_does_not_stop_the_other(bench: Bench) -> None:
    for offset in (20, 0):
        bench.archive("production", VP, vehicles(now() - timedelta(seconds=offset)))
        bench.archive("production", TU, trip_updates(now() - timedelta(seconds=offset)))
        if offset:
            assert bench.run(location(bench), JOB).success
            (bench.published / "realtime/production/vehicle_positions.manifest.json").write_text("{ damaged")
    before = bench.live("realtime/production/trip_updates")
    result = bench.run(location(bench), JOB)
    assert not result.success
    assert "vehicle_positions.manifest.json" in failures_of(result)
    after = bench.live("realtime/production/trip_updates")
    assert before is not None
    assert after is not None
    assert after.label != before.label


def test_a_materialization_that_a_person_reported_is_no_stumbling_block(bench: Bench) -> None:
    bench.archive("production", VP, vehicles(now()))
    assert bench.run(location(bench), JOB).success
    key = keys.published_realtime_key("production", VP)
    bench.instance.report_runless_asset_event(AssetMaterialization(asset_key=key))
    assert bench.run(location(bench), JOB).success


def publish_schedule(bench: Bench, *, first_day: int = -10, last_day: int = 10, is_idle: bool = False) -> None:
    """A schedule whose only trip runs all day, on the days from ``first_day`` to ``last_day`` from today.

    Args:
        is_idle: Without service from four days ago to in four days.
    """
    today = datetime.now(UTC).date()
    files = small_feed_files(
        first_date=today + timedelta(days=first_day),
        last_date=today + timedelta(days=last_day),
        dates_removed=[today + timedelta(days=offset) for offset in range(-4, 5)] if is_idle else (),
    )
    header, *rows = files["stop_times.txt"].splitlines()
    columns = header.split(",")
    first, last = rows[0].split(","), rows[1].split(",")
    for row, clock in ((first, "00:00:00"), (last, "48:00:00")):
        row[columns.index("arrival_time")] = row[columns.index("departure_time")] = clock
    last[columns.index("trip_id")] = first[columns.index("trip_id")]
    stop_times = "\n".join([header, ",".join(first), ",".join(last)]) + "\n"
    index = build_schedule_index(Feed.from_bytes(feed_zip(files | {"stop_times.txt": stop_times})))
    bench.artifacts.publisher().publish(
        names.schedule_publication("production"),
        [PublicationObject(extension=INDEX_EXTENSION, data=index, content_type="application/octet-stream")],
        label="s",
        order=["1"],
        manifest={},
        now=now(),
    )


@pytest.mark.parametrize("is_idle", [True, False])
def test_an_empty_feed_is_a_fault_while_trips_run_and_a_fact_while_none_do(bench: Bench, is_idle: bool) -> None:
    publish_schedule(bench, is_idle=is_idle)
    bench.archive("production", VP, vehicles(now(), count=0))
    assert bench.run(location(bench), JOB).success is is_idle


def test_a_schedule_that_has_expired_does_not_excuse_an_empty_feed(bench: Bench) -> None:
    publish_schedule(bench, first_day=-400, last_day=-300)
    bench.archive("production", VP, vehicles(now() - timedelta(seconds=20)))
    assert bench.run(location(bench), JOB).success
    bench.archive("production", VP, vehicles(now(), count=0))
    assert not bench.run(location(bench), JOB).success


def test_a_step_gets_the_published_schedule_and_a_schedule_that_cannot_be_read_does_not_stop_realtime(
    bench: Bench,
) -> None:
    publish_schedule(bench)
    bench.archive("production", VP, vehicles(now() - timedelta(seconds=20)))
    assert bench.run(location(bench, [label_by_inputs]), JOB).success
    assert first_label(bench) == "a schedule"
    (bench.published / "schedule/production/gtfs.manifest.json").write_text("{ damaged")
    bench.archive("production", VP, vehicles(now()))
    assert bench.run(location(bench, [label_by_inputs]), JOB).success
    assert first_label(bench) == "no schedule"


def test_a_feed_that_only_steps_read_is_no_asset_and_goes_into_another(bench: Bench) -> None:
    other = next(source for source in bench.agency.feeds if source.feed_id == f"production/{VP}")
    other = replace(other, feed="other_vendor", is_published=False)
    bench.agency = replace(bench.agency, feeds=(*bench.agency.feeds, other))
    bench.archive("production", VP, vehicles(now()))
    bench.archive("production", "other_vendor", vehicles(now(), count=2, stop_id="S2"))
    definitions = location(bench, [CombineFeeds(into=VP, sources=["other_vendor"])])
    assert bench.run(definitions, JOB).success
    body = (bench.published / "realtime/production/vehicle_positions.pb").read_bytes()
    assert len(gtfs_rt.FeedMessage.FromString(body).entity) == 5
    assert not (bench.published / "realtime/production/other_vendor.pb").exists()
    made = definitions.resolve_asset_graph().executable_asset_keys
    assert keys.published_realtime_key("production", VP) in made
    assert keys.published_realtime_key("production", "other_vendor") not in made
    live = bench.live("realtime/production/vehicle_positions")
    assert live is not None
    assert set(live.facts["inputs"]) == {VP, "other_vendor"}


def test_a_step_that_wants_what_is_live_gets_it_and_the_manifest_says_which(bench: Bench) -> None:
    publish_schedule(bench)
    steps: list[object] = [mention_what_is_live]
    bench.archive("production", TU, trip_updates(now() - timedelta(seconds=20), count=2))
    assert bench.run(location(bench, steps), JOB).success
    assert entity_ids(bench, TU) == ["t0", "t1", "none is live"]
    bench.archive("production", TU, trip_updates(now(), count=2))
    first = bench.live(f"realtime/production/{TU}")
    assert bench.run(location(bench, steps), JOB).success
    assert entity_ids(bench, TU) == ["t0", "t1", "3 are live"]
    second = bench.live(f"realtime/production/{TU}")
    assert first is not None
    assert second is not None
    assert second.facts["published_inputs"] == {TU: first.label}


class MentionWhatIsLive(Step[RealtimeFeeds]):
    """Says in an entity how many entities are live."""

    name = "mention_what_is_live"
    files = frozenset({TU})

    @property
    def wanted_inputs(self) -> frozenset[str]:
        return frozenset({f"published_{TU}"})

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        live = context.inputs.get(f"published_{TU}")
        told = f"{len(live.entity)} are live" if isinstance(live, gtfs_rt.FeedMessage) else "none is live"
        feed.edit(TU).entity.add(id=told).trip_update.trip.trip_id = "trip 9"


mention_what_is_live = MentionWhatIsLive()


def entity_ids(bench: Bench, feed: str) -> list[str]:
    body = (bench.published / f"realtime/production/{feed}.pb").read_bytes()
    return [entity.id for entity in gtfs_rt.FeedMessage.FromString(body).entity]


@step(files=[VP])
def label_by_inputs(feeds: RealtimeFeeds, context: StepContext) -> None:
    label = "a schedule" if "schedule_index" in context.inputs else "no schedule"
    feeds.edit(VP).entity[0].vehicle.vehicle.label = label


def first_label(bench: Bench) -> str:
    body = (bench.published / "realtime/production/vehicle_positions.pb").read_bytes()
    return gtfs_rt.FeedMessage.FromString(body).entity[0].vehicle.vehicle.label


def test_without_any_version_the_run_says_where_to_look(bench: Bench) -> None:
    result = bench.run(location(bench), JOB)
    assert not result.success
    assert "no realtime feed of production has been fetched yet" in failures_of(result)


@pytest.mark.parametrize("selected", [VP, TU])
def test_one_feed_can_be_materialized_alone(bench: Bench, selected: str) -> None:
    bench.archive("production", VP, vehicles(now()))
    bench.archive("production", TU, trip_updates(now()))
    result = bench.run(location(bench), JOB, asset_selection=[keys.published_realtime_key("production", selected)])
    assert result.success
    assert [bench.live(f"realtime/production/{feed}") is not None for feed in (VP, TU)] == [
        selected == VP,
        selected == TU,
    ]
