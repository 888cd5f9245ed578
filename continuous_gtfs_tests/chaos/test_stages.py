"""Stages are told by what a process is about to do, and it waits there; the plan of a seed leaves none out."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from continuous_gtfs_tests.chaos.stages import STAGES, alone, plan
from continuous_gtfs_tests.chaos.stops import sitecustomize
from continuous_gtfs_tests.end_to_end.deployment import wait_for

WRITES = """\
import sys
from pathlib import Path
from continuous_gtfs.artifacts.local import LocalStore
LocalStore(Path(sys.argv[1])).put_new("versions/qa/trip_updates/1.json", b"{}", content_type="application/json")
"""


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("archive/archive/blobs/aa/aabb", "archive_bytes"),
        ("archive/versions/qa/trip_updates/1.json", "realtime.archive_record"),
        ("archive/.metadata/objects/versions/qa/schedule/.1.json.json", "schedule.archive_record.inside"),
        ("archive/latest/production/schedule.json", "schedule.archive_newest"),
        ("archive/publications/qa/trip_updates/2026-03-01-08:00/x", "realtime.keep"),
        ("archive/transformed/qa/1.json", "schedule.transformed"),
        ("archive/.metadata/incoming/0123", None),
        ("published/realtime/qa/versions/trip_updates/1.pb", "realtime.upload"),
        ("published/.metadata/objects/realtime/qa/.trip_updates.manifest.json.json", "realtime.pointer.inside"),
        ("published/realtime/qa/trip_updates.pb", "realtime.stable_url"),
        ("published/schedule/qa/gtfs.manifest.json", "schedule.pointer"),
        ("elsewhere/schedule/qa/gtfs.zip", None),
    ],
)
def test_a_file_that_takes_its_place_tells_the_stage(path: str, stage: str | None) -> None:
    assert sitecustomize.stage_of_file(f"/s/{path}", "/s/archive", "/s/published") == stage


@pytest.mark.parametrize(
    ("stage", "is_written"), [("realtime.archive_record.inside", True), ("realtime.archive_record", True)]
)
def test_a_process_waits_at_the_stage_and_goes_on_when_let(tmp_path: Path, stage: str, is_written: bool) -> None:
    for folder in ("armed", "held"):
        (tmp_path / "chaos" / folder).mkdir(parents=True)
    (tmp_path / "chaos" / "armed" / stage).touch()
    archive = tmp_path / "archive"
    environment = {
        **os.environ,
        sitecustomize.FOLDER: str(tmp_path / "chaos"),
        "CONTINUOUS_GTFS_ARCHIVE": str(archive),
        "PYTHONPATH": os.pathsep.join([str(Path(sitecustomize.__file__).parent), *sys.path]),
    }
    record = archive / "versions" / "qa" / "trip_updates" / "1.json"
    with subprocess.Popen([sys.executable, "-c", WRITES, str(archive)], env=environment) as process:
        held = tmp_path / "chaos" / "held" / f"{stage}@{process.pid}"
        wait_for(held.exists, what="the process at the stage")
        assert not record.exists()
        assert len(list((archive / ".metadata" / "incoming").iterdir())) >= 1, "the bytes are not written yet"
        held.unlink()
        assert process.wait(30) == 0
    assert record.read_bytes() == b"{}"


def test_a_plan_comes_to_every_stage_before_any_comes_again_and_is_the_same_for_the_same_seed() -> None:
    once = list(itertools.islice(plan(7), len(STAGES)))
    assert {kill.stage for kill in once} == set(STAGES)
    assert once == list(itertools.islice(plan(7), len(STAGES)))
    assert once != list(itertools.islice(plan(8), len(STAGES)))
    assert all(kill.victims for kill in once)


def test_each_process_is_killed_alone_before_any_is_again() -> None:
    kills = [kill for (kill,) in itertools.islice(alone(7), 15)]
    victims = [kill.victims for kill in kills]
    assert all(len(each) == 1 for each in victims)
    processes = {"run worker", "warm process", "daemon", "code-realtime", "code-schedule", "webserver", "postgres"}
    assert {name for (name,) in victims} >= processes | {"daemon container", "code-realtime container", "everything"}
    assert {kill.pipeline for kill in kills if kill.victims == ("run worker",)} == {"realtime", "schedule"}
