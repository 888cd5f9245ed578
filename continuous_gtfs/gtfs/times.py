"""Times and service days as GTFS counts them. No pandas: realtime loads it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY_S = 24 * 3600
_TIME = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)")
_NOON = time(12)
SERVICE_DAY_BEGINS = time(4)
"""By the clock of the agency. Before it, what names no date belongs to the service day before."""


def time_of_day_s(text: str) -> int | None:
    """Seconds since the start of the service day of ``H:MM:SS``; hours may pass 24. None if it is no time."""
    # Protobuf hands out bytes in place of text that is not UTF-8.
    parts = _TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    return None if parts is None else int(parts[1]) * 3600 + int(parts[2]) * 60 + int(parts[3])


def service_day_start(service_date: date, timezone: ZoneInfo) -> datetime:
    """The instant that a service day's times count from: noon minus twelve hours, in UTC.

    That is midnight but for the days on which the clocks change, when it is 23:00 the day before or 01:00:
    https://gtfs.org/documentation/schedule/reference/#field-types (Time).
    """
    noon = datetime.combine(service_date, _NOON, tzinfo=timezone)
    return noon.astimezone(UTC) - timedelta(hours=12)


def service_day_at(now: datetime, timezone: ZoneInfo) -> date:
    """The service day that is under way: today by the agency's clock from 04:00 on, before it yesterday."""
    local = now.astimezone(timezone)
    return local.date() - timedelta(days=local.time() < SERVICE_DAY_BEGINS)


def parse_service_date(text: str) -> date | None:
    """The date of ``YYYYMMDD``; None if it is none."""
    stripped = text.strip()
    if len(stripped) != 8 or not stripped.isascii() or not stripped.isdigit():
        return None
    try:
        return date(int(stripped[:4]), int(stripped[4:6]), int(stripped[6:]))
    except ValueError:
        return None
