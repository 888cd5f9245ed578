"""`continuous-gtfs realtime`: a step list run on captured feeds from the command line, without Dagster."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY
from continuous_gtfs.cli import main
from continuous_gtfs.realtime.encoding import feed_to_json
from continuous_gtfs.realtime.messages import serialize_feed
from continuous_gtfs_tests.builders import small_feed_files
from continuous_gtfs_tests.real_data import real_data_path
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle

STEPS = """
from continuous_gtfs.realtime.steps import FilterStopsByID, UpdateFeedHeader, step

@step(files=["vehicle_positions"])
def label(feed, context):
    for entity in feed.edit("vehicle_positions").entity:
        entity.vehicle.vehicle.label = f"{context.now:%H:%M}"
    context.log(f"schedule {'known' if 'schedule_index' in context.inputs else 'unknown'}")

STEPS = [FilterStopsByID(["a"]), label, UpdateFeedHeader(version="1.0")]
"""
AS_OF = "2023-11-14T22:13:20+00:00"


@dataclass(frozen=True)
class Desk:
    """An author's folder with captures and an agency in it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def agency(self) -> Path:
        return self.folder / "agency"

    def steps(self, source: str) -> None:
        self.agency.mkdir(exist_ok=True)
        (self.agency / "realtime.py").write_text(source)

    def feed(self, name: str, message: FeedMessage) -> str:
        path = self.folder / f"{name}.pb"
        path.write_bytes(serialize_feed(message))
        return f"{name}={path}"

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, what is on stdout and what is on stderr."""
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        said = self.capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, said.out, said.err

    def realtime(self, *arguments: object) -> tuple[int, str, str]:
        """The command on the desk's two feeds."""
        feeds = (f"vehicle_positions={self.folder}/vehicle_positions.pb", f"trip_updates={self.folder}/trip_updates.pb")
        given = [item for feed in feeds for item in ("--input", feed)]
        return self.run("realtime", self.agency, *given, *arguments)

    def made(self, name: str) -> FeedMessage:
        return FeedMessage.FromString((self.out / f"{name}.pb").read_bytes())


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    made = Desk(tmp_path, capsys)
    made.steps(STEPS)
    made.feed("vehicle_positions", feed_message(vehicle("v1", "a"), vehicle("v2", "b")))
    made.feed("trip_updates", feed_message(trip_update("T1", "a", "b"), timestamp=1_699_999_990))
    return made


def schedule_zip(folder: Path) -> Path:
    path = folder / "feed.zip"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in small_feed_files().items():
            archive.writestr(name, text)
    path.write_bytes(buffer.getvalue())
    return path


def test_the_steps_run_in_their_order_and_both_forms_are_written(desk: Desk) -> None:
    code, out, err = desk.realtime("-o", desk.out)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in desk.out.iterdir()) == [
        "trip_updates.json",
        "trip_updates.pb",
        "vehicle_positions.json",
        "vehicle_positions.pb",
    ]
    first, second = (entity.vehicle for entity in desk.made("vehicle_positions").entity)
    assert (first.stop_id, second.stop_id) == ("", "b")
    assert first.vehicle.label == "22:13"
    assert [update.stop_id for update in desk.made("trip_updates").entity[0].trip_update.stop_time_update] == ["b"]
    for name in ("vehicle_positions", "trip_updates"):
        assert desk.made(name).header.gtfs_realtime_version == "1.0"
        assert (desk.out / f"{name}.json").read_bytes() == feed_to_json(desk.made(name))
    lines = out.splitlines()
    assert lines[0].split() == ["step", "status", "file", "removed", "added", "changed", "findings", "ms"]
    assert [line.split()[0] for line in lines if " success " in line] == [
        "FilterStopsByID",
        "label",
        "UpdateFeedHeader",
    ]
    assert "log   label" in out
    assert "schedule unknown" in out
    assert f"as of {AS_OF}:" in lines
    size = (desk.out / "vehicle_positions.pb").stat().st_size
    (told,) = (line for line in lines if line.startswith("vehicle_positions: "))
    assert told.startswith(
        f"vehicle_positions: 2 entities, {size} bytes; wrote {desk.out}/vehicle_positions.pb and .json; "
    )
    assert told.endswith(" guards asked, all hold")


def test_the_same_captures_give_the_same_bytes_whenever_it_runs(desk: Desk) -> None:
    desk.realtime("-o", desk.out)
    first = {path.name: path.read_bytes() for path in desk.out.iterdir()}
    desk.realtime("-o", desk.folder / "again")
    assert {path.name: path.read_bytes() for path in (desk.folder / "again").iterdir()} == first


def test_without_output_nothing_is_written(desk: Desk) -> None:
    before = sorted(desk.folder.rglob("*"))
    code, out, _ = desk.realtime()
    assert code == 0
    assert "nothing written" in out
    assert [path for path in sorted(desk.folder.rglob("*")) if "__pycache__" not in path.parts] == before


def test_until_stops_after_a_step(desk: Desk) -> None:
    _, out, _ = desk.realtime("-o", desk.out, "--until", "FilterStopsByID")
    assert "label" not in out
    assert desk.made("vehicle_positions").header.gtfs_realtime_version == "2.0"
    code, _, err = desk.realtime("--until", "FilterStops")
    assert code == 2
    assert "--until FilterStops: there is no such step; the steps are FilterStopsByID, label, UpdateFeedHeader" in err


def test_a_schedule_is_given_to_steps_and_guards_as_its_index(desk: Desk) -> None:
    path = schedule_zip(desk.folder)
    code, out, _ = desk.realtime("--input", f"schedule={path}", "--now", "2026-03-04T12:00:00-08:00")
    assert code == 1
    assert "schedule known" in out
    assert "trip_ids_are_known" not in out
    code, out, _ = desk.realtime("--input", f"schedule={desk.folder}/none.zip")
    assert code == 2
    path.write_bytes(b"no zip")
    code, _, err = desk.realtime("--input", f"schedule={path}")
    assert code == 2
    assert str(path) in err


def test_a_guard_that_would_block_is_told_and_the_feed_can_still_be_looked_at(desk: Desk) -> None:
    code, out, err = desk.realtime("-o", desk.out, "--now", "2023-11-14T22:20:00Z")
    assert (code, err) == (1, "")
    assert "would not be published\n  header_age_is_within_limit: " in out
    assert len(desk.made("vehicle_positions").entity) == 2


def test_what_is_live_is_what_the_guards_hold_a_feed_against(desk: Desk) -> None:
    live = feed_message(*(vehicle(str(number), "b") for number in range(40)), timestamp=1_700_000_010)
    code, out, _ = desk.realtime("--input", desk.feed("published_vehicle_positions", live))
    assert code == 1
    assert "header_does_not_go_back" in out
    assert "published_vehicle_positions" not in out


def test_an_id_that_comes_twice_is_told(desk: Desk) -> None:
    desk.steps("STEPS = []")
    desk.feed("trip_updates", feed_message({"id": "x"} | trip_update("T1", "a"), {"id": "x"} | trip_update("T2", "a")))
    code, out, _ = desk.realtime("-o", desk.out, "--report", desk.folder / "report.json")
    assert code == 0
    assert "  1 of 2 entities dropped, as a later one has their id (1 said something else): 'x'" in out
    assert [entity.trip_update.trip.trip_id for entity in desk.made("trip_updates").entity] == ["T2"]


def test_the_report_has_inputs_steps_guards_and_outputs(desk: Desk) -> None:
    path = desk.folder / "report.json"
    desk.realtime("-o", desk.out, "--report", path)
    report: dict[str, Any] = json.loads(path.read_bytes())
    assert (report["status"], report["now"], report["error"]) == ("success", AS_OF, None)
    assert [step["name"] for step in report["steps"]] == ["FilterStopsByID", "label", "UpdateFeedHeader"]
    assert report["files"]["vehicle_positions"] == {
        "rows_in": 2,
        "removed": 0,
        "added": 0,
        "changed": 3,
        "rows_out": 2,
    }
    assert report["inputs"]["trip_updates"]["path"] == f"{desk.folder}/trip_updates.pb"
    assert report["outputs"]["trip_updates.pb"]["bytes"] == (desk.out / "trip_updates.pb").stat().st_size
    assert all(guard["passed"] for guards in report["guards"].values() for guard in guards)


def test_a_step_that_fails_writes_no_feed_and_names_the_authors_line(desk: Desk) -> None:
    desk.steps(STEPS.replace("entity.vehicle.vehicle.label =", "entity.vehicle.no_such_field ="))
    code, out, err = desk.realtime("-o", desk.out, "--report", desk.folder / "report.json")
    assert code == 1
    assert "label" in out
    assert "failed" in out
    assert err.startswith("error: step label failed: AttributeError")
    assert f"{desk.agency}/realtime.py:7" in err
    assert not desk.out.exists()
    assert json.loads((desk.folder / "report.json").read_bytes())["status"] == "failed"


def test_a_feed_of_another_name_is_taken_if_the_steps_know_it(desk: Desk) -> None:
    buses = desk.feed("buses", feed_message(vehicle("b1", "z")))
    desk.steps(
        "from continuous_gtfs.realtime.steps import CombineFeeds\n"
        'STEPS = [CombineFeeds("vehicle_positions", sources=["buses"])]\n'
    )
    code, _, _ = desk.realtime("--input", buses, "-o", desk.out)
    assert code == 0
    assert len(desk.made("vehicle_positions").entity) == 3
    assert desk.made("buses").entity[0].vehicle.vehicle.id == "b1"


def test_a_feed_of_a_name_that_no_step_knows_is_a_slip_of_the_pen(desk: Desk) -> None:
    code, _, err = desk.realtime("--input", desk.feed("label", feed_message()))
    assert code == 2
    assert "--input label: no step of" in err
    assert "there are alerts, trip_updates, vehicle_positions" in err


@pytest.mark.parametrize("name", ["foo", "schedule", "alerts"])
def test_what_is_live_of_a_feed_that_is_not_in_the_run_is_refused(desk: Desk, name: str) -> None:
    code, out, err = desk.realtime("--input", desk.feed(f"published_{name}", feed_message()))
    assert (code, out) == (2, "")
    assert f"--input published_{name}: {name} is no feed of this run; there are " in err
    assert "vehicle_positions" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is no feed to run the steps on"),
        (["--input", "vehicle_positions"], "write NAME=PATH"),
        (["--input", "alerts={folder}/none.pb"], "there is no {folder}/none.pb"),
        (["--input", "alerts={folder}/page.html"], "page.html: the body of 20 bytes is no GTFS-Realtime FeedMessage"),
        (["--input", "alerts={folder}/old.pb"], "no header says from when its feed is: give --now"),
        (["--input", "alerts={folder}/milliseconds.pb"], "1700000000000000000 is no POSIX time in seconds"),
        (["--input", "alerts={folder}/trip_updates.pb", "--now", "noon"], "--now noon: write an ISO time"),
        (["--input", "alerts={folder}/trip_updates.pb", "--now", "2026-01-01T12:00"], "has no offset"),
        (["--input", "alerts={folder}/trip_updates.pb", "-o", "{folder}/page.html"], "is a file"),
        (["--input", "alerts={folder}/trip_updates.pb", "-o", "{folder}/page.html/x"], "--output {folder}/page.html/x"),
    ],
)
def test_what_the_user_did_wrong_is_one_line(desk: Desk, arguments: list[str], said: str) -> None:
    (desk.folder / "page.html").write_bytes(b"<html>no feed</html>")
    desk.feed("old", feed_message(timestamp=0))
    desk.feed("milliseconds", feed_message(timestamp=1_700_000_000_000_000_000))
    code, _, err = desk.run("realtime", desk.agency, *(text.format(folder=desk.folder) for text in arguments))
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said.format(folder=desk.folder) in err


def test_the_reference_agency_runs_on_real_feeds_with_their_schedule(desk: Desk) -> None:
    folder = real_data_path("sound_transit_2023-08")
    given = {name: folder / f"{name}_1690679342.pb" for name in ("vehicle_positions", "trip_updates")}
    inputs = [f"--input={name}={path}" for name, path in given.items()]
    code, out, _ = desk.run(
        "realtime", DEFAULT_AGENCY, *inputs, f"--input=schedule={folder}/schedule.zip", "-o", desk.out
    )
    assert code == 0
    assert "as of 2023-07-30T01:09:02+00:00:" in out
    for name, path in given.items():
        assert (desk.out / f"{name}.pb").read_bytes() == path.read_bytes()


def test_the_command_loads_no_pandas_and_no_dagster(desk: Desk) -> None:
    script = (
        "import sys\n"
        "from continuous_gtfs.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as stopped:\n    assert stopped.code == 0, stopped.code\n"
        "sys.stderr.write(repr(sorted({'pandas', 'pyarrow', 'dagster'} & set(sys.modules))))\n"
    )
    feed = f"vehicle_positions={desk.folder}/vehicle_positions.pb"
    ran = subprocess.run(
        [sys.executable, "-c", script, "realtime", desk.agency, "--input", feed],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert (ran.returncode, ran.stderr) == (0, "[]")
