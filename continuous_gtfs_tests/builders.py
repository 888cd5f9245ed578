"""Feeds made of text when a test runs, so that a test shows what its feed holds."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from datetime import date


def feed_zip(files: Mapping[str, str | bytes]) -> bytes:
    """A zip of ``files`` in their order; text as UTF-8, exactly as given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def csv_text(*lines: str) -> str:
    """Lines, each ended by LF."""
    return "".join(f"{line}\n" for line in lines)


def small_feed_files(
    *,
    first_date: date = date(2026, 1, 1),
    last_date: date = date(2026, 12, 31),
    dates_removed: Iterable[date] = (),
    dates_added: Iterable[date] = (),
    timezone: str = "America/Los_Angeles",
    feed_version: str = "small-1",
) -> dict[str, str]:
    """The files of a little feed that gtfs-guru finds no error in: two routes, four stops, three trips.

    ``DAY`` runs daily from ``first_date`` to ``last_date``: trip ``T1`` 08:00 to 08:30, ``T2`` 09:00 to 09:30,
    ``NIGHT`` 24:30 to 25:10, which is past midnight. The dates removed and added are exceptions to it.
    """
    exceptions = [f"DAY,{day:%Y%m%d},2" for day in dates_removed]
    exceptions += [f"DAY,{day:%Y%m%d},1" for day in dates_added]
    return {
        "agency.txt": csv_text(
            "agency_id,agency_name,agency_url,agency_timezone,agency_lang,agency_phone",
            f"A,Small Transit,https://small.example.org,{timezone},en,1-800-555-0100",
        ),
        "stops.txt": csv_text(
            "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station",
            "S,Harbor Station,47.600000,-122.330000,1,",
            "S-1,Harbor Station,47.600100,-122.330100,0,S",
            "M,Mill Street,47.620000,-122.330000,0,",
            "N,North End,47.640000,-122.330000,0,",
        ),
        "routes.txt": csv_text(
            "route_id,agency_id,route_short_name,route_long_name,route_type,route_color,route_text_color",
            "007,A,7,Harbor to North End,3,003366,FFFFFF",
            "N7,A,N7,Harbor to North End by night,3,220044,FFFFFF",
        ),
        "trips.txt": csv_text(
            "route_id,service_id,trip_id,trip_headsign,direction_id,block_id",
            "007,DAY,T1,North End,0,B1",
            "007,DAY,T2,North End,0,",
            "N7,DAY,NIGHT,North End,0,",
        ),
        "stop_times.txt": csv_text(
            "trip_id,arrival_time,departure_time,stop_id,stop_sequence,timepoint",
            *_visits("T1", "08:00:00", "08:15:00", "08:30:00"),
            *_visits("T2", "09:00:00", "09:15:00", "09:30:00"),
            *_visits("NIGHT", "24:30:00", "24:50:00", "25:10:00"),
        ),
        "calendar.txt": csv_text(
            "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date",
            f"DAY,1,1,1,1,1,1,1,{first_date:%Y%m%d},{last_date:%Y%m%d}",
        ),
        "calendar_dates.txt": csv_text("service_id,date,exception_type", *exceptions),
        "feed_info.txt": csv_text(
            "feed_publisher_name,feed_publisher_url,feed_lang,feed_start_date,feed_end_date,feed_version,feed_contact_email",
            f"Small Transit,https://small.example.org,en,{first_date:%Y%m%d},{last_date:%Y%m%d},{feed_version},"
            "data@small.example.org",
        ),
    }


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


def _visits(trip_id: str, *times: str) -> list[str]:
    return [
        f"{trip_id},{time},{time},{stop_id},{number},1"
        for number, (stop_id, time) in enumerate(zip(("S-1", "M", "N"), times, strict=True), start=1)
    ]
