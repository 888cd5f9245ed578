"""`continuous-gtfs maintain` on a storage of files with a run that is old, and one that is the newest of its kind."""

from __future__ import annotations

import gc
import os
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.test_utils import create_run_for_test

from continuous_gtfs import names
from continuous_gtfs.cli import main
from continuous_gtfs_tests.documents import operations_lines


def call(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    # A command leaves nothing to the collector, since its process ends; this one goes on.
    gc.unfreeze()
    code = stopped.value.code
    assert isinstance(code, int)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    for name in [one for one in os.environ if one.startswith("CONTINUOUS_GTFS_KEEP_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("CONTINUOUS_GTFS_POSTGRES_URL", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("CONTINUOUS_GTFS_ARCHIVE", str(tmp_path / "archive"))
    monkeypatch.setenv("CONTINUOUS_GTFS_PUBLISHED", str(tmp_path / "published"))
    with DagsterInstance.from_config(str(tmp_path)) as opened:
        yield opened


def old_runs(instance: DagsterInstance, count: int) -> list[str]:
    """Successful realtime runs of three days ago, the oldest first."""
    ids = []
    storage = instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    ended = datetime.now(UTC) - timedelta(days=3)
    for _ in range(count):
        run = create_run_for_test(
            instance,
            job_name="realtime_production",
            status=DagsterRunStatus.SUCCESS,
            tags={names.PIPELINE_TAG: "realtime/production"},
        )
        ids.append(run.run_id)
    with storage.connect() as connection:
        connection.execute(
            RunsTable.update().values(
                create_timestamp=ended.replace(tzinfo=None),
                update_timestamp=ended.replace(tzinfo=None),
                start_time=ended.timestamp(),
                end_time=ended.timestamp(),
            )
        )
    return ids


def test_the_commands_of_the_operations_page_first_say_and_then_remove(
    instance: DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = old_runs(instance, 3)
    dry, real = operations_lines("What is kept, and for how long")

    code, out, err = call(shlex.split(dry)[1:], capsys)
    assert (code, err) == (0, "")
    assert "would remove         2 runs" in out
    assert instance.get_runs_count() == 3

    code, out, err = call(shlex.split(real)[1:], capsys)
    assert (code, err) == (0, "")
    assert "removed         2 runs" in out
    assert [run.run_id for run in instance.get_runs()] == [ids[-1]]


def test_a_setting_that_is_missing_or_wrong_is_one_line(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_KEEP_TICKS_DAYS", "soon")
    code, out, err = call(["maintain"], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "CONTINUOUS_GTFS_KEEP_TICKS_DAYS" in err
    monkeypatch.delenv("CONTINUOUS_GTFS_ARCHIVE")
    code, out, err = call(["maintain"], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "CONTINUOUS_GTFS_ARCHIVE is not set" in err
