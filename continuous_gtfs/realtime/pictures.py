"""Two small pictures (SVG) of a published feed: where its vehicles are, and how old it was when it went out.

Written as text, since a feed goes out every 20 s: no drawing package, a millisecond, and less than a kilobyte each,
since Dagster's page hides longer Markdown behind a link. Named colours of middle lightness, which are seen on a light
page and on a dark one; blue and orange are told apart by people with any colour vision. The same feed gives the same
bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, cos, radians
from statistics import median
from urllib.parse import quote

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.realtime.age_history import KEPT_MINUTES, AgeHistory, MinuteOfAges

SHOWN_AT_ONCE = 1000
"""Dagster 1.13 shows Markdown of fewer characters on the asset's page, and longer behind *Show Markdown*."""

# In units of which each is 3 pixels: more would be lost in the size of a dot.
_WIDTH, _PIXELS = 160, 480
_MAP_HEIGHT, _CHART_HEIGHT = 100, 46
_MARGIN = 4
_ON_TRIP, _OFF_TRIP = "dodgerblue", "chocolate"
_GRIDS = (1, 2, 3, 4, 6, 8, 12, 16, 24)
_MOST_DOTS = SHOWN_AT_ONCE // 6
"""Each takes six characters or more. The coarsest grid has no more points than that."""
_BEYOND = 5
"""How many times as far out as nine of ten vehicles a vehicle may be to be on the map."""
_SMALLEST_SPAN = 0.01
"""Degrees; a single vehicle at a standstill is drawn in a kilometre of nothing."""
_SCALES_KM = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_KM_A_DEGREE = 111.2

_LEFT, _TOP, _BOTTOM = 14, 4, 36
_CHART_WIDTH = 144
_COLUMN_MINUTES = (5, 10, 20)
_AGE_SCALES_S = (1, 2, 5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1000)

_Dot = tuple[int, int]
_Place = tuple[int, int, bool]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what it shows in words, for those who do not see it.

    Attributes:
        title: What it is a picture of.
        facts: One line each.
    """

    svg: str
    title: str
    facts: tuple[str, ...]

    def markdown(self) -> str:
        """The picture inside Markdown, with the facts below it."""
        # In an address no blank, angle bracket or number sign may stand as it is; this is shorter than base64.
        address = "data:image/svg+xml," + quote(self.svg, safe="/:=;,'-.")
        facts = "\n".join(f"- {fact}" for fact in self.facts)
        return f"![{self.title}]({address})\n\n{facts}"


def vehicle_map(message: FeedMessage) -> Picture:
    """Where the vehicles are, north above. Each is in a dot or in the fact that says how many are on no map."""
    title = "Map of the vehicles"
    vehicles, without_position = _vehicles(message)
    facts = [f"{without_position:,} without a position"] if without_position else []
    if not vehicles:
        said = "No vehicle says where it is"
        return Picture(_svg(_MAP_HEIGHT // 4, _label(50, 14, said)), title, (said, *facts))
    left, right = _span([longitude for longitude, _, _ in vehicles])
    low, high = _span([latitude for _, latitude, _ in vehicles])
    # A degree of longitude is that much shorter than one of latitude.
    shorter = max(cos(radians((low + high) / 2)), 0.05)
    scale = min((_WIDTH - 2 * _MARGIN) / ((right - left) * shorter), (_MAP_HEIGHT - 3 * _MARGIN) / (high - low))
    across, middle, centre = shorter * scale, (left + right) / 2, (low + high) / 2
    shown = [
        (
            round(_WIDTH / 2 + (longitude - middle) * across),
            round(_MAP_HEIGHT / 2 - _MARGIN - (latitude - centre) * scale),
            has_trip,
        )
        for longitude, latitude, has_trip in vehicles
        if left <= longitude <= right and low <= latitude <= high
    ]
    on_trips = sum(has_trip for _, _, has_trip in vehicles)
    if len(shown) < len(vehicles):
        facts.insert(0, f"{len(vehicles) - len(shown):,} far outside the map")
    facts.insert(
        0, f"{len(vehicles):,} vehicles, {on_trips:,} on a trip (blue), {len(vehicles) - on_trips:,} not (orange)"
    )
    bar = _scale_bar(scale / _KM_A_DEGREE)
    return _first_that_fits(_maps(shown, bar, title, facts))


def age_chart(history: AgeHistory, *, now: datetime) -> Picture:
    """How old the feed was at the publications of the last hours: at most so old, a step for some minutes."""
    title = "Age at publication"
    this_minute = int(now.timestamp()) // 60
    minutes = [one for one in history.minutes if this_minute - KEPT_MINUTES < one.minute <= this_minute]
    if not minutes:
        said = "Nothing was published in the last hours"
        return Picture(_svg(_CHART_HEIGHT // 2, _label(40, 12, said)), title, (said,))
    since = datetime.fromtimestamp(minutes[0].minute * 60, UTC)
    lowest_s, highest_s = min(one.lowest_s for one in minutes), max(one.highest_s for one in minutes)
    silent = this_minute - minutes[0].minute + 1 - len(minutes)
    facts = [
        f"{lowest_s:.1f} to {highest_s:.1f} s old at publication since {since:%H:%M} UTC",
        f"at most {median(one.highest_s for one in minutes):.1f} s in half of the minutes",
    ]
    if silent:
        facts.append(f"{silent:,} {'minute' if silent == 1 else 'minutes'} without a publication")
    frame = _chart_frame(_age_scale(highest_s), now)
    return _first_that_fits(
        Picture(_svg(_CHART_HEIGHT, frame + _steps(minutes, this_minute, column_minutes)), title, tuple(facts))
        for column_minutes in _COLUMN_MINUTES
    )


def _first_that_fits(pictures: Iterable[Picture]) -> Picture:
    """The first, and finest, that is shown at once; the last where none is."""
    for picture in pictures:
        if len(picture.markdown()) < SHOWN_AT_ONCE:
            break
    return picture


def _vehicles(message: FeedMessage) -> tuple[list[tuple[float, float, bool]], int]:
    """Longitude, latitude and whether on a trip, of the vehicles that say where they are; and how many do not, or name
    a place that is none."""
    vehicles: list[tuple[float, float, bool]] = []
    without = 0
    for entity in message.entity:
        if entity.is_deleted or not entity.HasField("vehicle"):
            continue
        vehicle = entity.vehicle
        position = vehicle.position
        longitude, latitude = position.longitude, position.latitude
        # 0, 0 lies in the sea; it is what a receiver without a fix sends. NaN fails every comparison.
        if (longitude or latitude) and -180 <= longitude <= 180 and -90 <= latitude <= 90:
            vehicles.append((longitude, latitude, bool(vehicle.trip.trip_id or vehicle.trip.route_id)))
        else:
            without += 1
    return vehicles, without


def _maps(shown: Sequence[_Place], bar: str, title: str, facts: Sequence[str]) -> Iterator[Picture]:
    """The map on one grid after another, from fine to coarse: what falls on one point of it is one dot."""
    places = set(shown)
    for grid in _GRIDS:
        half = grid // 2
        dots = {((x + half) // grid * grid, (y + half) // grid * grid, has_trip) for x, y, has_trip in places}
        if len(dots) <= _MOST_DOTS:
            merged = [f"drawn as {len(dots):,} dots, close ones as one"] if len(dots) < len(shown) else []
            yield Picture(_svg(_MAP_HEIGHT, _paths(dots) + bar), title, (*facts, *merged))


def _paths(dots: Set[_Place]) -> str:
    return "".join(
        f"<path stroke='{colour}' stroke-width='3' stroke-linecap='round' d='{_path(places)}'/>"
        for colour, has_trip in ((_ON_TRIP, True), (_OFF_TRIP, False))
        if (places := sorted((x, y) for x, y, one_has_trip in dots if one_has_trip is has_trip))
    )


def _path(dots: Sequence[_Dot]) -> str:
    """Lines of no length, whose round ends are dots, each told from the one before it: few characters a dot."""
    return "".join(_moves(dots))


def _moves(dots: Sequence[_Dot]) -> Iterator[str]:
    before = (0, 0)
    for x, y in dots:
        across, down = x - before[0], y - before[1]
        yield f"m{across}{'' if down < 0 else ','}{down}h0"
        before = (x, y)


def _span(degrees: Sequence[float]) -> tuple[float, float]:
    """From the first to the last, less what lies so far out that it would shrink all else to a dot."""
    middle = median(degrees)
    distances = sorted(abs(degree - middle) for degree in degrees)
    usual = distances[ceil(0.9 * (len(distances) - 1))]
    farthest = max(_BEYOND * usual, _SMALLEST_SPAN)
    shown = [degree for degree in degrees if abs(degree - middle) <= farthest]
    lacking = max(_SMALLEST_SPAN - (max(shown) - min(shown)), 0.0) / 2
    return min(shown) - lacking, max(shown) + lacking


def _scale_bar(units_a_km: float) -> str:
    kilometres = max((each for each in _SCALES_KM if each * units_a_km <= _WIDTH / 4), default=_SCALES_KM[0])
    length, y = round(kilometres * units_a_km), _MAP_HEIGHT - 2
    return f"<path stroke='gray' d='M2,{y}h{length}'/>{_label(length + 4, y + 1, f'{kilometres:g} km')}"


def _age_scale(highest_s: float) -> int:
    return next((each for each in _AGE_SCALES_S if each >= highest_s), _AGE_SCALES_S[-1])


def _chart_frame(scale_s: int, now: datetime) -> str:
    return (
        f"<path stroke='gray' stroke-width='.3' d='M{_LEFT},{_TOP}h{_CHART_WIDTH}m0,{_BOTTOM - _TOP}h-{_CHART_WIDTH}'/>"
        f"{_label(0, _TOP + 2, f'{scale_s} s')}{_label(0, _BOTTOM + 1, '0')}"
        f"{_label(_LEFT, _BOTTOM + 7, f'{KEPT_MINUTES // 60} h before')}"
        f"{_label(_LEFT + _CHART_WIDTH - 22, _BOTTOM + 7, f'{now.astimezone(UTC):%H:%M} UTC')}"
    )


def _steps(minutes: Sequence[MinuteOfAges], this_minute: int, column_minutes: int) -> str:
    """The area below the highest ages; where nothing was published it has no height."""
    scale_s = _age_scale(max(one.highest_s for one in minutes))
    columns = [0] * (KEPT_MINUTES // column_minutes)
    for one in minutes:
        height = round((_BOTTOM - _TOP) * min(max(one.highest_s, 0.0), scale_s) / scale_s)
        column = (KEPT_MINUTES - 1 - this_minute + one.minute) // column_minutes
        # A publication without an age is one all the same.
        columns[column] = max(columns[column], height, 1)
    path, before = [f"M{_LEFT},{_BOTTOM}"], 0
    width = _CHART_WIDTH * column_minutes // KEPT_MINUTES
    across = 0
    for height in columns:
        if height != before:
            path.append((f"h{across}" if across else "") + f"v{before - height}")
            before, across = height, 0
        across += width
    path.append(f"h{across}V{_BOTTOM}")
    return f"<path fill='{_ON_TRIP}' d='{''.join(path)}'/>"


def _label(x: int, y: int, text: str) -> str:
    return f"<text x='{x}' y='{y}'>{text}</text>"


def _svg(height: int, inside: str) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_PIXELS}' viewBox='0 0 {_WIDTH} {height}' fill='gray' "
        f"style='font:4px sans-serif'>{inside}</svg>"
    )
