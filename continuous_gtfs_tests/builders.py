"""Feeds made of text when a test runs, so that a test shows what its feed holds.

What authors of steps need too is in ``continuous_gtfs.testing``; here are zips, made by another writer than ours.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from datetime import date

from continuous_gtfs.testing import csv_text, small_feed_files

__all__ = ["csv_text", "feed_zip", "small_feed", "small_feed_files"]


def feed_zip(files: Mapping[str, str | bytes]) -> bytes:
    """A zip of ``files`` in their order; text as UTF-8, exactly as given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def small_feed(
    *,
    first_date: date = date(2026, 1, 1),
    last_date: date = date(2026, 12, 31),
    feed_version: str = "small-1",
    replaced: Mapping[str, str | bytes] | None = None,
    without: Iterable[str] = (),
) -> bytes:
    """The zip of ``small_feed_files``, some of them replaced, added or left out."""
    files: dict[str, str | bytes] = dict(
        small_feed_files(first_date=first_date, last_date=last_date, feed_version=feed_version)
    )
    files.update(replaced or {})
    for name in without:
        del files[name]
    return feed_zip(files)
