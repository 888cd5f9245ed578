"""Conditional GET by RFC 9110, section 13: whether the version a client holds is still the current one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime

from continuous_gtfs.simulator.vendor import Document

# Without the W/ of a weak tag: the comparison is weak, so it makes no difference (8.8.3.2).
_ENTITY_TAG = re.compile(r'"[^"]*"')


def validators(document: Document) -> dict[str, str]:
    """The headers a client can come back with."""
    return {"ETag": document.etag, "Last-Modified": format_datetime(document.last_modified, usegmt=True)}


def is_not_modified(headers: Mapping[str, str], document: Document) -> bool:
    """Whether 304 is the answer. ``headers`` is a mapping that does not tell upper from lower case.

    If-None-Match decides alone when it is there (13.2.2), compared weakly; If-Modified-Since counts only
    without it, and a date that cannot be read is as if it were not there.
    """
    if (tags := headers.get("if-none-match")) is not None:
        return tags.strip() == "*" or document.etag in _ENTITY_TAG.findall(tags)
    try:
        since = parsedate_to_datetime(headers.get("if-modified-since", ""))
    except ValueError:
        return False
    return document.last_modified <= (since if since.tzinfo else since.replace(tzinfo=UTC))
