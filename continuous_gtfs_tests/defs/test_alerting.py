"""The alert sensor on real runs, checks and publications."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import pytest
from dagster import AssetCheckEvaluation, AssetKey, DagsterInstance, Definitions, SkipReason, build_sensor_context
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._utils.error import SerializableErrorInfo

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_steps
from continuous_gtfs.alerts.ledger import HELD_S
from continuous_gtfs.alerts.problems import Problem, Severity
from continuous_gtfs.definitions import realtime, schedule
from continuous_gtfs.defs import alerting_facts as facts
from continuous_gtfs.defs.alerting import Memory, alerts_sensor, look_at_all
from continuous_gtfs.defs.alerting_live import KnownPublications
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs.names import VENDOR_ANSWERS_CHECK
from continuous_gtfs_tests.alerts.webhook import Webhook, webhook
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.pipeline_runs import REALTIME_STEPS, realtime_location, run_realtime

VEHICLES_CHECK = AssetKey(["pims", "production", "vehicle_positions"])


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as kept:
        monkeypatch.setenv("CONTINUOUS_GTFS_ALERT_URLS", f"warning={kept.url}")
        monkeypatch.setenv("CONTINUOUS_GTFS_UI_URL", "https://dagster.example.org/")
        yield kept


@dataclass
class Watch:
    """The alert sensor of the realtime location, looked through tick by tick at times of a test's choice.

    Attributes:
        ahead_s: How far its clock is ahead of the machine's.
        cursor: What Dagster keeps of it.
    """

    bench: Bench
    ahead_s: float = 0.0
    cursor: str | None = None

    def __post_init__(self) -> None:
        self.definitions = realtime_location(self.bench, REALTIME_STEPS)
        self.restart()

    def restart(self) -> None:
        """As its code server does: only the cursor stays."""
        self.sensor = alerts_sensor(self.bench.agency, "realtime", clock=lambda: time.time() + self.ahead_s)

    def look(self, *, ahead_s: float | None = None) -> str:
        """One tick; gives what it says."""
        self.ahead_s = self.ahead_s if ahead_s is None else ahead_s
        context = build_sensor_context(
            self.bench.instance,
            cursor=self.cursor,
            repository_def=self.definitions.get_repository_def(),
            resources={"artifacts": self.bench.artifacts},
        )
        told = self.sensor(context)
        self.cursor = context.cursor
        assert isinstance(told, SkipReason)
        return told.skip_message or ""

    def open(self) -> dict[str, Severity]:
        return {key: one.problem.severity for key, one in Memory.from_json(self.cursor).ledger.open.items()}


@pytest.fixture
def watch(bench: Bench) -> Watch:
    return Watch(bench)


def test_a_failed_run_and_its_check_are_told_of_once_with_a_link_and_once_more_when_they_have_ended(
    watch: Watch, hook: Webhook
) -> None:
    run_realtime(watch.bench)
    refused = run_realtime(watch.bench, age_s=500)
    for _ in range(3):
        watch.look()
        watch.restart()
    (body,) = hook.bodies
    assert "ERROR: realtime_production\n" in body["text"]
    assert "header_age_is_within_limit" in body["text"]
    assert "the run failed, the last good feed stays live, " in body["text"]
    assert f"https://dagster.example.org/runs/{refused.run_id}" in body["text"]
    assert "ERROR: realtime/production/published_vehicle_positions guards_hold\n" in body["text"]
    assert "https://dagster.example.org/assets/realtime/production/published_trip_updates?view=checks" in body["text"]
    run_realtime(watch.bench)
    watch.look()
    assert len(hook.bodies) == 1, "it may fail again at once: it is not yet over"
    for ahead_s in (90.0, HELD_S + 1.0):
        watch.look(ahead_s=ahead_s)
    assert len(hook.bodies) == 2
    assert "ended: realtime_production\n" in hook.bodies[1]["text"]
    assert {key.split()[0] for key in watch.open()} == {"age"}, "by that clock it is three minutes later"


def test_a_feed_that_gets_no_newer_is_a_warning_then_an_error(watch: Watch, hook: Webhook) -> None:
    run_realtime(watch.bench)
    watch.look()
    assert hook.bodies == []
    limits = watch.bench.agency.realtime_freshness
    for age in (limits.warn_after, limits.fail_after):
        watch.look(ahead_s=age.total_seconds() + 1.0)
    told = [body["text"] for body in hook.bodies]
    assert [("warning: realtime/production/trip_updates" in text) for text in told] == [True, False]
    assert "ERROR: realtime/production/vehicle_positions\n" in told[1]
    assert "/assets/realtime/production/published_vehicle_positions" in told[1]
    # Published anew, it is known at the next look, though the manifests are not read at each.
    run_realtime(watch.bench)
    watch.look(ahead_s=0.0)
    assert all(one.gone_since is not None for one in Memory.from_json(watch.cursor).ledger.open.values())


def test_a_vendor_that_does_not_tell_is_told_of_until_it_answers(watch: Watch, hook: Webhook) -> None:
    def report(passed: bool, description: str) -> None:
        result = AssetCheckEvaluation(
            asset_key=VEHICLES_CHECK, check_name=VENDOR_ANSWERS_CHECK, passed=passed, description=description
        )
        watch.bench.instance.report_runless_asset_event(result)

    report(True, "the vendor answers")
    watch.look()
    report(False, "timeout: no answer in 8 s")
    watch.look()
    report(True, "the vendor answers again")
    for ahead_s in (60.0, 120.0, 120.0 + HELD_S):
        watch.look(ahead_s=ahead_s)
    began, ended = (body["text"] for body in hook.bodies)
    assert "ERROR: pims/production/vehicle_positions vendor_answers\ntimeout: no answer in 8 s\n" in began
    assert "ended: pims/production/vehicle_positions vendor_answers" in ended


def test_a_webhook_that_is_down_fails_no_tick_and_gets_what_it_missed_once_it_is_back(
    watch: Watch, hook: Webhook
) -> None:
    run_realtime(watch.bench, age_s=500)
    hook.status = 503
    assert "not delivered: destination 1 answered 503" in watch.look()
    for tick in range(20):
        watch.look(ahead_s=30.0 * tick)
        watch.restart()
    assert hook.asked < 8
    hook.status = 200
    watch.look(ahead_s=3600.0)
    watch.look(ahead_s=3700.0)
    (body,) = hook.bodies
    assert "ERROR: realtime_production\nthe run failed, nothing was published before: " in body["text"]


def test_a_store_that_cannot_be_read_is_told_of_and_ends_no_problem_of_age(
    watch: Watch, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_realtime(watch.bench)
    late = watch.bench.agency.realtime_freshness.fail_after.total_seconds() + 1.0
    watch.look(ahead_s=late)
    manifest = watch.bench.published / "realtime/production/vehicle_positions.manifest.json"
    manifest.write_text("torn")
    for ahead_s in (late + 60.0, late + 120.0 + HELD_S):
        watch.look(ahead_s=ahead_s)
    assert {"could_not_look published store of realtime", "age realtime/production/trip_updates"} <= set(watch.open())


def test_what_is_live_is_read_again_only_where_it_may_be_old_by_now(bench: Bench) -> None:
    run_realtime(bench)
    known, now = KnownPublications(bench.agency, "realtime"), time.time()
    qa = bench.agency.environments[1]
    before = known.look(bench.artifacts, now=now)
    assert [one.manifest is not None for one in before] == [True, True, False, False]
    (bench.published / f"realtime/{qa}").mkdir(parents=True)
    # Whatever is read now fails: all but the one that is read in turn are known to be young.
    manifests = sorted((bench.published / "realtime/production").glob("*.manifest.json"))
    for path in manifests:
        path.rename(path.with_suffix(".away"))
    after = known.look(bench.artifacts, now=now + 1.0)
    assert [one.manifest is None for one in after].count(False) == 1
    assert all(one.manifest is None for one in known.look(bench.artifacts, now=now + 1000.0))


def test_a_job_that_is_gone_has_no_open_problem(watch: Watch, hook: Webhook) -> None:
    watch.look()
    memory = Memory.from_json(watch.cursor)
    gone = Problem(kind="run", subject="realtime_gone", severity=Severity.ERROR, summary="it failed", since=0.0)
    memory.failed_jobs["realtime_gone"] = gone
    watch.cursor = memory.to_json()
    watch.look()
    assert watch.open() == {}


def test_a_cursor_that_is_none_begins_anew() -> None:
    assert Memory.from_json("no cursor").to_json() == Memory().to_json()
    assert json.loads(Memory.from_json('{"schema": 9}').to_json())["schema"] == 1


def test_a_sensor_that_ends_no_tick_is_silent_after_a_while_and_not_right_after_a_pause() -> None:
    def silent(now: float) -> list[str]:
        return [p.subject for p in facts.silent_sensors({}, {"schedule_qa_sensor"}, watched_since=1000.0, now=now)]

    assert silent(1000.0 + facts.SILENT_AFTER_S) == []
    assert silent(1001.0 + facts.SILENT_AFTER_S) == ["schedule_qa_sensor"]


@pytest.mark.parametrize(("module", "pipeline"), [(schedule, "schedule"), (realtime, "realtime")])
def test_a_whole_location_is_looked_at_and_its_failed_tick_is_found(
    bench: Bench, module: ModuleType, pipeline: str
) -> None:
    definitions: Definitions = module.build_definitions(
        agency=bench.agency,
        steps=load_steps(DEFAULT_AGENCY, pipeline),
        artifacts=bench.artifacts,
        vendor_access=VendorAccess(),
    )
    memory, name = Memory(), f"{pipeline}_qa_sensor"
    with DagsterInstance.local_temp() as instance:
        repository = definitions.get_repository_def()
        origin = RemoteInstigatorOrigin(
            RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(pipeline), repository.name), name
        )
        selector = origin.get_selector().get_id()
        data = SensorInstigatorData(min_interval=1)
        instance.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data))
        error = SerializableErrorInfo("the cursor is none", [], "ValueError")
        tick = TickData(
            origin.get_id(), name, InstigatorType.SENSOR, TickStatus.FAILURE, 1.0, error=error, selector_id=selector
        )
        instance.create_tick(tick)
        known = KnownPublications(bench.agency, pipeline)
        seen, _ = look_at_all(memory, instance, repository, bench.agency, pipeline, known, bench.artifacts, 2000.0)
    assert "the cursor is none" in {one.key: one.summary for one in seen}[f"tick {name}"]
