"""Compute logs: what a step prints is in the stock files, is shown afterwards, and needs no process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest
from dagster import DagsterInstance
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from continuous_gtfs.instance.compute_logs import FileComputeLogManager

KEY = ["run", "compute_logs", "step"]
SETTINGS = """\
compute_logs:
  module: continuous_gtfs.instance.compute_logs
  class: FileComputeLogManager
telemetry:
  enabled: false
"""


def test_output_is_read_back_as_the_stock_manager_does_and_shown_after_the_step(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    manager = FileComputeLogManager(str(tmp_path))
    before = psutil.Process().children(recursive=True)
    with manager.capture_logs(KEY):
        sys.stdout.write("on standard output\n")
        os.write(sys.stderr.fileno(), b"from below Python\n")
        assert not manager.is_capture_complete(KEY)
        children = psutil.Process().children(recursive=True)
    assert set(children) <= set(before)
    stock = LocalComputeLogManager(str(tmp_path))
    assert stock.is_capture_complete(KEY)
    data = stock.get_log_data(KEY)
    assert (data.stdout, data.stderr) == (b"on standard output\n", b"from below Python\n")
    shown = capfd.readouterr()
    assert shown.out == "on standard output\n"
    assert "from below Python\n" in shown.err


def test_output_of_a_step_that_fails_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manager = FileComputeLogManager(str(tmp_path))

    def fail() -> None:
        with manager.capture_logs(KEY):
            sys.stdout.write("before it failed\n")
            raise ValueError("the step")

    with pytest.raises(ValueError, match="the step"):
        fail()
    assert manager.get_log_data(KEY).stdout == b"before it failed\n"
    assert capfd.readouterr().out == "before it failed\n"


def test_a_retry_writes_behind_and_shows_only_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manager = FileComputeLogManager(str(tmp_path))
    for line in ("first", "second"):
        with manager.capture_logs(KEY):
            sys.stdout.write(f"{line}\n")
        assert capfd.readouterr().out == f"{line}\n"
    assert manager.get_log_data(KEY).stdout == b"first\nsecond\n"


def test_the_files_lie_where_the_stock_manager_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster.yaml").write_text(SETTINGS)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        manager = instance.compute_log_manager
        assert isinstance(manager, FileComputeLogManager)
        with manager.capture_logs(KEY):
            sys.stdout.write("told\n")
        assert (tmp_path / "storage" / "run" / "compute_logs" / "step.out").read_text() == "told\n"
