"""How a declared agency is found, and what is said when it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency, load_steps
from continuous_gtfs.errors import ConfigurationError, StepDefinitionError
from continuous_gtfs.pims.catalog import FeedKind


@pytest.fixture
def outside_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder on the import path, named after the test's folder so that no two tests share a module."""
    folder = tmp_path / f"agency_{tmp_path.name.replace('-', '_')}"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_the_reference_agency_declares_six_feeds_in_two_environments() -> None:
    agency = load_agency(DEFAULT_AGENCY)
    assert agency.environments == ("production", "qa")
    assert [source.feed_id for source in agency.feeds] == [
        "production/schedule",
        "production/vehicle_positions",
        "production/trip_updates",
        "qa/schedule",
        "qa/vehicle_positions",
        "qa/trip_updates",
    ]
    assert len(agency.sources("qa", FeedKind.REALTIME)) == 2


def test_no_feed_declares_a_secret_in_clear() -> None:
    for source in load_agency(DEFAULT_AGENCY).feeds:
        assert source.headers["X-PIMS-Token"].startswith("${secret:")


@pytest.mark.parametrize("name", ["no_such_agency", "continuous_gtfs.agencies.atlantis"])
def test_an_unknown_agency_is_named_with_the_setting_to_change(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"unknown agency '{name}'.*CONTINUOUS_GTFS_AGENCY"):
        load_agency(name)


def test_a_feeds_module_without_an_agency_is_refused(outside_package: Path) -> None:
    (outside_package / "feeds.py").write_text("AGENCY = 'Sound Transit'\n")
    with pytest.raises(ConfigurationError, match="declares no AGENCY"):
        load_agency(outside_package.name)


def test_an_agency_from_outside_the_package_is_found_by_name(outside_package: Path) -> None:
    (outside_package / "feeds.py").write_text(f"from {DEFAULT_AGENCY}.feeds import AGENCY\n")
    (outside_package / "schedule.py").write_text("STEPS = []\n")
    assert load_agency(outside_package.name).name == "sound_transit"
    assert load_steps(outside_package.name, "schedule") == ()


def test_a_pipeline_without_steps_is_refused_and_so_is_a_function_that_is_no_step(outside_package: Path) -> None:
    (outside_package / "schedule.py").write_text("STEP = []\n")
    with pytest.raises(ConfigurationError, match="declares no list STEPS"):
        load_steps(outside_package.name, "schedule")
    (outside_package / "realtime.py").write_text("def rename(feed): ...\nSTEPS = [rename]\n")
    with pytest.raises(StepDefinitionError, match="rename"):
        load_steps(outside_package.name, "realtime")


def test_a_feed_declared_twice_is_refused() -> None:
    agency = load_agency(DEFAULT_AGENCY)
    with pytest.raises(ConfigurationError, match="production/schedule more than once"):
        replace(agency, feeds=(*agency.feeds, agency.feeds[0]))
