"""`continuous-gtfs copy` between folders, and the move to buckets as docs/operations.md tells it."""

from __future__ import annotations

import gc
import os
import shlex
from pathlib import Path

import pytest
from dagster import DagsterInstance

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.cli import main
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs_tests.artifacts.cloud import cloud_server
from continuous_gtfs_tests.artifacts.publishing import assert_live, publish_numbered
from continuous_gtfs_tests.defs.conftest import Bench
from continuous_gtfs_tests.defs.pipeline_runs import run_realtime
from continuous_gtfs_tests.documents import operations_lines

NAME = "realtime/production/vehicle_positions"


def call(capsys: pytest.CaptureFixture[str], *arguments: str, command: str = "copy") -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main([command, *arguments])
    # A command leaves nothing to the collector, since its process ends; this one goes on.
    gc.unfreeze()
    code = stopped.value.code
    assert isinstance(code, int)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_copy_counts_what_it_did_and_its_exit_code_says_whether_all_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "from", tmp_path / "to"
    publish_numbered(Publisher(LocalStore(source)), NAME, 1)
    code, said, _ = call(capsys, str(source), str(target), "--dry-run")
    assert (code, said.split(" (")[0], target.exists()) == (0, "5 objects would be copied", False)
    code, said, _ = call(capsys, str(source), str(target))
    assert (code, said.split(" (")[0]) == (0, "5 objects copied")
    assert_live(LocalStore(target), NAME, 1)
    publish_numbered(Publisher(LocalStore(source)), NAME, 2)
    code, said, _ = call(capsys, str(source), str(target))
    assert code == 1
    assert "2 objects copied" in said
    assert f"{NAME}.manifest.json: is another at the target; replace it" in said
    code, said, _ = call(capsys, str(source), str(target), "--replace-changed")
    assert (code, "3 that had changed replaced" in said) == (0, True)
    assert_live(LocalStore(target), NAME, 2)


@pytest.mark.parametrize(
    ("target", "told"), [("gs://x", "names no bucket"), ("s3://bucket", "no store serves"), ("", "is empty")]
)
def test_what_is_no_store_is_the_users_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, told: str
) -> None:
    publish_numbered(Publisher(LocalStore(tmp_path)), NAME, 1)
    code, _, said = call(capsys, str(tmp_path), target)
    assert code == 2
    assert told in said
    assert "Traceback" not in said


def test_a_deployment_moves_to_buckets_as_the_operations_page_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    vehicles = names.realtime_publication("production", "vehicle_positions")

    def settle(archive: str, published: str) -> Bench:
        monkeypatch.setenv("CONTINUOUS_GTFS_ARCHIVE", archive)
        monkeypatch.setenv("CONTINUOUS_GTFS_PUBLISHED", published)
        artifacts = Artifacts(archive_url=archive, published_url=published)
        return Bench(load_agency(DEFAULT_AGENCY), artifacts, instance, tmp_path)

    with cloud_server() as server, DagsterInstance.from_config(str(tmp_path)) as instance:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        new = {"NEW_ARCHIVE": f"gs://{server.make_bucket()}/kept", "NEW_PUBLISHED": f"gs://{server.make_bucket()}"}
        bench = settle(str(tmp_path / "archive"), str(tmp_path / "published"))
        assert run_realtime(bench, age_s=50).success
        live = ""
        for line in operations_lines("Move to another bucket"):
            if line.startswith("docker compose stop"):
                # Until then the platform runs, and publishes.
                assert run_realtime(bench, age_s=30).success
                manifest = bench.live(vehicles)
                assert manifest is not None
                live = manifest.label
            elif line.startswith("docker compose up"):
                bench = settle(new["NEW_ARCHIVE"], new["NEW_PUBLISHED"])
            else:
                program, command, *arguments = [
                    new.get(word, os.path.expandvars(word)) for word in shlex.split(line, comments=True)
                ]
                code, said, told = call(capsys, *arguments, command=command)
                assert program == "continuous-gtfs"
                if command == "copy":
                    assert code == 0, said + told
                else:
                    # No daemon runs here and most feeds were never published, so it is not well.
                    assert (command, code) == ("status", 1)
                    assert live.rpartition("-")[0] in said
        moved = bench.live(vehicles)
        assert moved is not None
        assert moved.label == live
        assert run_realtime(bench, age_s=5).success
        went_on = bench.live(vehicles)
        assert went_on is not None
        assert went_on.previous[0].label == live
