"""A sensor is not left alone for an hour because the clock was set back by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster._daemon.sensor import get_elapsed

from continuous_gtfs.demo.postgres import EmbeddedPostgres
from continuous_gtfs_tests.instance.test_storage import SETTINGS


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    folder: Path = tmp_path_factory.mktemp("schedule-storage")
    with EmbeddedPostgres(folder / "postgres") as url:
        (folder / "dagster.yaml").write_text(SETTINGS.format(url=url))
        with DagsterInstance.from_config(str(folder)) as instance:
            yield instance


@pytest.mark.parametrize(
    ("ahead_s", "is_left_alone_by_it"), [(-2.0, True), (2.0, True), (60.0, False), (3600.0, False)], ids=str
)
def test_only_a_tick_that_is_not_ahead_of_the_clock_counts(
    instance: DagsterInstance, ahead_s: float, is_left_alone_by_it: bool
) -> None:
    location = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=1, location_name="realtime")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "repository"), f"sensor {ahead_s}")
    at = time.time() + ahead_s
    data = SensorInstigatorData(
        last_tick_timestamp=at, last_tick_start_timestamp=at, cursor="kept", min_interval=1, last_run_key="key"
    )
    instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, data)
    )
    one = instance.get_instigator_state(origin.get_id(), origin.get_selector().get_id())
    (of_all,) = [state for state in instance.all_instigator_state() if state.instigator_name == f"sensor {ahead_s}"]
    for state in (one, of_all):
        assert state is not None
        assert (get_elapsed(state) is not None) == is_left_alone_by_it
        kept = state.instigator_data
        assert isinstance(kept, SensorInstigatorData)
        assert (kept.cursor, kept.min_interval, kept.last_run_key) == ("kept", 1, "key")
