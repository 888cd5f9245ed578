"""`continuous-gtfs digest`, `validate` and `diff`: what they print, write and exit with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from continuous_gtfs.cli import main
from continuous_gtfs.gtfs.digest import content_digest
from continuous_gtfs.testing import small_feed
from continuous_gtfs_tests.builders import feed_zip, small_feed_files
from continuous_gtfs_tests.real_data import real_data_path

Run = Callable[..., tuple[int, str, str]]

WITH_ERROR = {"trips.txt": small_feed_files()["trips.txt"].replace("N7,DAY", "NO_SUCH_ROUTE,DAY")}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in a folder with ``a.zip``, ``same.zip`` and ``b.zip``: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    Path("a.zip").write_bytes(small_feed().to_bytes())
    Path("same.zip").write_bytes(feed_zip(dict(reversed(small_feed_files().items()))))
    Path("b.zip").write_bytes(small_feed(replaced=WITH_ERROR).to_bytes())
    Path("page.zip").write_text("<html>")

    def run_command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        said = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, said.out, said.err

    return run_command


def test_the_digest_of_each_feed_is_a_line_the_same_for_the_same_content(run: Run) -> None:
    code, out, err = run("digest", "a.zip", "same.zip", "b.zip")
    digest = content_digest(Path("a.zip").read_bytes())
    other = content_digest(Path("b.zip").read_bytes())
    assert digest != other
    assert (code, out, err) == (0, f"{digest}  a.zip\n{digest}  same.zip\n{other}  b.zip\n", "")


def test_a_folder_has_the_digest_of_its_zip(run: Run) -> None:
    Path("folder").mkdir()
    for name, text in small_feed_files().items():
        Path("folder", name).write_text(text)
    _, out, _ = run("digest", "folder", "a.zip")
    assert len({line.split()[0] for line in out.splitlines()}) == 1


def test_a_feed_that_cannot_be_read_has_no_digest_and_the_others_have_theirs(run: Run) -> None:
    code, out, err = run("digest", "page.zip", "a.zip")
    assert (code, err) == (2, "error: page.zip: not a zip but HTML or XML (6 bytes)\n")
    assert out.endswith("  a.zip\n")


@pytest.mark.parametrize("command", [["digest"], ["validate"], ["diff", "a.zip"]])
@pytest.mark.parametrize("feed", ["nowhere.zip", "page.zip", "empty_folder"])
def test_what_is_no_feed_is_one_line_with_its_path(run: Run, command: list[str], feed: str) -> None:
    Path("empty_folder").mkdir()
    code, out, err = run(*command, feed)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert feed in err


def test_a_feed_without_errors_is_summed_up_and_exits_with_0(run: Run) -> None:
    code, out, err = run("validate", "a.zip", "--date", "2026-06-01")
    assert (code, err) == (0, "")
    assert out.startswith("a.zip: 0 errors, ")
    assert "service date 2026-06-01" in out


def test_errors_are_counted_shown_with_their_place_and_exit_with_1(run: Run) -> None:
    code, out, _ = run("validate", "b.zip", "--date", "2026-06-01")
    assert code == 1
    assert out.startswith("b.zip: 1 error, ")
    assert ["error", "foreign_key_violation", "1", "blocks"] in [line.split() for line in out.splitlines()]
    assert "foreign_key_violation  trips.txt:4:route_id" in out


def test_the_full_report_is_written_as_json_and_as_a_page(run: Run) -> None:
    code, _, _ = run("validate", "b.zip", "--date", "2026-06-01", "--json", "report.json", "--html", "report.html")
    report = json.loads(Path("report.json").read_text())
    assert (code, report["errors"], report["service_date"]) == (1, {"foreign_key_violation": 1}, "2026-06-01")
    page = Path("report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "foreign_key_violation" in page


def test_an_agency_says_which_errors_pass_and_for_which_country_phone_numbers_are_judged(run: Run) -> None:
    Path("agency").mkdir()
    Path("agency", "feeds.py").write_text("""
from dataclasses import replace
from continuous_gtfs.agencies.agency import ScheduleThresholds
from continuous_gtfs.agencies.sound_transit import feeds
AGENCY = replace(feeds.AGENCY, schedule=ScheduleThresholds(notices={"foreign_key_violation": 1}))
""")
    code, out, _ = run("validate", "b.zip", "--date", "2026-06-01", "--agency", "agency")
    assert code == 0
    assert ["error", "foreign_key_violation", "1"] in [line.split() for line in out.splitlines()]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--date", "tomorrow"], "--date tomorrow: write YYYY-MM-DD"),
        (["--json", "nowhere/report.json"], "--json nowhere/report.json: there is no folder nowhere"),
        (["--agency", "./nowhere"], "unknown agency './nowhere'"),
    ],
)
def test_an_option_that_is_wrong_is_refused_before_the_work(run: Run, options: list[str], said: str) -> None:
    code, out, err = run("validate", "a.zip", *options)
    assert (code, out, said in err) == (2, "", True)


def test_feeds_of_the_same_content_are_the_same_and_others_differ(run: Run) -> None:
    assert run("diff", "a.zip", "same.zip")[::2] == (0, "")
    code, out, err = run("diff", "a.zip", "b.zip")
    assert (code, err) == (1, "")
    assert "trips.txt" in out


def test_a_comparison_is_json_on_request_in_our_form_or_in_gtfs_diff_v2(run: Run) -> None:
    code, out, _ = run("diff", "a.zip", "b.zip", "--json")
    assert (code, json.loads(out)["is_same"]) == (1, False)
    code, out, _ = run("diff", "a.zip", "b.zip", "--gtfs-diff")
    assert code == 1
    assert "file_diffs" in json.loads(out)
    code, _, err = run("diff", "a.zip", "b.zip", "--json", "--gtfs-diff")
    assert (code, "not both" in err) == (2, True)


def test_how_much_of_a_comparison_is_listed_is_the_askers_choice(run: Run) -> None:
    _, brief, _ = run("diff", "a.zip", "b.zip", "--gtfs-diff", "--sample", "0")
    _, full, _ = run("diff", "a.zip", "b.zip", "--gtfs-diff")
    assert [json.loads(out)["metadata"]["row_changes_cap_per_file"] for out in (brief, full)] == [0, 20]
    assert ("NO_SUCH_ROUTE" in brief, "NO_SUCH_ROUTE" in full) == (False, True)


@pytest.mark.parametrize("name", ["sound_transit_2024-11", "kingston", "bullrunner", "raba_2025"])
def test_a_real_schedule_differs_in_nothing_from_itself(run: Run, name: str) -> None:
    path = str(real_data_path(f"{name}/schedule.zip"))
    assert run("diff", path, path)[0] == 0
