from __future__ import annotations

import pickle
import subprocess
import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from continuous_gtfs.errors import ConfigurationError, FeedStructureError, UnreadableMessageError
from continuous_gtfs.realtime.sampling import ValidationSampling
from continuous_gtfs.realtime.validation import (
    PreparedSchedule,
    RealtimeReport,
    prepare_schedule,
    validate_messages,
)
from continuous_gtfs_tests.builders import small_feed
from continuous_gtfs_tests.real_data import real_data_path
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update

HEADER = 1_700_000_000
AT = datetime.fromtimestamp(HEADER + 5, UTC)


@pytest.fixture(scope="module")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> PreparedSchedule:
    path = tmp_path_factory.mktemp("schedule") / "gtfs.zip"
    path.write_bytes(small_feed())
    return prepare_schedule(path)


def update_of(trip_id: str, *, timestamp: int = HEADER) -> bytes:
    entity = trip_update(trip_id, "S-1", "M", "N")
    entity["trip_update"]["timestamp"] = timestamp
    return feed_message(entity, timestamp=timestamp).SerializeToString()


def found(report: RealtimeReport) -> dict[str, int]:
    return {finding.rule: finding.count for finding in report.findings}


def test_a_trip_that_the_schedule_does_not_have_is_found_with_feed_and_place(schedule: PreparedSchedule) -> None:
    report = validate_messages(schedule, {"trip_updates": [update_of("T9")]}, at=AT)
    (finding,) = [each for each in report.findings if each.rule == "E003"]
    assert (finding.severity, finding.count) == ("ERROR", 1)
    assert finding.title.startswith("GTFS-rt trip_id does not exist in GTFS data")
    (sample,) = finding.samples
    assert sample.startswith("trip_updates entity[0].trip_update")
    assert "T9" in sample
    assert "E003" not in found(validate_messages(schedule, {"trip_updates": [update_of("T1")]}, at=AT))


def test_every_rule_is_asked_and_errors_come_first(schedule: PreparedSchedule) -> None:
    report = validate_messages(schedule, {"trip_updates": [update_of("T9")]}, at=AT)
    assert len(report.rules) > 100
    assert {rule[0] for rule in report.rules} == set("EWSP")
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities)
    assert set(severities) == {"ERROR", "WARNING"}


def test_errors_of_an_ignored_rule_do_not_count(schedule: PreparedSchedule) -> None:
    report = validate_messages(schedule, {"trip_updates": [update_of("T9")]}, at=AT)
    every = {finding.rule for finding in report.errors()}
    assert "E003" in every
    assert {finding.rule for finding in report.errors(ignored={"E003"})} == every - {"E003"}


def test_ages_are_reckoned_from_the_time_given(schedule: PreparedSchedule) -> None:
    later = datetime.fromtimestamp(HEADER + 500, UTC)
    feeds = {"trip_updates": [update_of("T1")]}
    assert "W008" not in found(validate_messages(schedule, feeds, at=AT))
    assert "W008" in found(validate_messages(schedule, feeds, at=later)), "the header is older than 65 s"


def test_the_message_before_is_compared_with_and_not_judged(schedule: PreparedSchedule) -> None:
    report = validate_messages(
        schedule, {"trip_updates": [update_of("T9", timestamp=HEADER + 1), update_of("T1")]}, at=AT
    )
    assert report.messages == 1
    assert "E003" not in found(report), "T9 is in the message before"
    assert "E018" in found(report), "time has gone back"


def test_a_message_that_is_the_one_before_it_once_more_is_judged(schedule: PreparedSchedule) -> None:
    report = validate_messages(schedule, {"trip_updates": [update_of("T9")] * 2}, at=AT)
    assert (report.messages, found(report)["E003"]) == (1, 1)


def test_what_is_no_message_is_named(schedule: PreparedSchedule) -> None:
    with pytest.raises(UnreadableMessageError, match="cannot read trip_updates"):
        validate_messages(schedule, {"trip_updates": [b"\xff\xff\xff"]}, at=AT)


def test_a_prepared_schedule_comes_back_from_its_bytes_and_says_the_same(schedule: PreparedSchedule) -> None:
    again = PreparedSchedule.from_bytes(schedule.to_bytes())
    feeds = {"trip_updates": [update_of("T9"), update_of("T2")]}
    assert validate_messages(again, feeds, at=AT) == validate_messages(schedule, feeds, at=AT)


class Intruder:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("made by the bytes",)


class Grabber:
    def __reduce__(self) -> tuple[object, tuple[object, str]]:
        return getattr, (PreparedSchedule, "from_bytes")


def borrowed(name: str) -> bytes:
    """A pickle of what a module of the validator has imported."""
    return zlib.compress(b"\x80\x04\x8c\x15gtfs_rt_validator.api\x8c" + bytes([len(name)]) + name.encode() + b"\x93.")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"garbage", "not a prepared schedule"),
        (zlib.compress(pickle.dumps({"a": 1})), "not a prepared schedule but a dict"),
        (zlib.compress(pickle.dumps(Intruder())), "builtins.print has no place in a prepared schedule"),
        (zlib.compress(pickle.dumps(Grabber())), "has no place in a prepared schedule"),
        (borrowed("time.sleep"), "time.sleep has no place in a prepared schedule"),
        (borrowed("Path"), "Path has no place in a prepared schedule"),
        (borrowed("fetch_once"), "fetch_once has no place in a prepared schedule"),
    ],
)
def test_bytes_that_are_something_else_make_nothing(data: bytes, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FeedStructureError, match=told):
        PreparedSchedule.from_bytes(data)
    assert capsys.readouterr().out == ""


def test_a_schedule_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gtfs.zip"
    path.write_bytes(small_feed(without=["stop_times.txt"]))
    with pytest.raises(FeedStructureError, match=r"cannot read the schedule: stop_times\.txt"):
        prepare_schedule(path)


def test_nothing_is_imported_of_the_validator_before_it_is_asked() -> None:
    code = "import sys, continuous_gtfs.realtime.validation; assert 'gtfs_rt_validator' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_real_pair_is_validated_against_its_schedule() -> None:
    folder = "sound_transit_2023-08"
    feeds = {
        feed: [real_data_path(f"{folder}/{feed}_1690865133.pb").read_bytes()]
        for feed in ("vehicle_positions", "trip_updates")
    }
    schedule = prepare_schedule(real_data_path(f"{folder}/schedule.zip"))
    report = validate_messages(schedule, feeds, at=datetime.fromtimestamp(1_690_865_140, UTC))
    assert report.messages == 2
    assert "E003" not in found(report), "every trip is in the schedule"
    assert found(report)["S013"] == 3, "a DUPLICATED trip without the properties it needs"
    assert report.to_dict()["findings"][0]["samples"]


@pytest.mark.parametrize(
    ("every_min", "cron"),
    [(15, "*/15 * * * *"), (1, "*/1 * * * *"), (60, "0 */1 * * *"), (120, "0 */2 * * *"), (None, None)],
)
def test_a_sample_is_taken_by_the_clock(every_min: int | None, cron: str | None) -> None:
    assert ValidationSampling(every_min=every_min).cron == cron


@pytest.mark.parametrize("every_min", [0, 7, 90, -15, 15.5])
def test_minutes_that_no_clock_can_keep_are_refused(every_min: int) -> None:
    with pytest.raises(ConfigurationError, match="divide an hour"):
        ValidationSampling(every_min=every_min)
