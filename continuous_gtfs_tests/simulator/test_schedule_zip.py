"""The schedule zip of the generated agency."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import gtfs_guru
import pytest

from continuous_gtfs.simulator.agency import GeneratedAgency
from continuous_gtfs.simulator.service_days import service_ids_on
from continuous_gtfs_tests.simulator.feed_reading import Row, member_text, rows, seconds, without_rows

AGENCY = GeneratedAgency(seed=1)
START = date(2026, 10, 20)
CLOCKS_GO_BACK, CLOCKS_GO_FORWARD = date(2026, 11, 1), date(2027, 3, 14)

NEVER_ACTIVE_WARNINGS = {"service_never_active", "service_has_no_active_day_of_the_week"}
"""What the validator has to say about the service that never runs, which is there to be removed."""


def validate(schedule: bytes, path: Path, on: date) -> tuple[Counter[str], Counter[str]]:
    path.write_bytes(schedule)
    result = gtfs_guru.validate(str(path), country_code="US", date=on.isoformat())
    return Counter(n.code for n in result.errors()), Counter(n.code for n in result.warnings())


def is_not_publishable(name: str, row: Row) -> bool:
    """Rows of stations not yet open and of the service that never runs."""
    if name == "calendar.txt":
        return row["service_id"] == "LLR_TEST_NEVER"
    return name in ("stops.txt", "stop_times.txt") and row["stop_id"].split("-")[0] in ("E01", "E07")


@pytest.mark.parametrize(
    ("start", "on"),
    [
        (START, START),
        (START, START + timedelta(days=55)),
        (CLOCKS_GO_BACK, CLOCKS_GO_BACK),
        (CLOCKS_GO_FORWARD, CLOCKS_GO_FORWARD),
    ],
)
def test_the_validator_finds_no_error_and_warns_only_of_the_service_that_never_runs(
    tmp_path: Path, start: date, on: date
) -> None:
    schedule = AGENCY.schedule_zip(revision=1, service_start=start)
    errors, warnings = validate(schedule, tmp_path / "schedule.zip", on)
    assert errors == Counter()
    assert set(warnings) == NEVER_ACTIVE_WARNINGS


@pytest.mark.parametrize(("seed", "scale", "revision"), [(2, 1, 0), (3, 2, 9)])
def test_other_seeds_scales_and_revisions_are_valid_too(tmp_path: Path, seed: int, scale: int, revision: int) -> None:
    schedule = GeneratedAgency(seed=seed, scale=scale).schedule_zip(revision=revision, service_start=START)
    errors, _ = validate(schedule, tmp_path / "schedule.zip", START)
    assert errors == Counter()


def test_the_feed_is_valid_without_a_warning_once_what_is_not_public_is_removed(tmp_path: Path) -> None:
    schedule = AGENCY.schedule_zip(revision=1, service_start=START)
    public = without_rows(schedule, is_not_publishable)
    assert len(rows(schedule, "stops.txt")) - len(rows(public, "stops.txt")) == 6
    assert len(rows(schedule, "stop_times.txt")) - len(rows(public, "stop_times.txt")) > 400
    assert validate(public, tmp_path / "public.zip", START) == (Counter(), Counter())


def test_the_same_arguments_give_the_same_bytes_in_a_fresh_agency() -> None:
    first = GeneratedAgency(seed=5).schedule_zip(revision=2, service_start=START)
    assert GeneratedAgency(seed=5).schedule_zip(revision=2, service_start=START) == first
    assert GeneratedAgency(seed=6).schedule_zip(revision=2, service_start=START) != first


@pytest.mark.parametrize("revision", [1, 2, 11])
def test_a_revision_corrects_a_name_and_a_headsign_moves_departures_and_keeps_the_ids(revision: int) -> None:
    before = AGENCY.schedule_zip(revision=revision - 1, service_start=START)
    after = AGENCY.schedule_zip(revision=revision, service_start=START)
    assert rows(after, "feed_info.txt")[0]["feed_version"].endswith(f"-r{revision}")

    def column(schedule: bytes, name: str, key: str, field: str) -> dict[str, str]:
        return {row[key]: row[field] for row in rows(schedule, name)}

    for name, key, field in (
        ("stops.txt", "stop_id", "stop_name"),
        ("trips.txt", "trip_id", "trip_headsign"),
        ("stop_times.txt", "trip_id", "departure_time"),
    ):
        old, new = column(before, name, key, field), column(after, name, key, field)
        assert old.keys() == new.keys()
        assert 0 < sum(old[value] != new[value] for value in old) < len(old) / 2


def test_the_size_at_scale_one_is_that_of_a_small_agency() -> None:
    schedule = AGENCY.schedule_zip(revision=1, service_start=START)
    assert 60 <= len(rows(schedule, "stops.txt")) <= 130
    assert 1_500 <= len(rows(schedule, "trips.txt")) <= 3_500
    assert 20_000 <= len(rows(schedule, "stop_times.txt")) <= 40_000


def test_calendar_and_exceptions_say_for_every_day_what_the_generator_runs() -> None:
    schedule = AGENCY.schedule_zip(revision=1, service_start=START)
    calendar = rows(schedule, "calendar.txt")
    weekdays = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    exceptions = rows(schedule, "calendar_dates.txt")
    for day in (START + timedelta(days=number) for number in range(-1, 91)):
        stamp = day.strftime("%Y%m%d")
        active = {
            row["service_id"]
            for row in calendar
            if row["start_date"] <= stamp <= row["end_date"] and row[weekdays[day.weekday()]] == "1"
        }
        for row in exceptions:
            if row["date"] == stamp and row["exception_type"] == "1":
                active.add(row["service_id"])
            elif row["date"] == stamp:
                active.remove(row["service_id"])
        assert active == set(service_ids_on(day)), day


def test_a_holiday_swaps_the_weekday_service_for_the_sunday_service() -> None:
    exceptions = rows(AGENCY.schedule_zip(revision=1, service_start=START), "calendar_dates.txt")
    assert {(row["service_id"], row["exception_type"]) for row in exceptions if row["date"] == "20261126"} == {
        ("WEEKDAY", "2"),
        ("SUNDAY", "1"),
    }


def test_the_defects_to_be_dealt_with_downstream_are_there() -> None:
    schedule = AGENCY.schedule_zip(revision=1, service_start=START)
    names = [row["stop_name"] for row in rows(schedule, "stops.txt")]
    assert any("\u00a0" in name for name in names)
    assert any("  " in name for name in names)
    never = [row for row in rows(schedule, "calendar.txt") if "1" not in list(row.values())[1:8]]
    assert [row["service_id"] for row in never] == ["LLR_TEST_NEVER"]
    assert "LLR_TEST_NEVER" not in member_text(schedule, "calendar_dates.txt")
    assert "LLR_TEST_NEVER" not in {row["service_id"] for row in rows(schedule, "trips.txt")}
    assert {row["vendor_run_class"] for row in rows(schedule, "trips.txt")} >= {"commuter", "night"}
    assert len(rows(schedule, "facilities.txt")) > 10


def test_times_go_past_midnight_and_never_run_backwards() -> None:
    stop_times = rows(AGENCY.schedule_zip(revision=1, service_start=START), "stop_times.txt")
    assert max(row["arrival_time"] for row in stop_times) > "26:00:00"
    last = ("", 0)
    for row in stop_times:
        arrival, departure = seconds(row["arrival_time"]), seconds(row["departure_time"])
        assert arrival <= departure
        assert row["trip_id"] != last[0] or arrival > last[1]
        last = (row["trip_id"], departure)


def test_no_transfer_names_a_station_that_is_not_open() -> None:
    transfers = rows(AGENCY.schedule_zip(revision=1, service_start=START), "transfers.txt")
    named = {row[field] for row in transfers for field in ("from_stop_id", "to_stop_id")}
    assert len(transfers) > 3
    assert not {stop_id for stop_id in named if stop_id.startswith(("E01", "E07"))}
