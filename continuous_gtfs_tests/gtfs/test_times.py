from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from continuous_gtfs.gtfs.times import parse_service_date, service_day_start, time_of_day_s

SEATTLE = ZoneInfo("America/Los_Angeles")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00:00", 0),
        ("7:05:09", 25_509),
        (" 07:05:09 ", 25_509),
        ("25:10:00", 90_600),
        ("100:00:00", 360_000),
        ("", None),
        ("7:60:00", None),
        ("7:05", None),
        ("-1:00:00", None),
        ("07:05:09.5", None),
    ],
)
def test_a_time_of_day_counts_from_the_start_of_the_service_day(text: str, seconds: int | None) -> None:
    assert time_of_day_s(text) == seconds


def test_bytes_that_protobuf_gives_for_text_that_is_not_utf_8_are_no_time() -> None:
    assert time_of_day_s(b"\xe9\xe9") is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service_date", "start"),
    [
        (date(2026, 7, 1), datetime(2026, 7, 1, 7, tzinfo=UTC)),
        # Clocks go forward: the service day begins at 23:00 PST the evening before.
        (date(2026, 3, 8), datetime(2026, 3, 8, 7, tzinfo=UTC)),
        # Clocks go back: it begins at 01:00 PDT.
        (date(2026, 11, 1), datetime(2026, 11, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_service_day_begins_twelve_hours_before_noon(service_date: date, start: datetime) -> None:
    assert service_day_start(service_date, SEATTLE) == start


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("20260228", date(2026, 2, 28)),
        (" 20260228 ", date(2026, 2, 28)),
        ("20260229", None),
        ("2026-2-28", None),
        ("٢٠٢٦٠٢٢٨", None),
        ("", None),
    ],
)
def test_a_service_date_is_eight_digits_of_a_real_day(text: str, day: date | None) -> None:
    assert parse_service_date(text) == day
