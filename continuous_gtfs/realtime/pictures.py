"""Two small pictures (SVG) of a published feed: where its vehicles are, and how old it was when it went out.

Written as text, since a feed goes out every 20 s: no drawing package, a millisecond, few bytes. Greys of middle
lightness, a blue and an orange, which are seen on a light page and on a dark one and told apart by people with
any colour vision. The same feed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, cos, radians
from statistics import median
from urllib.parse import quote

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.realtime.age_history import KEPT_MINUTES, AgeHistory

_ON_TRIP, _OFF_TRIP, _GREY, _LINE = "#1E88C7", "#D55E00", "#808080", "#80808055"
_WIDTH = 600
_MAP_HEIGHT, _CHART_HEIGHT = 380, 140
_MARGIN = 14
_MAX_DOTS = 300
_BEYOND = 5
"""How many times as far out as nine of ten vehicles a vehicle may be to be on the map."""
_SMALLEST_SPAN = 0.01
"""Degrees; a single vehicle at a standstill is drawn in a kilometre of nothing."""
_SCALES_KM = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_KM_A_DEGREE = 111.2

_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 590, 14, 112
_COLUMN_MINUTES = 3
_AGE_SCALES_S = (1, 2, 5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1000)

_Dot = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what it shows in a sentence, for those who do not see it."""

    svg: str
    text: str

    def markdown(self) -> str:
        """The picture inside Markdown, with the sentence below it."""
        # In an address no blank, angle bracket or number sign may stand as it is; this is shorter than base64.
        address = "data:image/svg+xml," + quote(self.svg, safe="/:=;,'-.")
        return f"![{self.text}]({address})\n\n{self.text}"


@dataclass(frozen=True, slots=True)
class _Vehicle:
    longitude: float
    latitude: float
    has_trip: bool


def vehicle_map(message: FeedMessage) -> Picture:
    """Where the vehicles are, north above. Each is in a dot or in the sentence that says what is on no map."""
    vehicles, without_position = _vehicles(message)
    if not vehicles:
        text = "No vehicle says where it is" + (
            f" ({without_position:,} without a position)" if without_position else ""
        )
        return Picture(_svg(_MAP_HEIGHT // 4, [_label(_WIDTH // 2, _MAP_HEIGHT // 8, text, "middle")]), text)
    (left, right), (low, high) = (
        _span([vehicle.longitude for vehicle in vehicles]),
        _span([vehicle.latitude for vehicle in vehicles]),
    )
    # A degree of longitude is that much shorter than one of latitude.
    shorter = max(cos(radians((low + high) / 2)), 0.05)
    pixels_a_degree = min(
        (_WIDTH - 2 * _MARGIN) / ((right - left) * shorter), (_MAP_HEIGHT - 3 * _MARGIN) / (high - low)
    )
    shown = [v for v in vehicles if left <= v.longitude <= right and low <= v.latitude <= high]
    placed = [
        (
            _WIDTH / 2 + (v.longitude - (left + right) / 2) * shorter * pixels_a_degree,
            (_MAP_HEIGHT - _MARGIN) / 2 - (v.latitude - (low + high) / 2) * pixels_a_degree,
            v.has_trip,
        )
        for v in shown
    ]
    on_trip, off_trip = _dots(placed)
    on_trips = sum(vehicle.has_trip for vehicle in vehicles)
    svg = _svg(
        _MAP_HEIGHT,
        [
            f"<g fill='none' stroke-linecap='round'><path stroke='{_ON_TRIP}' stroke-width='7' d='{_path(on_trip)}'/>"
            f"<path stroke='{_OFF_TRIP}' stroke-width='5' d='{_path(off_trip)}'/></g>",
            _scale_bar(pixels_a_degree / _KM_A_DEGREE),
        ],
    )
    told = [f"{len(vehicles):,} vehicles, {on_trips:,} on a trip (blue), {len(vehicles) - on_trips:,} not (orange)"]
    dots = len(on_trip) + len(off_trip)
    if dots < len(shown):
        told.append(f"drawn as {dots:,} dots, close ones as one")
    if len(shown) < len(vehicles):
        told.append(f"{len(vehicles) - len(shown):,} far outside the map")
    if without_position:
        told.append(f"{without_position:,} without a position")
    return Picture(svg, "; ".join(told))


def age_chart(history: AgeHistory, *, now: datetime) -> Picture:
    """How old the feed was at each publication of the last hours: a bar from the youngest to the oldest."""
    this_minute = int(now.timestamp()) // 60
    minutes = [one for one in history.minutes if this_minute - KEPT_MINUTES < one.minute <= this_minute]
    if not minutes:
        text = "Nothing was published in the last hours"
        return Picture(_svg(_CHART_HEIGHT // 2, [_label(_WIDTH // 2, _CHART_HEIGHT // 4, text, "middle")]), text)
    oldest_s = max(one.highest_s for one in minutes)
    scale_s = next((each for each in _AGE_SCALES_S if each >= oldest_s), _AGE_SCALES_S[-1])
    columns: dict[int, tuple[float, float]] = {}
    for one in minutes:
        column = (KEPT_MINUTES - 1 - this_minute + one.minute) // _COLUMN_MINUTES
        lowest_s, highest_s = columns.get(column, (one.lowest_s, one.highest_s))
        columns[column] = min(lowest_s, one.lowest_s), max(highest_s, one.highest_s)
    pitch = (_RIGHT - _LEFT) / (KEPT_MINUTES // _COLUMN_MINUTES)

    def height(age_s: float) -> int:
        return round((_BOTTOM - _TOP) * min(max(age_s, 0.0), scale_s) / scale_s)

    bars = "".join(
        # A bar of no height would not be seen.
        f"M{round(_LEFT + (column + 0.5) * pitch)},{_BOTTOM + 1 - height(lowest_s)}"
        f"v-{height(highest_s) - height(lowest_s) + 2}"
        for column, (lowest_s, highest_s) in sorted(columns.items())
    )
    frame = "".join(f"M{_LEFT},{y}H{_RIGHT}" for y in (_BOTTOM, (_BOTTOM + _TOP) // 2, _TOP))
    svg = _svg(
        _CHART_HEIGHT,
        [
            f"<path stroke='{_LINE}' d='{frame}'/>",
            f"<path stroke='{_ON_TRIP}' stroke-width='3' d='{bars}'/>",
            *(
                _label(_LEFT - 5, y + 4, f"{age_s:g} s", "end")
                for y, age_s in ((_TOP, scale_s), ((_BOTTOM + _TOP) // 2, scale_s / 2), (_BOTTOM, 0))
            ),
            _label(_LEFT, _BOTTOM + 18, f"{KEPT_MINUTES // 60} h before", "start"),
            _label(_RIGHT, _BOTTOM + 18, f"{now.astimezone(UTC):%H:%M} UTC", "end"),
        ],
    )
    silent = this_minute - minutes[0].minute + 1 - len(minutes)
    told = [
        f"Age at publication since {datetime.fromtimestamp(minutes[0].minute * 60, UTC):%H:%M} UTC: "
        f"{min(one.lowest_s for one in minutes):.1f} to {oldest_s:.1f} s",
        f"in half of the minutes at most {median(one.highest_s for one in minutes):.1f} s",
    ]
    if silent:
        told.append(f"{silent:,} {'minute' if silent == 1 else 'minutes'} without a publication")
    return Picture(svg, "; ".join(told))


def _vehicles(message: FeedMessage) -> tuple[list[_Vehicle], int]:
    """The vehicles that say where they are, and how many do not, or name a place that is none."""
    vehicles: list[_Vehicle] = []
    without = 0
    for entity in message.entity:
        if entity.is_deleted or not entity.HasField("vehicle"):
            continue
        vehicle = entity.vehicle
        position = vehicle.position
        longitude, latitude = position.longitude, position.latitude
        # 0, 0 lies in the sea; it is what a receiver without a fix sends. NaN fails every comparison.
        if (longitude or latitude) and -180 <= longitude <= 180 and -90 <= latitude <= 90:
            vehicles.append(_Vehicle(longitude, latitude, bool(vehicle.trip.trip_id or vehicle.trip.route_id)))
        else:
            without += 1
    return vehicles, without


def _dots(placed: Sequence[tuple[float, float, bool]]) -> tuple[list[_Dot], list[_Dot]]:
    """Places of the dots of vehicles on a trip, and of the others; where there are many, close ones are one."""
    grid = 1
    while True:
        on_trip = {(round(x / grid) * grid, round(y / grid) * grid) for x, y, has_trip in placed if has_trip}
        off_trip = {(round(x / grid) * grid, round(y / grid) * grid) for x, y, has_trip in placed if not has_trip}
        if len(on_trip) + len(off_trip) <= _MAX_DOTS:
            return sorted(on_trip), sorted(off_trip)
        grid += max(1, grid // 2)


def _path(dots: Sequence[_Dot]) -> str:
    """Lines of no length, whose round ends are dots: the shortest way to write many."""
    return "".join(f"M{x},{y}h0" for x, y in dots)


def _span(degrees: Sequence[float]) -> tuple[float, float]:
    """From the first to the last, less what lies so far out that it would shrink all else to a dot."""
    middle = median(degrees)
    distances = sorted(abs(degree - middle) for degree in degrees)
    usual = distances[ceil(0.9 * (len(distances) - 1))]
    shown = [degree for degree in degrees if abs(degree - middle) <= max(_BEYOND * usual, _SMALLEST_SPAN)]
    lacking = max(_SMALLEST_SPAN - (max(shown) - min(shown)), 0.0) / 2
    return min(shown) - lacking, max(shown) + lacking


def _scale_bar(pixels_a_km: float) -> str:
    longest = _WIDTH / 4
    kilometres = max((each for each in _SCALES_KM if each * pixels_a_km <= longest), default=_SCALES_KM[0])
    y, right = _MAP_HEIGHT - 8, _WIDTH - _MARGIN
    length = round(kilometres * pixels_a_km)
    return f"<path stroke='{_GREY}' d='M{right},{y}h-{length}'/>" + _label(
        right - length - 6, y + 4, f"{kilometres:g} km", "end"
    )


def _label(x: int, y: int, text: str, anchor: str) -> str:
    return f"<text x='{x}' y='{y}' text-anchor='{anchor}'>{text}</text>"


def _svg(height: int, parts: Sequence[str]) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height}' fill='{_GREY}' "
        f"font-family='sans-serif' font-size='12'>{''.join(parts)}</svg>"
    )
