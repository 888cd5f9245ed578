"""The alert sensor on real runs, checks and publications."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType

import pytest
from dagster import DagsterInstance, Definitions, build_sensor_context, job, op
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
from continuous_gtfs.definitions import realtime, schedule
from continuous_gtfs.defs import alerting_facts as facts
from continuous_gtfs.defs.alerting import Memory, alerts_sensor, look_at_all
from continuous_gtfs.defs.resources import VendorAccess
from continuous_gtfs_tests.alerts.webhook import Webhook, webhook
from continuous_gtfs_tests.defs.conftest import Bench


@op
def broken() -> None:
    raise ValueError("the route 7 has no colour")


@job
def schedule_production() -> None:
    broken()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as kept:
        monkeypatch.setenv("CONTINUOUS_GTFS_ALERT_URLS", kept.url)
        yield kept


def test_a_failing_run_is_told_of_once_and_no_more_after_a_restart(bench: Bench, hook: Webhook) -> None:
    look = alerts_sensor(bench.agency, "schedule")
    definitions = Definitions(jobs=[schedule_production], sensors=[look], resources={"artifacts": bench.artifacts})
    bench.run(definitions, "schedule_production")
    cursor = None
    for _ in range(3):
        context = build_sensor_context(
            bench.instance,
            cursor=cursor,
            repository_def=definitions.get_repository_def(),
            resources={"artifacts": bench.artifacts},
        )
        look(context)
        cursor = context.cursor
    (body,) = hook.bodies
    assert "schedule_production" in body["text"]
    assert "the route 7 has no colour" in body["text"]
    assert "nothing was published before" in body["text"]


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
        look_at_all(memory, instance, repository, bench.agency, pipeline, bench.artifacts, 2000.0)
    assert "the cursor is none" in memory.ledger.open[f"tick {name}"].problem.summary
