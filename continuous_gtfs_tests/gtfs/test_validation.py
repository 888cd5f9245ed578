from __future__ import annotations

import io
import json
import zipfile
from datetime import date

import pytest

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.checks.thresholds import NoticeRule
from continuous_gtfs.gtfs.validation import SAMPLE_PER_CODE, new_errors, validate_feed
from continuous_gtfs_tests.builders import csv_text, feed_zip, small_feed, small_feed_files
from continuous_gtfs_tests.real_data import real_data_path

DAY = date(2026, 6, 1)


def dangling(count: int) -> bytes:
    """The small feed with trips of a route that is not there."""
    files = small_feed_files()
    trips = [f"GONE,DAY,X{n},North End,0," for n in range(count)]
    visits = [f"X{n},10:{m}0:00,10:{m}0:00,{stop},{m},1" for n in range(count) for m, stop in ((1, "M"), (2, "N"))]
    files["trips.txt"] += csv_text(*trips)
    files["stop_times.txt"] += csv_text(*visits)
    return feed_zip(files)


def test_the_small_feed_has_no_errors() -> None:
    report = validate_feed(small_feed(), service_date=DAY, country_code="US")
    assert report.errors == {}
    assert report.service_date == DAY
    assert report.validator_version


def test_errors_are_counted_by_code_and_sampled_with_file_and_line() -> None:
    report = validate_feed(dangling(5), service_date=DAY)
    assert report.errors == {"foreign_key_violation": 5}
    assert len([notice for notice in report.sample if notice.severity == "error"]) == SAMPLE_PER_CODE
    first = report.sample[0]
    assert (first.code, first.severity, first.file, first.line) == ("foreign_key_violation", "error", "trips.txt", 5)
    assert "GONE" in str(first.context)


def test_errors_that_were_there_before_are_not_new_and_more_of_them_are() -> None:
    report = validate_feed(dangling(2), service_date=DAY)
    assert new_errors(report, {}) == {"foreign_key_violation": (2, 0)}
    assert new_errors(report, {"foreign_key_violation": 1}) == {"foreign_key_violation": (2, 1)}
    assert new_errors(report, {"foreign_key_violation": 2, "other": 1}) == {}


def test_a_rule_of_the_agency_lets_a_number_pass_ignores_a_code_or_makes_a_warning_block() -> None:
    report = validate_feed(dangling(2), service_date=date(2028, 1, 1))
    assert report.warnings["expired_calendar"] == 1
    assert new_errors(report, {}, {"foreign_key_violation": 2}) == {}
    assert new_errors(report, {}, {"foreign_key_violation": 1}) == {"foreign_key_violation": (2, 1)}
    assert new_errors(report, {}, {"foreign_key_violation": "ignore"}) == {}
    blocking: dict[str, NoticeRule] = {"foreign_key_violation": "ignore", "expired_calendar": "block"}
    assert new_errors(report, {}, blocking) == {"expired_calendar": (1, 0)}
    assert new_errors(report, {"expired_calendar": 1}, blocking) == {}
    assert new_errors(report, {}, {"foreign_key_violation": 2, "expired_calendar": 0}) == {"expired_calendar": (1, 0)}


def test_the_date_is_the_one_given_and_not_today() -> None:
    before = validate_feed(small_feed(), service_date=date(2026, 6, 1))
    after = validate_feed(small_feed(), service_date=date(2028, 1, 1))
    assert "expired_calendar" not in before.warnings
    assert "expired_calendar" in after.warnings


def test_a_report_is_safe_for_json() -> None:
    report = validate_feed(dangling(1), service_date=DAY)
    document = json.loads(json.dumps(report.to_dict()))
    assert document["errors"] == {"foreign_key_violation": 1}
    assert document["sample"][0]["file"] == "trips.txt"


def test_a_zip_in_a_folder_or_otherwise_compressed_is_judged_as_the_same_feed() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, zipfile.ZipFile(io.BytesIO(dangling(2))) as plain:
        for name in plain.namelist():
            archive.writestr(f"feed/{name}", plain.read(name), compress_type=zipfile.ZIP_LZMA)
    expected, found = (validate_feed(data, service_date=DAY) for data in (dangling(2), buffer.getvalue()))
    assert (found.errors, found.warnings, found.infos) == (expected.errors, expected.warnings, expected.infos)


def test_a_table_that_cannot_be_parsed_is_an_error_of_the_feed_and_no_exception() -> None:
    report = validate_feed(small_feed(replaced={"trips.txt": 'route_id,trip_id\n"1,2\n'}), service_date=DAY)
    assert report.errors


def test_what_is_no_zip_is_refused() -> None:
    with pytest.raises(FeedStructureError, match="not a zip"):
        validate_feed(b"<html></html>", service_date=DAY)


def test_a_real_feed_is_judged() -> None:
    data = real_data_path("sound_transit_2024-11/schedule.zip").read_bytes()
    report = validate_feed(data, service_date=date(2024, 12, 2), country_code="US")
    assert report.errors == {"invalid_currency_amount": 10}
    assert report.warnings
