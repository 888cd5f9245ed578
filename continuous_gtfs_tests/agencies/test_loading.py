"""How an agency's modules are found in folders and packages, and what is said when they are not or are broken."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency, load_steps
from continuous_gtfs.errors import ConfigurationError, ContinuousGtfsError, StepDefinitionError

STEP = """
from continuous_gtfs.gtfs.steps import ClearField, where
STEPS = [ClearField("trips.txt", where("route_id", equals="007"), "block_id", name={name})]
"""


def folder_with(folder: Path, **modules: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    return folder


def names(folder: Path | str) -> list[str]:
    return [step.name for step in load_steps(str(folder), "schedule")]


def said(folder: Path | str, error: type[ContinuousGtfsError] = ConfigurationError) -> str:
    with pytest.raises(error) as raised:
        load_steps(str(folder), "schedule")
    return str(raised.value)


def test_any_folder_that_holds_a_schedule_is_an_agency(tmp_path: Path) -> None:
    agency = folder_with(tmp_path / "2 lines, no-identifier!", schedule=STEP.format(name='"by_folder"'))
    assert names(agency) == ["by_folder"]


def test_a_folder_may_be_given_relative_to_where_the_author_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with(tmp_path / "my_agency", schedule=STEP.format(name='"by_relative_path"'))
    monkeypatch.chdir(tmp_path)
    assert names("my_agency") == names("./my_agency") == names("my_agency/") == ["by_relative_path"]
    monkeypatch.chdir(tmp_path / "my_agency")
    assert names(".") == ["by_relative_path"]


def test_the_same_relative_path_elsewhere_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("one", "two"):
        folder_with(tmp_path / place / "agency", schedule=STEP.format(name=f'"{place}"'))
    monkeypatch.chdir(tmp_path / "one")
    assert names("./agency") == ["one"]
    monkeypatch.chdir(tmp_path / "two")
    assert names("./agency") == ["two"]


def test_a_list_of_steps_may_be_empty_or_a_tuple(tmp_path: Path) -> None:
    assert names(folder_with(tmp_path / "empty", schedule="STEPS = []\n")) == []
    assert names(folder_with(tmp_path / "tuple", schedule="STEPS = ()\n")) == []


def test_a_folder_inside_the_package_is_an_agency_like_any_other() -> None:
    folder = Path(__file__).parents[2] / "continuous_gtfs" / "agencies" / "sound_transit"
    assert names(folder) == names(DEFAULT_AGENCY)
    assert load_agency(str(folder)).name == "sound_transit"


def test_each_pipeline_loads_its_own_module_alone(tmp_path: Path) -> None:
    agency = folder_with(tmp_path / "agency", schedule="raise RuntimeError\n", realtime="STEPS = []\n")
    assert load_steps(str(agency), "realtime") == ()


@pytest.mark.parametrize("line", ["import rules", "from . import rules", "from .rules import NAME"])
def test_a_module_beside_the_schedule_is_imported_by_name_or_relatively(tmp_path: Path, line: str) -> None:
    used = "NAME" if "NAME" in line else "rules.NAME"
    agency = folder_with(tmp_path / "agency", rules='NAME = "from_rules"\n', schedule=line + STEP.format(name=used))
    assert names(agency) == ["from_rules"]


def test_two_agencies_may_have_helpers_of_the_same_name(tmp_path: Path) -> None:
    source = "import helper_of_agency" + STEP.format(name="helper_of_agency.NAME")
    for number in ("one", "two"):
        folder_with(tmp_path / number / "agency", helper_of_agency=f'NAME = "{number}"\n', schedule=source)
    assert names(tmp_path / "one" / "agency") == ["one"]
    assert names(tmp_path / "two" / "agency") == ["two"]


def test_a_helper_named_like_a_module_of_python_does_not_take_its_place(tmp_path: Path) -> None:
    source = "import colorsys\nfrom . import colorsys as own\nassert colorsys.rgb_to_hls\n"
    agency = folder_with(tmp_path / "agency", colorsys='NAME = "own"\n', schedule=source + STEP.format(name="own.NAME"))
    assert names(agency) == ["own"]


def test_a_reference_table_beside_the_schedule_is_read_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = 'from pathlib import Path\nNAME = Path(__file__).with_name("names.csv").read_text().split()[1]\n'
    agency = folder_with(tmp_path / "agency", schedule=source + STEP.format(name="NAME"))
    (agency / "names.csv").write_text("name\nfrom_csv\n")
    monkeypatch.chdir(tmp_path)
    assert names("agency") == ["from_csv"]


def test_the_hash_of_a_step_does_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    """Each in a process of its own, as on two machines."""
    source = """
from continuous_gtfs.gtfs.steps import step
class Rule: ...
@step(files=["stops.txt"])
def apply(feed, rule=Rule): ...
STEPS = [apply]
"""
    script = (
        "import sys\n"
        "from continuous_gtfs.agencies.agency import load_steps\n"
        "(step,) = load_steps(sys.argv[1], 'schedule')\n"
        "print(step.source_hash(), step.function.__defaults__[0].__module__)\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script, str(folder_with(tmp_path / place / "agency", schedule=source))],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for place in ("here", "there")
    }
    assert len(seen) == 1
    assert "agency_folder_agency.schedule" in seen.pop()


def test_no_such_folder_is_named(tmp_path: Path) -> None:
    assert said(tmp_path / "nowhere") == f"unknown agency '{tmp_path / 'nowhere'}': there is no such folder"


def test_a_name_that_is_neither_folder_nor_module_is_said_to_be_neither() -> None:
    assert "there is no such folder and no module no_such_agency" in said("no_such_agency")


def test_a_package_without_a_schedule_says_so() -> None:
    assert said("continuous_gtfs.pims") == (
        "the agency continuous_gtfs.pims has no module schedule: there is no continuous_gtfs.pims.schedule"
    )


def test_a_folder_without_a_schedule_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agency = folder_with(tmp_path / "agency_without", realtime="STEPS = []\n")
    assert said(agency) == f"the folder {agency} has no schedule.py"
    monkeypatch.chdir(tmp_path)
    assert said("agency_without") == "the folder agency_without has no schedule.py"


def test_the_path_of_the_schedule_itself_is_answered_with_what_to_name(tmp_path: Path) -> None:
    agency = folder_with(tmp_path / "agency", schedule="STEPS = []\n")
    assert said(agency / "schedule.py").endswith("is a file; name the folder that holds schedule.py")


def test_what_is_no_python_names_file_and_line(tmp_path: Path) -> None:
    agency = folder_with(tmp_path / "agency", schedule="FIRST = 1\nSTEPS = [\n")
    assert said(agency) == f"{agency}/schedule.py:2: '[' was never closed"


def test_what_is_no_python_in_a_module_beside_the_schedule_names_that_module(tmp_path: Path) -> None:
    agency = folder_with(tmp_path / "agency", schedule="from . import rules\nSTEPS = []\n", rules="\n\nfrom\n")
    assert said(agency).startswith(f"{agency}/rules.py:3: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import a_library_that_is_not_installed", "No module named 'a_library_that_is_not_installed'"),
        ("from continuous_gtfs.gtfs.steps import NoSuchStep", "ImportError: cannot import name 'NoSuchStep'"),
        ("raise SystemExit('leaving')", "SystemExit: leaving"),
        ("open('/no/such/file.csv')", "FileNotFoundError: "),
    ],
)
def test_an_exception_at_import_names_the_authors_line_and_says_what_it_was(
    tmp_path: Path, line: str, message: str
) -> None:
    agency = folder_with(tmp_path / "agency", schedule=f"STEPS = []\n{line}\n")
    assert said(agency).startswith(f"{agency}/schedule.py:2: {message}")


def test_a_step_declared_wrongly_names_the_authors_line_not_ours(tmp_path: Path) -> None:
    source = "from continuous_gtfs.gtfs.steps import where\n\nSTEPS = [\n    where('route_id'),\n]\n"
    agency = folder_with(tmp_path / "agency", schedule=source)
    message = said(agency, StepDefinitionError)
    assert message.startswith(f"{agency}/schedule.py:4: where('route_id'): give one of equals=")


def test_a_schedule_without_a_list_of_steps_says_so(tmp_path: Path) -> None:
    agency = folder_with(tmp_path / "agency", schedule="STEP = []\n")
    assert said(agency) == f"{agency}/schedule.py declares no list STEPS (it may be empty)"


@pytest.mark.parametrize("value", ["'text'", "{1, 2}", "None", "(step for step in ())"])
def test_steps_that_are_no_list_say_what_they_are(tmp_path: Path, value: str) -> None:
    agency = folder_with(tmp_path / "agency", schedule=f"STEPS = {value}\n")
    assert re.search(r"schedule\.py: STEPS is a (str|set|NoneType|generator), not a list", said(agency))


def test_an_item_that_is_no_step_names_the_file_the_position_and_what_is_missing(tmp_path: Path) -> None:
    agency = folder_with(tmp_path / "agency", schedule="def rename(feed): ...\nSTEPS = [rename]\n")
    message = said(agency, StepDefinitionError)
    assert message.startswith(f"{agency}/schedule.py: STEPS: step 1 of the list is the plain function rename")
    assert '@step(files=["..."])' in message


def test_a_module_that_failed_is_read_anew_once_it_is_mended(tmp_path: Path) -> None:
    agency = folder_with(tmp_path / "agency", schedule="STEPS = [\n")
    said(agency)
    folder_with(agency, schedule="STEPS = []\n")
    assert names(agency) == []


def test_a_missing_import_inside_a_package_is_not_taken_for_an_unknown_agency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with(tmp_path / "outside" / "package_missing", __init__="", schedule="import not_installed_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path / "outside"))
    assert said("package_missing").endswith("package_missing/schedule.py:1: No module named 'not_installed_at_all'")
