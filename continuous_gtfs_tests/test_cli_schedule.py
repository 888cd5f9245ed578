"""`continuous-gtfs schedule`: a step list run on a feed from the command line, without Dagster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY
from continuous_gtfs.cli import main
from continuous_gtfs.gtfs.digest import content_digest
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.testing import assert_only_changed, column, small_feed
from continuous_gtfs_tests.builders import small_feed_files
from continuous_gtfs_tests.real_data import real_data_path

STEPS = """
from continuous_gtfs.gtfs.steps import RemoveRows, UpdateFields, step, where

@step(files=["routes.txt"])
def paint(feed, context):
    feed.set_cells("routes.txt", feed.keys("routes.txt", "route_id").is_in({"007"}), {"route_color": "007CAD"})
    context.log(f"painted at {context.now:%Y-%m-%d}")

STEPS = [
    RemoveRows("stop_times.txt", where("trip_id", equals="T2"), name="drop_stop_times"),
    RemoveRows("trips.txt", where("trip_id", equals="T2"), name="drop_trips"),
    paint,
]
"""


@dataclass(frozen=True)
class Desk:
    """An author's folder with a feed and an agency in it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def feed(self) -> Path:
        return self.folder / "feed.zip"

    @property
    def out(self) -> Path:
        return self.folder / "out.zip"

    @property
    def agency(self) -> Path:
        return self.folder / "agency"

    def steps(self, source: str) -> None:
        self.agency.mkdir(exist_ok=True)
        (self.agency / "schedule.py").write_text(source)

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, what is on stdout and what is on stderr."""
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        said = self.capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, said.out, said.err

    def schedule(self, *arguments: object) -> tuple[int, str, str]:
        return self.run("schedule", self.agency, "--input", f"schedule={self.feed}", *arguments)

    def left_behind(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"feed.zip", "agency"}


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    made = Desk(tmp_path, capsys)
    made.feed.write_bytes(small_feed().to_bytes())
    made.steps(STEPS)
    return made


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_steps_run_and_the_feed_is_written_with_what_they_did_and_nothing_else(desk: Desk) -> None:
    code, out, err = desk.schedule("-o", desk.out)
    assert (code, err) == (0, "")
    made = Feed.from_path(desk.out)
    assert column(made, "trips.txt", "trip_id") == ["T1", "NIGHT"]
    assert_only_changed(small_feed(), made, "stop_times.txt", "trips.txt", "routes.txt")
    assert desk.left_behind() == {"out.zip"}
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["step", "status", "file", "removed", "added", "changed", "findings", "ms"]
    assert [line[:6] for line in lines[1:4]] == [
        ["drop_stop_times", "success", "stop_times.txt", "3", "0", "0"],
        ["drop_trips", "success", "trips.txt", "1", "0", "0"],
        ["paint", "success", "routes.txt", "0", "0", "1"],
    ]
    assert f"3 steps; wrote {desk.out} ({desk.out.stat().st_size:,} bytes)" in out


def test_an_agency_by_its_dotted_name_and_one_with_no_steps(desk: Desk) -> None:
    code, out, _ = desk.run("schedule", DEFAULT_AGENCY, "--input", f"schedule={desk.feed}", "-o", desk.out)
    assert (code, "normalize_stop_names" in out) == (0, True)
    desk.steps("STEPS = []\n")
    code, out, _ = desk.schedule("-o", desk.out)
    assert (code, "0 steps; wrote" in out) == (0, True)
    assert_only_changed(small_feed(), Feed.from_path(desk.out))


def test_a_package_in_the_folder_where_the_author_stands_is_found_by_its_dotted_name(desk: Desk) -> None:
    package = desk.folder / "transit_of_the_author"
    (package / "small").mkdir(parents=True)
    (package / "small" / "schedule.py").write_text(STEPS)
    command = [Path(sys.executable).parent / "continuous-gtfs", "schedule", "transit_of_the_author.small"]
    ran = subprocess.run(
        [*command, "--input", "schedule=feed.zip", "-o", "out.zip"],
        cwd=desk.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert desk.out.exists()


def test_without_an_output_the_steps_are_only_reported_on(desk: Desk) -> None:
    code, out, _ = desk.schedule()
    assert (code, desk.left_behind(), "3 steps; nothing written" in out) == (0, set(), True)


def test_a_folder_of_files_is_a_feed(desk: Desk) -> None:
    folder = desk.folder / "feed_folder"
    folder.mkdir()
    for name, text in reversed(small_feed_files().items()):
        (folder / name).write_text(text)
    (folder / ".hidden").write_text("no part of the feed")
    code, _, _ = desk.run("schedule", desk.agency, "--input", f"schedule={folder}", "-o", desk.out)
    assert code == 0
    assert Feed.from_path(desk.out).files == tuple(sorted(small_feed_files()))


def test_until_stops_after_the_step_it_names(desk: Desk) -> None:
    code, out, _ = desk.schedule("-o", desk.out, "--until", "drop_stop_times")
    assert (code, "1 step; wrote" in out, "paint" in out) == (0, True, False)
    assert_only_changed(small_feed(), Feed.from_path(desk.out), "stop_times.txt")


def test_until_a_step_that_is_not_there_lists_those_that_are(desk: Desk) -> None:
    code, _, err = desk.schedule("-o", desk.out, "--until", "drop_stops")
    assert code == 2
    assert err == "error: --until drop_stops: there is no such step; the steps are drop_stop_times, drop_trips, paint\n"
    assert not desk.out.exists()


def test_the_same_feed_steps_and_time_give_the_same_bytes_in_two_processes(desk: Desk) -> None:
    program = Path(sys.executable).parent / "continuous-gtfs"
    made = set()
    for seed in ("1", "2"):
        arguments = ["--input", f"schedule={desk.feed}", "-o", desk.out, "--now", "2026-06-01T12:00:00Z"]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([program, "schedule", desk.agency, *arguments], check=True, capture_output=True, env=environment)
        made.add(desk.out.read_bytes())
    assert len(made) == 1


def test_the_steps_are_told_the_time_that_is_given(desk: Desk) -> None:
    _, out, _ = desk.schedule("--now", "2026-06-01T23:00:00-07:00")
    assert "painted at 2026-06-01" in out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("yesterday", "--now yesterday: write an ISO time, e.g. 2026-06-01T12:00:00-07:00"),
        ("2026-06-01T12:00", "--now 2026-06-01T12:00 has no offset; write e.g. 2026-06-01T12:00Z"),
    ],
)
def test_a_time_that_is_none_or_has_no_offset_is_refused(desk: Desk, given: str, said: str) -> None:
    code, _, err = desk.schedule("--now", given)
    assert (code, said in err) == (2, True)


def test_other_inputs_reach_the_steps_by_name_a_zip_as_a_feed_and_other_files_as_bytes(desk: Desk) -> None:
    (desk.folder / "names.csv").write_text("name\nN\n")
    desk.steps("""
from continuous_gtfs.gtfs.steps import step
@step(files=[])
def look(feed, context):
    context.log(f"{type(context.inputs['other']).__name__} {context.inputs['names']} {len(context.inputs)}")
STEPS = [look]
""")
    code, out, _ = desk.schedule(
        "--input", f"other={desk.feed}", "--input", f"names={desk.folder / 'names.csv'}", "-o", desk.out
    )
    assert (code, r"Feed b'name\nN\n' 2" in out) == (0, True)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "give --input schedule=feed.zip"),
        (["feed.zip"], "--input feed.zip: write NAME=PATH"),
        (["schedule="], "--input schedule=: write NAME=PATH"),
        (["other=feed.zip"], "give --input schedule=feed.zip"),
        (["schedule=a.zip", "schedule=b.zip"], "--input schedule is given twice: a.zip and b.zip"),
        (["schedule=/no/such/feed.zip"], "there is no /no/such/feed.zip"),
    ],
)
def test_an_input_that_is_missing_or_written_wrongly_is_refused(desk: Desk, inputs: list[str], said: str) -> None:
    options = [word for given in inputs for word in ("--input", given)]
    code, _, err = desk.run("schedule", desk.agency, *options, "-o", desk.out)
    assert (code, said in err, err.count("\n")) == (2, True, 1)
    assert desk.left_behind() == set()


def test_bytes_that_are_no_feed_are_refused_with_the_path(desk: Desk) -> None:
    desk.feed.write_bytes(b"<html>not found</html>")
    code, _, err = desk.schedule("-o", desk.out)
    assert code == 2
    assert err == f"error: {desk.feed}: not a zip but HTML or XML (22 bytes)\n"


FAILING = STEPS.replace("    context.log", "    1 / 0\n    context.log")


def test_a_failed_step_writes_no_feed_and_leaves_the_one_that_was_there(desk: Desk) -> None:
    desk.out.write_bytes(b"the last good one")
    desk.steps(FAILING)
    code, out, err = desk.schedule("-o", desk.out)
    assert code == 1
    line = FAILING.splitlines().index("    1 / 0") + 1
    assert err == (
        f"error: step paint failed: ZeroDivisionError: division by zero ({desk.agency}/schedule.py:{line})\n"
    )
    assert [line.split()[:2] for line in out.splitlines()[1:4]] == [
        ["drop_stop_times", "success"],
        ["drop_trips", "success"],
        ["paint", "failed"],
    ]
    assert (desk.out.read_bytes(), desk.left_behind()) == (b"the last good one", {"out.zip"})


def test_steps_that_leave_no_feed_write_none(desk: Desk) -> None:
    desk.steps("""
from continuous_gtfs.gtfs.steps import step
@step(files=["stops.txt"])
def drop_stops(feed):
    feed.remove_file("stops.txt")
STEPS = [drop_stops]
""")
    code, _, err = desk.schedule("-o", desk.out, "--report", desk.folder / "report.json")
    assert (code, "what the steps made is no feed: " in err, desk.left_behind()) == (1, True, set())


def test_a_file_that_cannot_be_written_at_last_leaves_nothing_half_made(desk: Desk) -> None:
    desk.out.mkdir()
    code, _, err = desk.schedule("-o", desk.out)
    assert (code, "out.zip" in err, list(desk.out.iterdir())) == (2, True, [])
    code, _, err = desk.schedule("-o", desk.folder / "nowhere" / "out.zip")
    assert (code, f"--output {desk.folder}/nowhere/out.zip: there is no folder" in err) == (2, True)
    assert not (desk.folder / "nowhere").exists()


def test_an_output_that_is_a_link_is_written_through_not_put_in_its_place(desk: Desk) -> None:
    target = desk.folder / "target.zip"
    target.write_bytes(b"old")
    desk.out.symlink_to(target)
    assert desk.schedule("-o", desk.out)[0] == 0
    assert (desk.out.is_symlink(), Feed.from_path(target).files[0]) == (True, "agency.txt")


def test_an_output_that_is_a_pipe_stays_one(desk: Desk) -> None:
    """As a device would: whoever writes to /dev/null as root must not replace it by a file."""
    os.mkfifo(desk.out)
    reader = os.open(desk.out, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert desk.schedule("-o", desk.out)[0] == 0
        made = os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    assert (desk.out.is_fifo(), Feed.from_bytes(made).files[0]) == (True, "agency.txt")


def test_a_feed_larger_than_may_be_written_is_a_failure_that_leaves_the_old_one(desk: Desk) -> None:
    desk.out.write_bytes(b"the last good one")
    program = Path(sys.executable).parent / "continuous-gtfs"
    arguments = [program, "schedule", desk.agency, "--input", f"schedule={desk.feed}", "-o", desk.out]
    # Of 1,024 bytes; the feed is larger.
    command = 'ulimit -f 1; exec "$@"'
    ran = subprocess.run(["bash", "-c", command, "bash", *arguments], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, f"error: {desk.out}: File too large\n")
    assert (desk.out.read_bytes(), desk.left_behind()) == (b"the last good one", {"out.zip"})


def test_the_feed_may_be_written_over_itself(desk: Desk) -> None:
    assert desk.schedule("-o", desk.feed)[0] == 0
    assert column(Feed.from_path(desk.feed), "trips.txt", "trip_id") == ["T1", "NIGHT"]


def test_the_report_accounts_for_input_output_steps_and_every_row(desk: Desk) -> None:
    report = desk.folder / "report.json"
    code, _, _ = desk.schedule("-o", desk.out, "--report", report, "--now", "2026-06-01T12:00:00Z")
    found = read(report)
    assert (code, found["status"], found["now"], found["until"]) == (0, "success", "2026-06-01T12:00:00+00:00", None)
    assert found["input"]["content_digest"] == content_digest(desk.feed.read_bytes())
    assert found["output"]["content_digest"] == content_digest(desk.out.read_bytes())
    assert (found["output"]["path"], found["output"]["bytes"]) == (str(desk.out), desk.out.stat().st_size)
    assert [StepResult.from_dict(step).name for step in found["steps"]] == ["drop_stop_times", "drop_trips", "paint"]
    assert found["files"]["stop_times.txt"] == {"rows_in": 9, "removed": 3, "added": 0, "changed": 0, "rows_out": 6}
    assert found["files"]["agency.txt"] == {"rows_in": 1, "removed": 0, "added": 0, "changed": 0, "rows_out": 1}
    made = Feed.from_path(desk.out)
    assert {name: rows["rows_out"] for name, rows in found["files"].items()} == dict(made.row_counts())


def test_the_report_of_a_run_that_failed_says_why_and_has_no_output(desk: Desk) -> None:
    report = desk.folder / "report.json"
    desk.steps(FAILING)
    code, _, _ = desk.schedule("-o", desk.out, "--report", report)
    found = read(report)
    assert (code, found["status"], found["output"], found["files"]) == (1, "failed", None, None)
    assert "ZeroDivisionError" in found["error"]
    assert [step["status"] for step in found["steps"]] == ["success", "success", "failed"]


def test_what_changed_from_input_to_output_is_said_on_request(desk: Desk) -> None:
    _, plain, _ = desk.schedule("-o", desk.out)
    code, out, _ = desk.schedule("-o", desk.out, "--diff")
    assert code == 0
    assert len(out.splitlines()) > len(plain.splitlines())
    assert "routes.txt" in out.partition("wrote")[2]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "has no schedule.py"),
        ("STEPS = [\n", "schedule.py:1: '[' was never closed"),
        ("import not_installed_anywhere\n", "schedule.py:1: No module named 'not_installed_anywhere'"),
        ("NAMES = {}\n\nNAMES['a']\n", "schedule.py:3: KeyError: 'a'"),
        ("", "schedule.py declares no list STEPS"),
        ("STEPS = 7\n", "STEPS is a int, not a list"),
        ("def f(feed): ...\nSTEPS = [f]\n", "schedule.py: STEPS: step 1 of the list is the plain function f"),
        ("from continuous_gtfs.gtfs.steps import step\n@step\ndef f(feed): ...\n", "schedule.py:2: bare @step on f"),
    ],
)
def test_an_agency_that_cannot_be_loaded_is_one_line_and_exit_code_2(desk: Desk, source: str | None, said: str) -> None:
    (desk.agency / "schedule.py").unlink()
    if source is not None:
        desk.steps(source)
    code, out, err = desk.schedule("-o", desk.out)
    assert (code, out, said in err, err.count("\n")) == (2, "", True, 1)
    assert err.startswith("error: ")
    assert not desk.out.exists()


def test_no_such_agency_is_named(desk: Desk) -> None:
    for name in ("./nowhere", "no.such.agency"):
        code, _, err = desk.run("schedule", name, "--input", f"schedule={desk.feed}")
        assert (code, f"unknown agency '{name}'" in err) == (2, True)


def test_built_in_steps_run_without_dagster_pandas_httpx_or_rich(desk: Desk) -> None:
    script = (
        "import sys\n"
        "from continuous_gtfs.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    print(sorted({'dagster', 'pandas', 'httpx', 'rich', 'pyarrow.pandas_compat'} & set(sys.modules)))\n"
    )
    arguments = ["schedule", str(desk.agency), "--input", f"schedule={desk.feed}", "-o", str(desk.out), "--report"]
    seen = subprocess.run(
        [sys.executable, "-c", script, *arguments, str(desk.folder / "report.json")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert seen.stdout.splitlines()[-1] == "[]"


def test_the_reference_agency_runs_on_a_real_schedule(desk: Desk) -> None:
    source = real_data_path("sound_transit_2024-11/schedule.zip")
    report = desk.folder / "report.json"
    code, _, err = desk.run(
        "schedule", DEFAULT_AGENCY, "--input", f"schedule={source}", "-o", desk.out, "--report", report
    )
    assert (code, err) == (0, "")
    for file, rows in read(report)["files"].items():
        assert rows["rows_in"] - rows["removed"] + rows["added"] == rows["rows_out"], file
