"""What a tick reports to Dagster, with the stand-in vendor over HTTP, and the words for what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetMaterialization,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Failure,
    RunsFilter,
    SensorDefinition,
    SensorResult,
    build_sensor_context,
    job,
)

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.decisions import RunFacts, RunState
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.defs.run_history import read_history
from continuous_gtfs.defs.sensors import pims_sensor
from continuous_gtfs.defs.watch_seams import WatchTiming
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.simulator.running import TOKENS, RunningSimulator, serve_in_thread

VP, TU = "vehicle_positions", "trip_updates"
SETTINGS = ("PIMS_PRODUCTION_URL", "PIMS_PRODUCTION_TOKEN")


ASSETS = {
    FeedKind.SCHEDULE: [keys.transformed_feed_key("production"), keys.published_schedule_key("production")],
    FeedKind.REALTIME: [keys.published_realtime_key("production", feed) for feed in (VP, TU)],
}


# A queued run needs a queue, which the direct coordinator does not have.
ENDED_OR_NEVER_USED = {"SUCCESS", "FAILURE", "CANCELED", "QUEUED"}


@job
def no_work() -> None:
    """Stands for a pipeline's job in a run's record."""


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with serve_in_thread(realtime_every_s=None) as running:
        yield running


@pytest.fixture(autouse=True)
def _settings(vendor: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIMS_PRODUCTION_URL", f"{vendor.url}/production")
    monkeypatch.setenv("CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS", "127.0.0.1")
    monkeypatch.setenv("PIMS_PRODUCTION_TOKEN", TOKENS["production"])
    vendor.control("DELETE", "faults")


def sources(kind: FeedKind, **changes: Any) -> tuple[FeedSource, ...]:
    declared = load_agency(DEFAULT_AGENCY).sources("production", kind)
    return tuple(replace(source, **({"poll_every_s": 0.1, "timeout_s": 1.0} | changes)) for source in declared)


def sensor_of(kind: FeedKind, **changes: Any) -> SensorDefinition:
    return pims_sensor(
        pipeline=kind.value,
        environment="production",
        sources=sources(kind, **changes),
        code_version="code",
        assets=ASSETS[kind],
        partitions_def=keys.schedule_versions("production") if kind is FeedKind.SCHEDULE else None,
        timing=WatchTiming(tick_s=1.6, window_s=0.3, sibling_poll_s=0.05, run_poll_s=0.05, goes_on_s=0.0),
    )


def tick(bench: Bench, sensor: SensorDefinition, cursor: str | None = None) -> SensorResult:
    with build_sensor_context(
        instance=bench.instance,
        cursor=cursor,
        resources={"artifacts": bench.artifacts, "vendor_access": VendorAccess()},
    ) as context:
        result = sensor(context)
    assert isinstance(result, SensorResult)
    return result


def rested(cursor: str) -> str:
    """The cursor with no feed that the vendor is to be left alone with."""
    fields = json.loads(cursor)
    for memory in fields["feeds"].values():
        memory["not_before"] = 0
    return json.dumps(fields)


def test_a_schedule_version_is_archived_reported_and_asked_for_as_a_partition(bench: Bench) -> None:
    data = tick(bench, sensor_of(FeedKind.SCHEDULE))
    (request,) = data.run_requests
    (version,) = bench.artifacts.archive().versions("production", "schedule")
    assert request.partition_key == version.version_id
    assert request.tags[names.TRIGGER_TAG] == "new_version"
    assert request.tags[names.version_tag("schedule")] == version.version_id
    (added,) = data.dynamic_partitions_requests
    assert list(added.partition_keys) == [version.version_id]
    (event,) = [e for e in data.asset_events if isinstance(e, AssetMaterialization)]
    assert event.partition == version.version_id
    assert event.tags is not None
    assert event.tags["dagster/data_version"] == version.version_id


def test_a_realtime_pair_is_one_run_request_that_carries_both_versions(bench: Bench) -> None:
    data = tick(bench, sensor_of(FeedKind.REALTIME))
    (request,) = data.run_requests
    assert request.partition_key is None
    assert request.tags[names.CHANGED_TAG] == "trip_updates,vehicle_positions"
    archive = bench.artifacts.archive()
    for feed in (VP, TU):
        latest = archive.latest("production", feed)
        assert latest is not None
        assert request.tags[names.version_tag(feed)] == latest.version_id


def test_a_version_that_is_known_is_not_asked_for_again(bench: Bench) -> None:
    sensor = sensor_of(FeedKind.SCHEDULE)
    first = tick(bench, sensor)
    run_as_asked(bench.instance, first.run_requests[0])
    second = tick(bench, sensor, rested(first.cursor))
    assert second.run_requests == []
    assert "no newer version" in second.skip_reason.skip_message


def run_as_asked(instance: DagsterInstance, request: Any) -> None:
    """Records the run that a request led to, as finished."""
    instance.create_run_for_job(job_def=no_work, tags=dict(request.tags), status=DagsterRunStatus.SUCCESS)


def test_a_run_that_a_person_started_holds_the_pipeline_and_owes_nothing_once_it_has_ended(bench: Bench) -> None:
    sensor = sensor_of(FeedKind.SCHEDULE)
    first = tick(bench, sensor)
    run_as_asked(bench.instance, first.run_requests[0])
    tags = {names.PIPELINE_TAG: "schedule/production", "dagster/partition": "an older version"}
    bench.instance.create_run_for_job(job_def=no_work, tags=tags, status=DagsterRunStatus.STARTED)
    history = read_history(bench.instance, "schedule/production", ASSETS[FeedKind.SCHEDULE])
    assert history.last_run == RunFacts(state=RunState.IN_FLIGHT)
    (run,) = bench.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
    bench.instance.report_run_canceled(run)
    assert tick(bench, sensor, rested(first.cursor)).run_requests == []


@pytest.mark.parametrize("status", [s for s in DagsterRunStatus if s.value not in ENDED_OR_NEVER_USED])
def test_a_run_of_the_pipelines_assets_holds_the_pipeline_without_any_tag(
    bench: Bench, status: DagsterRunStatus
) -> None:
    assets = ASSETS[FeedKind.SCHEDULE]
    chosen = frozenset(assets[:1])
    bench.instance.add_run(DagsterRun("__ASSET_JOB", run_id=str(uuid4()), asset_selection=chosen, status=status))
    assert read_history(bench.instance, "schedule/production", assets).last_run == RunFacts(state=RunState.IN_FLIGHT)
    assert read_history(bench.instance, "realtime/production", ASSETS[FeedKind.REALTIME]).last_run is None


CRASHES_ARE_RETRIED = {"run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}}
ASKED_FOR = {names.PIPELINE_TAG: "schedule/production", names.TRIGGER_TAG: "new_version"}
NOT_BEGUN = {"dagster/failure_reason": "START_TIMEOUT"}


@pytest.mark.parametrize(
    ("tags", "after_s", "expected"),
    [
        ({}, 5, RunFacts(state=RunState.IN_FLIGHT)),
        ({}, 30, RunFacts(state=RunState.FAILED, is_abandoned=True)),
        ({"dagster/will_retry": "false"}, 5, RunFacts(state=RunState.FAILED, is_abandoned=True)),
        ({"dagster/failure_reason": "STEP_FAILURE"}, 5, RunFacts(state=RunState.FAILED)),
        ({"dagster/retry_number": "2"}, 5, RunFacts(state=RunState.FAILED)),
        ({names.TRIGGER_TAG: "last_run_failed"}, 30, RunFacts(state=RunState.FAILED)),
        ({"dagster/retry_number": "2", **NOT_BEGUN}, 5, RunFacts(state=RunState.IN_FLIGHT)),
        ({"dagster/retry_number": "2", **NOT_BEGUN}, 30, RunFacts(state=RunState.FAILED, is_abandoned=True)),
        (
            {names.TRIGGER_TAG: "last_run_failed", **NOT_BEGUN},
            30,
            RunFacts(state=RunState.FAILED, is_abandoned=True),
        ),
    ],
    ids=[
        *(
            "about to be retried",
            "retry was lost",
            "could not be retried",
            "its step failed",
            "retried enough",
            "again",
        ),
        *("not begun just now", "not begun though retried", "not begun again"),
    ],
)
def test_a_crashed_run_holds_the_pipeline_until_dagster_has_retried_it_or_is_seen_not_to(
    tags: dict[str, str], after_s: float, expected: RunFacts
) -> None:
    with DagsterInstance.ephemeral(settings=CRASHES_ARE_RETRIED) as instance:
        run = instance.create_run_for_job(job_def=no_work, tags=ASKED_FOR | tags, status=DagsterRunStatus.STARTED)
        instance.report_run_failed(run)
        instance.add_run_tags(run.run_id, tags)
        (record,) = instance.get_run_records()
        assert record.end_time is not None
        assets = ASSETS[FeedKind.SCHEDULE]
        history = read_history(instance, "schedule/production", assets, now=record.end_time + after_s)
        assert history.last_run == expected


def test_a_version_that_was_reported_by_a_tick_whose_cursor_was_lost_is_not_reported_again(bench: Bench) -> None:
    sensor = sensor_of(FeedKind.REALTIME)
    for event in tick(bench, sensor).asset_events:
        bench.instance.report_runless_asset_event(event)
    repeated = tick(bench, sensor)
    assert len(repeated.run_requests) == 1, "the run may not have come about: it is asked for again"
    assert [e for e in repeated.asset_events if isinstance(e, AssetMaterialization)] == []


def test_the_partition_of_a_version_that_is_asked_for_again_is_added_again(bench: Bench) -> None:
    sensor = sensor_of(FeedKind.SCHEDULE)
    first = tick(bench, sensor)
    again = tick(bench, sensor, rested(first.cursor))
    (added,) = again.dynamic_partitions_requests
    assert list(added.partition_keys) == [again.run_requests[0].partition_key]


def test_a_reset_of_the_cursor_never_gives_a_run_key_a_second_time(bench: Bench) -> None:
    sensor = sensor_of(FeedKind.SCHEDULE)
    assert tick(bench, sensor).run_requests[0].run_key != tick(bench, sensor).run_requests[0].run_key


def test_a_time_out_that_no_tick_can_hold_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match=r"production/schedule: timeout_s is 2; it must be below the 1\.6 s"):
        sensor_of(FeedKind.SCHEDULE, timeout_s=2.0)


def test_a_tick_does_not_forget_the_feed_that_answers_because_its_sibling_is_refused(
    bench: Bench, vendor: RunningSimulator
) -> None:
    sensor = sensor_of(FeedKind.REALTIME)
    first = tick(bench, sensor)
    run_as_asked(bench.instance, first.run_requests[0])
    vendor.set_fault("production", VP, "redirect", count=None)
    told = tick(bench, sensor, rested(first.cursor))
    again = tick(bench, sensor, rested(told.cursor))
    asked = [json.loads(data.cursor)["feeds"][TU]["outcomes"].get("unchanged", 0) for data in (told, again)]
    assert asked[1] > asked[0]
    assert "redirect_refused" in again.skip_reason.skip_message


def test_a_request_that_never_became_a_run_is_made_again(bench: Bench) -> None:
    sensor = sensor_of(FeedKind.SCHEDULE)
    first = tick(bench, sensor)
    again = tick(bench, sensor, rested(first.cursor))
    (request,) = again.run_requests
    assert request.tags[names.TRIGGER_TAG] == "never_run"
    assert request.run_key != first.run_requests[0].run_key


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("PIMS_PRODUCTION_TOKEN", None, "PIMS_PRODUCTION_TOKEN"),
        ("PIMS_PRODUCTION_URL", None, "PIMS_PRODUCTION_URL"),
        ("PIMS_PRODUCTION_TOKEN", "not-the-token", "unauthorized"),
    ],
)
def test_what_only_a_person_can_mend_shows_on_the_asset_and_then_fails_the_tick(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, setting: str, value: str | None, words: str
) -> None:
    if value is None:
        monkeypatch.delenv(setting)
    else:
        monkeypatch.setenv(setting, value)
    sensor = sensor_of(FeedKind.SCHEDULE)
    first = tick(bench, sensor)
    (evaluation,) = [e for e in first.asset_events if isinstance(e, AssetCheckEvaluation)]
    assert not evaluation.passed
    assert words in str(evaluation.description)
    with pytest.raises(Failure, match=f"production/schedule: .*{words}"):
        tick(bench, sensor, rested(first.cursor))
    later = json.loads(rested(first.cursor))
    later["polled_at"] -= 60
    counted = tick(bench, sensor, json.dumps(later))
    outcomes = [json.loads(data.cursor)["feeds"]["schedule"]["outcomes"] for data in (first, counted)]
    assert sum(outcomes[1].values()) > sum(outcomes[0].values()), "what was asked in vain is counted all the same"


@pytest.mark.parametrize(
    ("fault", "feed", "words"),
    [
        ("garbage", "schedule", "production/schedule"),
        ("zip_without_stops", "schedule", "stops.txt"),
        ("garbage", VP, "production/vehicle_positions"),
        ("html_200", VP, "production/vehicle_positions"),
    ],
)
def test_a_body_that_is_no_such_feed_is_named_and_is_no_version(
    bench: Bench, vendor: RunningSimulator, fault: str, feed: str, words: str
) -> None:
    kind = FeedKind.SCHEDULE if feed == "schedule" else FeedKind.REALTIME
    vendor.set_fault("production", feed, fault, count=None)
    data = tick(bench, sensor_of(kind))
    assert bench.artifacts.archive().versions("production", feed) == []
    told = json.loads(data.cursor)["feeds"][feed]["failure"]
    assert words in told


def test_a_feed_over_the_size_limit_is_refused_with_the_limit(bench: Bench) -> None:
    data = tick(bench, sensor_of(FeedKind.SCHEDULE, max_bytes=1000))
    told = json.loads(data.cursor)["feeds"]["schedule"]["failure"]
    assert told.startswith("too_large")
    assert "1000" in told.replace(",", "").replace("_", "")


def test_a_vendor_that_cannot_be_reached_is_counted_and_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIMS_PRODUCTION_URL", "http://127.0.0.1:9/production")
    data = tick(bench, sensor_of(FeedKind.SCHEDULE))
    memory = json.loads(data.cursor)["feeds"]["schedule"]
    assert memory["outcomes"]["could_not_tell:unreachable"] >= 2
    assert "127.0.0.1:9" in memory["failure"]
    assert "could not tell" in data.skip_reason.skip_message


def test_a_tokens_value_is_in_nothing_that_a_tick_leaves_behind(
    bench: Bench, vendor: RunningSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    left = []
    for fault in (None, "http_500", "html_200", "redirect"):
        if fault:
            vendor.set_fault("production", VP, fault, count=None)
        data = tick(bench, sensor_of(FeedKind.REALTIME))
        left += [repr(data), data.cursor, str(data.skip_reason)]
    stored = [p.read_bytes().decode(errors="replace") for p in bench.published.parent.rglob("*") if p.is_file()]
    assert stored, "nothing was archived, so nothing was looked at"
    for text in (*left, *stored, caplog.text, repr(VendorAccess())):
        assert TOKENS["production"] not in text


def evaluations(data: SensorResult, check: str) -> dict[str, bool]:
    """By feed, what a tick reports for a check."""
    return {
        evaluation.asset_key.path[-1]: evaluation.passed
        for evaluation in data.asset_events
        if isinstance(evaluation, AssetCheckEvaluation) and evaluation.check_name == check
    }


def test_a_feed_frozen_at_the_vendor_fails_a_check_on_its_asset_until_it_moves(
    bench: Bench, vendor: RunningSimulator
) -> None:
    sensor = sensor_of(FeedKind.REALTIME, frozen_after_polls=3)
    first = tick(bench, sensor)
    run_as_asked(bench.instance, first.run_requests[0])
    stale = tick(bench, sensor, rested(first.cursor))
    # The tick ends with the first feed that is found frozen, which may be either.
    frozen = {feed for feed, moves in evaluations(stale, names.VENDOR_FEED_MOVES_CHECK).items() if not moves}
    assert frozen
    assert stale.run_requests == []
    assert "frozen at the vendor" in stale.skip_reason.skip_message
    vendor.control("POST", "realtime", edition="production").raise_for_status()
    moving, cursor = {}, stale.cursor
    for _ in range(4):  # One of the two may be asked too late for the run of the other.
        moved = tick(bench, sensor, rested(cursor))
        moving |= evaluations(moved, names.VENDOR_FEED_MOVES_CHECK)
        cursor = moved.cursor
        if all(moving.get(feed) for feed in frozen):
            break
    assert {feed: moving.get(feed) for feed in frozen} == dict.fromkeys(frozen, True)
    assert len(moved.run_requests) == 1


def test_other_entities_under_a_frozen_timestamp_are_versions_of_a_feed_that_stands_still(
    bench: Bench, vendor: RunningSimulator
) -> None:
    sensor = sensor_of(FeedKind.REALTIME, frozen_after_polls=3)
    vendor.set_fault("production", VP, "frozen_timestamp", count=None)
    first = tick(bench, sensor)
    run_as_asked(bench.instance, first.run_requests[0])
    vendor.control("POST", "realtime", edition="production").raise_for_status()
    second = tick(bench, sensor, rested(first.cursor))
    assert len(second.run_requests) == 1
    run_as_asked(bench.instance, second.run_requests[0])
    third = tick(bench, sensor, rested(second.cursor))
    told = evaluations(second, names.VENDOR_FEED_MOVES_CHECK) | evaluations(third, names.VENDOR_FEED_MOVES_CHECK)
    assert told[VP] is False


def test_a_cursor_of_the_release_before_is_taken_over_by_a_tick_that_asks_for_nothing(bench: Bench) -> None:
    sensor = sensor_of(FeedKind.REALTIME)
    first = tick(bench, sensor)
    run_as_asked(bench.instance, first.run_requests[0])
    old = json.loads(rested(first.cursor))
    old["schema"] = 1
    del old["is_run_seen"]
    for memory in old["feeds"].values():
        for added in ("polls", "moved_to", "moved_at", "unmoved", "reported_frozen"):
            del memory[added]
    upgraded = tick(bench, sensor, json.dumps(old))
    assert upgraded.run_requests == []
    assert json.loads(upgraded.cursor)["schema"] == 2
