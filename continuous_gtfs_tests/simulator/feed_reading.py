"""Reads what the generated agency makes, with nothing but the standard library and the protobuf bindings."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable

from google.transit import gtfs_realtime_pb2

Row = dict[str, str]


def member_text(schedule: bytes, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO(schedule)) as archive:
        return archive.read(name).decode()


def rows(schedule: bytes, name: str) -> list[Row]:
    return list(csv.DictReader(io.StringIO(member_text(schedule, name))))


def seconds(time_of_day: str) -> int:
    hours, minutes, rest = map(int, time_of_day.split(":"))
    return hours * 3600 + minutes * 60 + rest


def message(data: bytes) -> gtfs_realtime_pb2.FeedMessage:
    return gtfs_realtime_pb2.FeedMessage.FromString(data)


def without_rows(schedule: bytes, is_dropped: Callable[[str, Row], bool]) -> bytes:
    """The same zip without the rows for which ``is_dropped(file name, row)`` holds."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(schedule)) as archive, zipfile.ZipFile(out, "w") as kept:
        for name in archive.namelist():
            reader = csv.DictReader(io.StringIO(archive.read(name).decode()))
            text = io.StringIO()
            writer = csv.DictWriter(text, reader.fieldnames or [])
            writer.writeheader()
            writer.writerows(row for row in reader if not is_dropped(name, row))
            kept.writestr(name, text.getvalue())
    return out.getvalue()
