"""`continuous-gtfs metrics` on real stores and a real PostgreSQL, with what is known to have happened there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.alerts.problems import Problem, Severity
from continuous_gtfs.cli_metrics import readings
from continuous_gtfs.defs.alerting import Memory
from continuous_gtfs.defs.cursor import Cursor, FeedMemory
from continuous_gtfs.defs.metrics_reading import DatabasePart
from continuous_gtfs.defs.metrics_totals import KEY, SETTLED_AFTER_S
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.demo.ports import HOST, Ports
from continuous_gtfs.demo.postgres import EmbeddedPostgres
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.pipeline_runs import run_realtime, run_schedule
from continuous_gtfs_tests.documents import operations_line
from continuous_gtfs_tests.end_to_end.deployment import wait_for
from continuous_gtfs_tests.metrics.scraping import Scrape, as_scraped, scraped, value

SETTINGS = """\
storage:
  custom:
    module: continuous_gtfs.instance.storage
    class: PooledPostgresStorage
    config: {postgres_url: {env: CONTINUOUS_GTFS_POSTGRES_URL}}
concurrency: {pools: {default_limit: 2}}
telemetry: {enabled: false}
"""
VEHICLES = {"agency": "sound_transit", "environment": "production", "feed": "vehicle_positions"}
SENSOR = names.sensor_name("realtime", "production")
REALTIME = {"agency": "sound_transit", "environment": "production", "pipeline": "realtime"}
SCHEDULE = REALTIME | {"pipeline": "schedule"}


@dataclass
class Site:
    """A deployment on a database that can be stopped.

    Attributes:
        began: POSIX seconds before anything was published.
        deleted: The schedule's run, which a test removes.
    """

    settings: dict[str, str]
    database: EmbeddedPostgres
    began: float
    deleted: str = ""

    def counted(self, folder: Path) -> Scrape:
        """What is counted once all rows are old enough to be."""
        with DatabasePart([load_agency(DEFAULT_AGENCY)]) as part:
            return as_scraped(part.read(settled()), folder)


def settled() -> float:
    return datetime.now(UTC).timestamp() + SETTLED_AFTER_S


def note_sensor(instance: DagsterInstance, name: str, cursor: str, statuses: list[TickStatus]) -> None:
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("realtime"), "__repository__"), name
    )
    kind, data = InstigatorType.SENSOR, SensorInstigatorData(cursor=cursor)
    instance.add_instigator_state(InstigatorState(origin, kind, InstigatorStatus.RUNNING, data))
    selector = origin.get_selector().get_id()
    for status in statuses:
        error = SerializableErrorInfo("x", [], None) if status is TickStatus.FAILURE else None
        instance.create_tick(TickData(origin.get_id(), name, kind, status, 1000.0, error=error, selector_id=selector))


def note_what_the_daemon_would(instance: DagsterInstance) -> None:
    """Heartbeats, ticks, cursors, pools, and a run that waits."""
    instance.add_daemon_heartbeat(DaemonHeartbeat(5000.0, "SENSOR", "one"))
    memory = FeedMemory(
        outcomes={"new": 5, "unchanged": 40, "could_not_tell:timeout": 3}, failures_in_row=2, moved_to="x", unmoved=7
    )
    ticks = [TickStatus.SKIPPED, TickStatus.SKIPPED, TickStatus.FAILURE, TickStatus.STARTED]
    note_sensor(instance, SENSOR, Cursor(feeds={"vehicle_positions": memory}).to_json(), ticks)
    alerts = Memory()
    alerts.ledger.settle([Problem(kind="disk", subject="x", severity=Severity.ERROR, summary="x", since=0)], now=0.0)
    note_sensor(instance, names.alerts_sensor_name("realtime", "production"), alerts.to_json(), [])
    instance.event_log_storage.set_concurrency_slots("schedule", 3)
    tags = {names.PIPELINE_TAG: "schedule/qa"}
    instance.add_run(DagsterRun(job_name="schedule_qa", status=DagsterRunStatus.NOT_STARTED, tags=tags))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One good schedule, one good pair of realtime feeds, one pair that a guard has refused."""
    home = tmp_path_factory.mktemp("dagster_home")
    (home / "dagster.yaml").write_text(SETTINGS)
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        database = EmbeddedPostgres(Path(name) / "data")
        with database as url, pytest.MonkeyPatch.context() as environment:
            settings = {
                "DAGSTER_HOME": str(home),
                "CONTINUOUS_GTFS_POSTGRES_URL": url,
                "CONTINUOUS_GTFS_ARCHIVE": str(home / "archive"),
                "CONTINUOUS_GTFS_PUBLISHED": str(home / "published"),
            }
            for setting, told in settings.items():
                environment.setenv(setting, told)
            site = Site(settings, database, datetime.now(UTC).timestamp())
            with DagsterInstance.from_config(str(home)) as instance:
                artifacts = Artifacts(archive_url=str(home / "archive"), published_url=str(home / "published"))
                bench = Bench(load_agency(DEFAULT_AGENCY), artifacts, instance, home / "published")
                site.deleted = run_schedule(bench).run_id
                run_realtime(bench)
                run_realtime(bench, age_s=500)
                note_what_the_daemon_would(instance)
            yield site


@pytest.fixture
def site(made: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name, told in made.settings.items():
        monkeypatch.setenv(name, told)
    return made


def documented(line: str, value: object) -> list[str]:
    """A line of docs/operations.md with the value of its option, which is its last word, replaced."""
    program, *words = line.split()
    return [str(Path(sys.executable).with_name(program)), *words[:-1], str(value)]


def read_all(folder: Path) -> Scrape:
    """All parts, as a new endpoint reads them at its first scrape."""
    with readings(()) as found:
        return as_scraped(found.current(), folder)


@contextmanager
def another_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        url = f"postgresql://someone:hush-hush@{HOST}:{Ports.free().webserver}/dagster"
        changed.setenv("CONTINUOUS_GTFS_POSTGRES_URL", url)
        yield


def test_what_runs_have_done_is_counted_to_the_last_one(site: Site, tmp_path: Path) -> None:
    scrape = site.counted(tmp_path)
    assert value(scrape, "runs_total", **SCHEDULE, status="success") == 1
    assert value(scrape, "runs_total", **REALTIME, status="success") == 1
    assert value(scrape, "runs_total", **REALTIME, status="failure") == 1
    assert value(scrape, "run_duration_seconds_count", **REALTIME) == 2
    assert 0 < (value(scrape, "run_duration_seconds_sum", **SCHEDULE) or 0) < 60
    # One observation a run, though both feeds of a realtime run tell of it; the refused run has run its steps too.
    assert value(scrape, "step_duration_seconds_count", **REALTIME, step="UpdateFeedHeader") == 2
    assert value(scrape, "op_failures_total", **REALTIME) == 1
    # What has not failed yet is there with nothing, so that its first failure is seen as an increase.
    assert value(scrape, "runs_total", **SCHEDULE, status="failure") == 0
    schedule = {"asset": "schedule/production/transformed_feed", "check": "has_trips"}
    assert value(scrape, "check_failures_total", **schedule, severity="error") == 0
    assert value(scrape, "publications_total", **VEHICLES, outcome="published") == 1
    assert value(scrape, "publications_total", **(VEHICLES | {"feed": "schedule"}), outcome="published") == 1
    assert value(scrape, "publication_age_seconds_count", **VEHICLES) == 1
    assert value(scrape, "detected_to_published_seconds_count", **VEHICLES) == 1
    for feed in ("vehicle_positions", "trip_updates"):
        asset = f"realtime/production/published_{feed}"
        assert value(scrape, "check_failures_total", asset=asset, check="guards_hold", severity="error") == 1


def test_what_is_live_is_told_from_its_manifests(site: Site, tmp_path: Path) -> None:
    scrape = read_all(tmp_path)
    assert value(scrape, "published", **VEHICLES) == 1
    assert value(scrape, "published", **(VEHICLES | {"environment": "qa"})) == 0
    assert value(scrape, "live_entities", **VEHICLES) == 2
    assert value(scrape, "stale_after_seconds", **VEHICLES) == 300
    now = datetime.now(UTC).timestamp()
    for name in ("last_publication", "live_header", "live_fetched"):
        assert site.began - 1 <= (value(scrape, f"{name}_timestamp_seconds", **VEHICLES) or 0) <= now, name
    assert (value(scrape, "live_bytes", **(VEHICLES | {"feed": "schedule"})) or 0) > 1000
    assert value(scrape, "last_publication_timestamp_seconds", **(VEHICLES | {"environment": "qa"})) is None
    assert {value(scrape, "store_up", store=store) for store in ("published", "archive")} == {1}


def test_fetches_queue_pools_heartbeats_ticks_and_alerts_are_told(site: Site, tmp_path: Path) -> None:
    scrape = site.counted(tmp_path)
    assert value(scrape, "fetches_total", **VEHICLES, outcome="new", reason="") == 5
    assert value(scrape, "fetches_total", **VEHICLES, outcome="could_not_tell", reason="timeout") == 3
    assert value(scrape, "fetch_failures_in_row", **VEHICLES) == 2
    assert value(scrape, "vendor_unmoved_answers", **VEHICLES) == 7
    assert value(scrape, "runs_in_flight", pipeline="schedule", environment="qa", status="not_started") == 1
    now = datetime.now(UTC).timestamp()
    assert site.began <= (value(scrape, "oldest_run_in_flight_timestamp_seconds") or 0) <= now
    assert value(scrape, "pool_slots", pool="schedule") == 3
    assert (value(scrape, "pool_slots_used", pool="schedule"), value(scrape, "pool_steps_waiting")) == (0, 0)
    assert value(scrape, "daemon_heartbeat_timestamp_seconds", daemon="SENSOR") == 5000
    assert value(scrape, "daemon_heartbeat_timestamp_seconds", daemon="MONITORING") in (0, None)
    statuses = ("success", "skipped", "failure", "started")
    told = {status: value(scrape, "ticks_total", instigator=SENSOR, status=status) for status in statuses}
    assert told == {"success": 0, "skipped": 2, "failure": 1, "started": None}, "one has not ended"
    assert value(scrape, "instigator_running", instigator=SENSOR, type="sensor") == 1
    assert value(scrape, "alerts_open", severity="error") == 1


def test_a_tick_is_counted_once_it_has_ended(site: Site, tmp_path: Path) -> None:
    site.counted(tmp_path)
    with DagsterInstance.from_config(site.settings["DAGSTER_HOME"]) as instance:
        (state,) = [one for one in instance.all_instigator_state() if one.instigator_name == SENSOR]
        (tick,) = instance.get_ticks(
            state.instigator_origin_id, state.selector_id, limit=10, statuses=[TickStatus.STARTED]
        )
        instance.update_tick(tick.with_status(TickStatus.SKIPPED))
    for _ in range(2):
        assert value(site.counted(tmp_path), "ticks_total", instigator=SENSOR, status="skipped") == 3


def test_totals_stay_when_runs_are_removed_and_another_process_goes_on_from_them(site: Site, tmp_path: Path) -> None:
    site.counted(tmp_path)
    with DagsterInstance.from_config(site.settings["DAGSTER_HOME"]) as instance:
        instance.delete_run(site.deleted)
    path = tmp_path / "continuous_gtfs.prom"
    command = documented(operations_line("metrics --textfile"), path)
    done = subprocess.run(
        command, env=os.environ | site.settings, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    scrape = scraped(path.read_text())
    assert value(scrape, "runs_total", **SCHEDULE, status="success") == 1
    assert value(scrape, "database_up") == 1


def test_another_database_under_the_same_name_begins_anew(site: Site, tmp_path: Path) -> None:
    with DatabasePart([load_agency(DEFAULT_AGENCY)]) as part:
        for _ in range(2):
            scrape = as_scraped(part.read(settled()), tmp_path)
            assert value(scrape, "runs_total", **REALTIME, status="success") == 1
            with DagsterInstance.from_config(site.settings["DAGSTER_HOME"]) as instance:
                # As where there is nothing yet: what is there is counted, and once.
                instance.run_storage.set_cursor_values({KEY: "{}"})


def test_without_a_database_the_rest_is_told_and_no_password(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with another_database(monkeypatch):
        scrape = read_all(tmp_path)
    assert value(scrape, "database_up") == 0
    assert value(scrape, "published", **VEHICLES) == 1
    assert value(scrape, "runs_total", **REALTIME, status="success") is None
    said = capsys.readouterr().err
    assert said.startswith("database cannot be read: ")
    assert "hush-hush" not in said


def test_without_a_store_the_rest_is_told(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONTINUOUS_GTFS_PUBLISHED", "")
    scrape = read_all(tmp_path)
    assert value(scrape, "store_up", store="published") == 0
    assert (value(scrape, "database_up"), value(scrape, "store_up", store="archive")) == (1, 1)


def test_the_endpoint_goes_on_while_the_database_restarts(site: Site, tmp_path: Path) -> None:
    port = Ports.free().webserver
    command = documented(operations_line("metrics --port"), port)
    url = f"http://{HOST}:{port}"

    def scrape() -> Scrape:
        with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:
            return scraped(answer.read().decode())

    with subprocess.Popen(
        [*command, "--cached", "0"], env=os.environ | site.settings, stdout=subprocess.PIPE, cwd=tmp_path
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().decode() == f"{url}/metrics\n"
            before = value(scrape(), "runs_total", **REALTIME, status="success")
            site.database.stop()
            wait_for(lambda: value(scrape(), "database_up") == 0, what="the loss of the database to be told")
            with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:
                assert answer.status == 200, "it is not restarted for a fault of the database"
            site.database.start()
            wait_for(lambda: value(scrape(), "database_up") == 1, what="the database to be read again")
            assert value(scrape(), "runs_total", **REALTIME, status="success") == before == 1
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
