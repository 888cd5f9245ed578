"""Reads the Retry-After header, which a vendor may fill with anything."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(text: str, now: datetime) -> float | None:
    """Seconds from a Retry-After header, which is a number of seconds or an HTTP date (RFC 9110, 10.2.3).

    None for anything else, an hour's offset too large for a clock included.
    """
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds())
