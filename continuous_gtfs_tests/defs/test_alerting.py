"""The alert sensor on real runs, checks and publications."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from dagster import Definitions, build_sensor_context, job, op

from continuous_gtfs.defs import alerting_facts as facts
from continuous_gtfs.defs.alerting import Memory, alerts_sensor
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
