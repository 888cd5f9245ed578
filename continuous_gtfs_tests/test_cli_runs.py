"""`continuous-gtfs runs` on real storages: PostgreSQL, and the files that Dagster keeps where it is told nothing."""

from __future__ import annotations

import gc
import json
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.cli import main
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.demo.ports import HOST, Ports
from continuous_gtfs.demo.postgres import EmbeddedPostgres
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.pipeline_runs import run_realtime, run_schedule
from continuous_gtfs_tests.documents import operations_lines

POSTGRES = "storage:\n  postgres:\n    postgres_url:\n      env: CONTINUOUS_GTFS_POSTGRES_URL\n"


def call(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["runs", *arguments])
    # A command leaves nothing to the collector, since its process ends; this one goes on.
    gc.unfreeze()
    code = stopped.value.code
    assert isinstance(code, int)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "dagster_home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pg-") as name, EmbeddedPostgres(Path(name) / "data") as url:
        yield url


def bench_in(home: Path, instance: DagsterInstance) -> Bench:
    artifacts = Artifacts(archive_url=str(home / "archive"), published_url=str(home / "published"))
    return Bench(load_agency(DEFAULT_AGENCY), artifacts, instance, home / "published")


@pytest.fixture(scope="module", params=["postgres", "files"])
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, str], dict[str, str]]:
    """A storage with runs: its settings, and the ids of a schedule run, a refused realtime run and a good one."""
    home = tmp_path_factory.mktemp("dagster_home")
    settings = {"DAGSTER_HOME": str(home)}
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    if request.param == "postgres":
        settings["CONTINUOUS_GTFS_POSTGRES_URL"] = request.getfixturevalue("postgres_url")
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + POSTGRES)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        with DagsterInstance.from_config(str(home)) as instance:
            bench = bench_in(home, instance)
            ids = {
                "schedule": run_schedule(bench).run_id,
                "refused": run_realtime(bench, age_s=500).run_id,
                "realtime": run_realtime(bench).run_id,
            }
    return settings, ids


@pytest.fixture
def storage(written: tuple[dict[str, str], dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The ids of the runs in the storage that the environment names now."""
    settings, ids = written
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return ids


def test_runs_are_read_from_the_storage_that_they_were_written_to(
    storage: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call([], capsys)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [
        "run",
        *(storage[name][:8] for name in ("realtime", "refused", "schedule")),
    ]

    code, out, err = call(["--json", "--pipeline", "realtime", "--failed"], capsys)
    assert (code, err) == (0, "")
    found: list[dict[str, Any]] = json.loads(out)
    assert [run["run_id"] for run in found] == [storage["refused"]]
    assert [one["name"] for one in found[0]["steps"]] == ["FilterStopsByID", "UpdateFeedHeader"]

    code, out, err = call(["--run", storage["schedule"][:13]], capsys)
    assert (code, err) == (0, "")
    assert f"run       {storage['schedule']}" in out
    assert "1 row removed from trips.txt" in out

    code, out, err = call(["--run", "no-such-run"], capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: --run no-such-run: there is no such run")


def test_the_commands_of_the_operations_page_run_as_they_stand(
    storage: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = operations_lines("What runs did")
    assert operations_lines("Read a failed check") == [line for line in lines if "--run RUN" in line]
    told = {}
    for line in lines:
        arguments = shlex.split(line.replace("RUN", storage["realtime"][:8]))[2:]
        code, told[line], err = call(arguments, capsys)
        assert (code, err) == (0, ""), line
    listed, failed, one, as_json = told.values()
    assert all(run_id[:8] in listed for run_id in storage.values())
    assert storage["refused"][:8] in failed
    assert storage["realtime"][:8] not in failed
    assert storage["realtime"] in one
    assert [run["run_id"] for run in json.loads(as_json)] == [storage["schedule"]]


def test_a_storage_without_runs_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call([], capsys) == (0, "no runs\n", "")
    assert call(["--json"], capsys) == (0, "[]\n", "")


def test_without_a_home_it_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    code, out, err = call([], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "DAGSTER_HOME is not set" in err
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))
    code, out, err = call([], capsys)
    assert (code, out) == (2, "")
    assert f"{tmp_path / 'nowhere'}, where there is no folder" in err


def test_a_setting_that_is_missing_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "dagster.yaml").write_text(POSTGRES)
    monkeypatch.delenv("CONTINUOUS_GTFS_POSTGRES_URL", raising=False)
    code, out, err = call([], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "CONTINUOUS_GTFS_POSTGRES_URL" in err
    assert str(home / "dagster.yaml") in err


def test_a_setting_that_dagster_does_not_know_is_named_without_the_whole_schema(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "dagster.yaml").write_text("storrage: 1\n")
    code, out, err = call([], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert '"storrage"' in err
    assert len(err) < 500


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (b"storage: [\n", "line 2"),
        (b"a: b: c\n", "line 1"),
        (b"- storage\n", ""),
        (b"\xff\xfe\xfa", ""),
        (b"storage:\n  custom:\n    module: no_such_module\n    class: X\n", "no_such_module"),
        (b"storage:\n  custom:\n    module: continuous_gtfs.errors\n    class: NoSuchClass\n", "NoSuchClass"),
    ],
    ids=["not closed", "two colons", "a list", "no text", "no such module", "no such class"],
)
def test_settings_that_cannot_be_used_are_one_line(
    settings: bytes, said: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "dagster.yaml").write_bytes(settings)
    code, out, err = call([], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert str(home / "dagster.yaml") in err
    assert said in err


def test_a_database_that_does_not_answer_is_one_line_without_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "dagster.yaml").write_text(POSTGRES)
    port = Ports.free().webserver
    monkeypatch.setenv("CONTINUOUS_GTFS_POSTGRES_URL", f"postgresql://someone:hush-hush@{HOST}:{port}/dagster")
    code, out, err = call([], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert str(port) in err
    assert "hush-hush" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--run", "abc", "--failed"], "--run names one run"),
        (["--limit", "0"], "--limit"),
        (["--pipeline", "both"], "--pipeline"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    arguments: list[str], said: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(arguments, capsys)
    assert (code, out) == (2, "")
    assert said in err
