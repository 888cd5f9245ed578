"""The generated agency's GTFS Schedule zip: one function a file, text in, deterministic zip out.

Some of what it writes is there to be dealt with downstream: stations not yet open, a service that never
runs, non-breaking and double spaces in stop names, a file and a column that the specification does not know.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from continuous_gtfs.simulator.network import STATIONS_NOT_OPEN, Network, Stop
from continuous_gtfs.simulator.service_days import CALENDAR, TIMEZONE, exceptions_on
from continuous_gtfs.simulator.timetable import Timetable, Trip

DAYS_BACK = 7
"""The calendar begins this long before ``service_start``: it holds the trips that began the night before."""

DAYS_AHEAD = 90

_ZIP_TIMESTAMP = (2020, 1, 1, 0, 0, 0)
AGENCY_ID = "40"


def build_schedule_zip(network: Network, timetable: Timetable, *, revision: int, service_start: date) -> bytes:
    """The zip of one revision, whose calendar covers ``service_start`` and the 90 days after it."""
    first, last = service_start - timedelta(days=DAYS_BACK), service_start + timedelta(days=DAYS_AHEAD)
    files = {
        "agency.txt": _agency(),
        "stops.txt": _stops(network, revision),
        "routes.txt": _routes(network),
        "trips.txt": _trips(timetable, network, revision),
        "stop_times.txt": _stop_times(timetable),
        "calendar.txt": _calendar(first, last),
        "calendar_dates.txt": _calendar_dates(first, last),
        "shapes.txt": _shapes(network),
        "transfers.txt": _transfers(network),
        "feed_info.txt": _feed_info(first, last, revision),
        "facilities.txt": _facilities(network),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            member = zipfile.ZipInfo(name, _ZIP_TIMESTAMP)
            member.external_attr = 0o644 << 16
            archive.writestr(member, text.encode(), zipfile.ZIP_DEFLATED, compresslevel=6)
    return buffer.getvalue()


def format_time(seconds: int) -> str:
    """GTFS time of day; 24:00:00 and later for the hours after midnight."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def format_date(day: date) -> str:
    return day.strftime("%Y%m%d")


def _csv(header: str, rows: Iterable[Sequence[object]]) -> str:
    """CSV with CRLF, as vendors' systems write it. No value of ours holds a comma, a quote or a line end."""
    lines = [header]
    lines.extend(",".join(map(str, row)) for row in rows)
    return "\r\n".join(lines) + "\r\n"


def _agency() -> str:
    return _csv(
        "agency_id,agency_name,agency_url,agency_timezone,agency_lang,agency_phone",
        [
            (
                AGENCY_ID,
                "Sound Sim Transit",
                "https://transit.example.org",
                TIMEZONE.key,
                "en",
                "1-800-555-0140",
            )
        ],
    )


def stop_name(network: Network, stop: Stop, revision: int) -> str:
    """The name of ``stop`` in a revision: each corrects the name of one street stop."""
    streets = [other for other in network.stops if " at " in other.name]
    if revision > 0 and stop is streets[revision % len(streets)]:
        return stop.name.replace(" at ", " & ")
    return stop.name


def _stops(network: Network, revision: int) -> str:
    return _csv(
        "stop_id,stop_code,stop_name,stop_lat,stop_lon,zone_id,location_type,parent_station,wheelchair_boarding,platform_code",
        (
            (
                stop.stop_id,
                "" if stop.is_station else stop.stop_id,
                stop_name(network, stop, revision),
                f"{stop.point[0]:.6f}",
                f"{stop.point[1]:.6f}",
                "",
                1 if stop.is_station else 0,
                stop.parent,
                1,
                stop.platform_code,
            )
            for stop in network.stops
        ),
    )


def _routes(network: Network) -> str:
    return _csv(
        "route_id,agency_id,route_short_name,route_long_name,route_type,route_url,route_color,route_text_color",
        (
            (
                route.route_id,
                AGENCY_ID,
                route.short_name,
                route.long_name,
                route.route_type,
                f"https://transit.example.org/routes/{route.route_id}",
                route.color,
                route.text_color,
            )
            for route in network.routes
        ),
    )


def _trips(timetable: Timetable, network: Network, revision: int) -> str:
    corrected = network.patterns[revision % len(network.patterns)] if revision > 0 else None
    return _csv(
        "route_id,service_id,trip_id,trip_headsign,direction_id,block_id,shape_id,wheelchair_accessible,bikes_allowed,vendor_run_class",
        (
            (
                trip.pattern.route.route_id,
                trip.service_id,
                trip.trip_id,
                f"{trip.pattern.headsign} Station" if trip.pattern is corrected else trip.pattern.headsign,
                trip.pattern.direction_id,
                trip.block_id,
                trip.pattern.shape_id,
                1,
                1,
                trip.pattern.route.mode.value,
            )
            for trip in timetable
        ),
    )


def _stop_time_rows(trip: Trip) -> Iterable[Sequence[object]]:
    pattern, start_s = trip.pattern, trip.start_s
    for index, stop in enumerate(pattern.stops):
        yield (
            trip.trip_id,
            format_time(start_s + pattern.arrivals_s[index]),
            format_time(start_s + pattern.departures_s[index]),
            stop.stop_id,
            index + 1,
            f"{pattern.path.anchor_distances_m[index]:.1f}",
            1,
        )


def _stop_times(timetable: Timetable) -> str:
    return _csv(
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence,shape_dist_traveled,timepoint",
        (row for trip in timetable for row in _stop_time_rows(trip)),
    )


def _calendar(first: date, last: date) -> str:
    return _csv(
        "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date",
        ((service_id, *days, format_date(first), format_date(last)) for service_id, days in CALENDAR.items()),
    )


def _calendar_dates(first: date, last: date) -> str:
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return _csv(
        "service_id,date,exception_type",
        ((service_id, format_date(day), kind) for day in days for service_id, kind in exceptions_on(day)),
    )


def _shapes(network: Network) -> str:
    return _csv(
        "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence,shape_dist_traveled",
        (
            (
                pattern.shape_id,
                f"{lat:.6f}",
                f"{lon:.6f}",
                number + 1,
                f"{pattern.path.distances_m[number]:.1f}",
            )
            for pattern in network.patterns
            for number, (lat, lon) in enumerate(pattern.path.points)
        ),
    )


def _transfers(network: Network) -> str:
    """From a station's first platform to its bus bay and commuter platform; a station not yet open has neither."""
    by_station: dict[str, list[str]] = {}
    for stop in network.stops:
        if stop.parent:
            by_station.setdefault(stop.parent, []).append(stop.stop_id)
    return _csv(
        "from_stop_id,to_stop_id,transfer_type,min_transfer_time",
        (
            (children[0], other, 2, 180)
            for children in by_station.values()
            for other in children[1:]
            if not other.endswith("-T2")
        ),
    )


def _feed_info(first: date, last: date, revision: int) -> str:
    return _csv(
        "feed_publisher_name,feed_publisher_url,feed_lang,feed_start_date,feed_end_date,feed_version,feed_contact_email",
        [
            (
                "Sound Sim Transit",
                "https://transit.example.org",
                "en",
                format_date(first),
                format_date(last),
                f"SIM-{format_date(first)}-r{revision}",
                "data@transit.example.org",
            )
        ],
    )


def _facilities(network: Network) -> str:
    """A file outside the specification, as vendors add them."""
    return _csv(
        "facility_id,stop_id,facility_type,facility_name",
        (
            (f"{stop.stop_id}-LIFT-1", stop.stop_id, "elevator", f"{stop.name} - Elevator 1")
            for stop in network.stops
            if stop.is_station and stop.stop_id not in STATIONS_NOT_OPEN
        ),
    )
