"""Compute logs: what a step prints is in the stock files, is shown afterwards, and needs no process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dagster import DagsterInstance, DagsterInvariantViolationError
from dagster._core.storage.compute_log_manager import ComputeIOType
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from continuous_gtfs.instance.compute_log_store import MOST_BYTES, ComputeLogStore
from continuous_gtfs.instance.compute_logs import FileComputeLogManager
from continuous_gtfs_tests.artifacts.cloud import CloudServer, cloud_server
from continuous_gtfs_tests.artifacts.cloud_proxy import CloudProxy, cloud_proxy

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


@pytest.fixture(scope="module")
def server() -> Iterator[CloudServer]:
    with cloud_server() as running:
        yield running


@pytest.fixture
def proxy(server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudProxy]:
    with cloud_proxy(server) as running:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running.url)
        yield running


def manager_with(url: str, folder: Path) -> FileComputeLogManager:
    return FileComputeLogManager(str(folder), store=ComputeLogStore(url))


def print_in_a_step(manager: FileComputeLogManager, line: str, *, key: list[str] = KEY) -> None:
    with manager.capture_logs(key):
        sys.stdout.write(line)
        sys.stderr.write(f"of {line}")


def test_output_is_in_the_bucket_for_a_machine_that_has_no_file(proxy: CloudProxy, tmp_path: Path) -> None:
    url = f"gs://{proxy.server.make_bucket()}/logs"
    here = manager_with(url, tmp_path / "here")
    print_in_a_step(here, "said\n")
    with here.capture_logs([*KEY[:2], "silent"]):
        pass
    here.dispose()
    shutil.rmtree(tmp_path / "here")
    there = manager_with(url, tmp_path / "there")
    assert there.is_capture_complete(KEY)
    data = there.get_log_data(KEY)
    assert (data.stdout, data.stderr) == (b"said\n", b"of said\n")
    asked = len(proxy.requests)
    assert there.get_log_data(KEY).stdout == b"said\n"
    assert len(proxy.requests) == asked, "what was fetched once is read from the file"
    assert there.is_capture_complete([*KEY[:2], "silent"])
    assert there.get_log_data([*KEY[:2], "silent"]).stderr == b""
    assert not there.is_capture_complete([*KEY[:2], "never"])
    assert there.get_log_data([*KEY[:2], "never"]).stderr is None


def test_a_retry_in_the_same_run_is_in_the_bucket_too(proxy: CloudProxy, tmp_path: Path) -> None:
    url = f"gs://{proxy.server.make_bucket()}"
    here = manager_with(url, tmp_path / "here")
    for line in ("first\n", "second\n"):
        print_in_a_step(here, line)
        here.dispose()
    assert manager_with(url, tmp_path / "there").get_log_data(KEY).stdout == b"first\nsecond\n"


def test_a_step_does_not_wait_for_the_bucket_and_the_end_of_the_process_does(proxy: CloudProxy, tmp_path: Path) -> None:
    url = f"gs://{proxy.server.make_bucket()}"
    has_asked, may_answer = threading.Event(), threading.Event()

    def hold(kind: str, key: str, before: int) -> None:
        has_asked.set()
        assert may_answer.wait(timeout=60)

    proxy.disturb = hold
    here = manager_with(url, tmp_path / "here")
    print_in_a_step(here, "said\n")
    assert has_asked.wait(timeout=60)
    assert proxy.requests == [], "the step is over and its output is still on the way"
    may_answer.set()
    here.dispose()
    assert proxy.kinds() == ["upload", "upload"]


def test_output_that_cannot_be_taken_to_the_bucket_stays_and_is_warned_of(
    proxy: CloudProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = proxy.server.make_bucket()
    proxy.server.remove_bucket(bucket)
    here = manager_with(f"gs://{bucket}", tmp_path)
    print_in_a_step(here, "said\n")
    here.dispose()
    assert f"there is no bucket '{bucket}'" in caplog.text
    assert here.get_log_data(KEY).stdout == b"said\n"
    assert here.get_log_data([*KEY[:2], "never"]).stdout is None


def test_of_a_very_long_output_the_end_is_in_the_bucket(proxy: CloudProxy, tmp_path: Path) -> None:
    url = f"gs://{proxy.server.make_bucket()}"
    store = ComputeLogStore(url)
    path = tmp_path / "long"
    path.write_bytes(b"0123456789abcdef" * (MOST_BYTES // 16) + b"the end")
    store.take([("long", path)])
    store.wait()
    assert store.fetch("long", tmp_path / "back")
    back = (tmp_path / "back").read_bytes()
    assert back.startswith(b"(the beginning is left out)\n789abcdef")
    assert back.endswith(b"the end")


def test_what_a_sensor_logs_is_in_the_bucket(proxy: CloudProxy, tmp_path: Path) -> None:
    url = f"gs://{proxy.server.make_bucket()}"
    here = manager_with(url, tmp_path / "here")
    with here.open_log_stream(["sensor", "1"], ComputeIOType.STDERR) as stream:
        assert stream is not None
        stream.write("looked\n")
    here.dispose()
    assert manager_with(url, tmp_path / "there").get_log_data(["sensor", "1"]).stderr == b"looked\n"


def test_the_setting_names_the_bucket_and_a_bad_one_is_named(
    proxy: CloudProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = proxy.server.make_bucket()
    (tmp_path / "dagster.yaml").write_text(SETTINGS)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("CONTINUOUS_GTFS_COMPUTE_LOGS", f"gs://{bucket}/logs")
    with DagsterInstance.from_config(str(tmp_path)) as instance, instance.compute_log_manager.capture_logs(KEY):
        sys.stdout.write("told\n")
    assert proxy.server.describe(bucket, "logs/run/compute_logs/step.out")["size"] == "5"
    monkeypatch.setenv("CONTINUOUS_GTFS_COMPUTE_LOGS", "s3://elsewhere")
    told = "CONTINUOUS_GTFS_COMPUTE_LOGS: no store serves 's3'"
    with (
        DagsterInstance.from_config(str(tmp_path)) as instance,
        pytest.raises(DagsterInvariantViolationError, match=told),
    ):
        _ = instance.compute_log_manager


@pytest.mark.parametrize(("setting", "is_loaded"), [("gs://bucket", True), ("/var/lib/archive", False)])
def test_the_process_that_forks_runs_loads_the_client_library_only_for_a_bucket(setting: str, is_loaded: bool) -> None:
    code = (
        "import sys, threading\nfrom continuous_gtfs.instance.warm_process import _load\n_load(['json'])\n"
        "print('google.cloud.storage' in sys.modules, threading.active_count())"
    )
    environment = {name: value for name, value in os.environ.items() if not value.startswith("gs://")}
    environment["CONTINUOUS_GTFS_ARCHIVE"] = setting
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(is_loaded), "1"]
