"""Where the generated agency runs: stops, routes and the patterns (ordered stops on a shape) of each route.

The rail lines are written down here; the express buses are drawn from the seed, ``BUS_ROUTES * scale`` of
them, between the stations. All places are invented. Times of day belong to ``timetable``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from continuous_gtfs.simulator.geometry import Path, Point, curve_through, distance_m, moved_east

BUS_ROUTES = 5
"""Express bus routes at scale 1, the night bus not counted."""

STATIONS_NOT_OPEN = ("E01", "E07")
"""The vendor already schedules and reports these stations; the agency may not publish them yet."""

HUB_STATION = "C09"
"""Where light rail, commuter rail and most buses meet."""

NO_BREAK_SPACE = "\u00a0"


class Mode(StrEnum):
    """What decides how fast and how often a route runs; see ``timetable`` for the latter."""

    FREQUENT_RAIL = "frequent_rail"
    RAIL = "rail"
    TRAM = "tram"
    COMMUTER = "commuter"
    EXPRESS = "express"
    NIGHT = "night"


@dataclass(frozen=True, slots=True)
class Stop:
    """One row of stops.txt. ``parent`` is a station's stop_id or empty; a station has ``is_station``."""

    stop_id: str
    name: str
    point: Point
    parent: str = ""
    platform_code: str = ""
    is_station: bool = False

    @property
    def place(self) -> str:
        """What two platforms of one station have in common: where a vehicle can turn round."""
        return self.parent or self.stop_id


@dataclass(frozen=True, slots=True)
class Route:
    """One row of routes.txt."""

    route_id: str
    short_name: str
    long_name: str
    route_type: int
    color: str
    text_color: str
    mode: Mode


@dataclass(frozen=True)
class Pattern:
    """A route in one direction: its stops, its shape and the seconds from the start at each stop.

    ``arrivals_s`` and ``departures_s`` count from the departure at the first stop, which is 0.
    """

    route: Route
    direction_id: int
    headsign: str
    stops: tuple[Stop, ...]
    path: Path
    arrivals_s: tuple[int, ...]
    departures_s: tuple[int, ...]

    @property
    def shape_id(self) -> str:
        return f"{self.route.route_id}_{self.direction_id}_shp"

    @property
    def duration_s(self) -> int:
        return self.arrivals_s[-1]


@dataclass(frozen=True)
class Network:
    """The whole agency on the map."""

    stops: tuple[Stop, ...]
    routes: tuple[Route, ...]
    patterns: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """A station or a street stop before it has platforms."""

    code: str
    name: str
    point: Point


_HUB = _Place(HUB_STATION, "Harbor Hub", (47.5982, -122.3281))
_ONE_LINE = (
    _Place("N23", "Cedar Terrace", (47.8158, -122.2947)),
    _Place("N19", "Alder Creek", (47.7853, -122.3151)),
    _Place("N15", f"Heron{NO_BREAK_SPACE}Lake", (47.7341, -122.3244)),
    _Place("N11", "Northmoor", (47.7031, -122.3279)),
    _Place("N07", "College  District", (47.6604, -122.3142)),
    _Place("C03", "Union Hill", (47.6192, -122.3204)),
    _Place("C05", "Market Square", (47.6112, -122.3367)),
    _HUB,
    _Place("S03", "Foundry  Flats", (47.5798, -122.3272)),
    _Place("S07", "Orchard Valley", (47.5384, -122.2816)),
    _Place("S11", f"Airfield{NO_BREAK_SPACE}Terminal", (47.4451, -122.2968)),
    _Place("S15", "Kestrel Point", (47.3874, -122.2945)),
)
_TWO_LINE = (
    _HUB,
    _Place("E01", "Juniper Park", (47.5903, -122.3021)),
    _Place("E03", "Isle Crossing", (47.5886, -122.2331)),
    _Place("E05", "South Belmont", (47.5865, -122.1906)),
    _Place("E07", f"East{NO_BREAK_SPACE}Belmont", (47.6083, -122.1911)),
    _Place("E09", "Belmont Downtown", (47.6155, -122.1920)),
    _Place("E11", "Wilder", (47.6181, -122.1837)),
    _Place("E13", "Spruce District", (47.6243, -122.1785)),
    _Place("E15", "Redfern Tech", (47.6445, -122.1337)),
)
_TRAM = (
    _Place("T10", "Tidewater Dome", (47.2397, -122.4281)),
    _Place("T20", "Cannery Row", (47.2429, -122.4347)),
    _Place("T30", "Museum Steps", (47.2463, -122.4381)),
    _Place("T40", "Commerce  Street", (47.2542, -122.4402)),
    _Place("T50", "Old Brewery", (47.2587, -122.4460)),
    _Place("T60", "Hilltop Clinic", (47.2523, -122.4530)),
)
_N_LINE = (
    _Place("R40", "Everly", (47.9754, -122.1975)),
    _Place("R30", "Mullan Harbor", (47.9487, -122.2998)),
    _Place("R20", "Edgewater Beach", (47.8110, -122.3842)),
    _HUB,
)
_S_LINE = (
    _HUB,
    _Place("R12", "Green Bend", (47.4603, -122.2404)),
    _Place("R14", "Kentfield", (47.3842, -122.2334)),
    _Place("R16", f"Sumner{NO_BREAK_SPACE}Fields", (47.2024, -122.2445)),
    _Place("R18", "Puyola", (47.1928, -122.2961)),
    _Place("R22", "Tidewater Junction", (47.2391, -122.4253)),
)
_LINES = (
    (
        Route("100479", "1 Line", "Cedar Terrace - Kestrel Point", 0, "28813F", "FFFFFF", Mode.FREQUENT_RAIL),
        _ONE_LINE,
    ),
    (Route("2LINE", "2 Line", "Harbor Hub - Redfern Tech", 0, "007CAD", "FFFFFF", Mode.RAIL), _TWO_LINE),
    (Route("TLINE", "T Line", "Tidewater Dome - Hilltop Clinic", 0, "B34A00", "FFFFFF", Mode.TRAM), _TRAM),
    (Route("SNDR_EV", "N Line", "Everly - Harbor Hub", 2, "9AB6D3", "000000", Mode.COMMUTER), _N_LINE),
    (
        Route("SNDR_TL", "S Line", "Harbor Hub - Tidewater Junction", 2, "9AB6D3", "000000", Mode.COMMUTER),
        _S_LINE,
    ),
)

_METRES_PER_SECOND = {
    Mode.FREQUENT_RAIL: 15.0,
    Mode.RAIL: 13.0,
    Mode.TRAM: 6.5,
    Mode.COMMUTER: 20.0,
    Mode.EXPRESS: 12.5,
    Mode.NIGHT: 10.0,
}
_DWELL_S = 30
_MINIMUM_RUN_S = 60
_STREETS = (
    "Larch",
    "Maple",
    "Salmonberry",
    "Thistle",
    "Beacon",
    "Quarry",
    "Ferry",
    "Granite",
    "Yarrow",
    "Lupine",
)
_KINDS = ("St", "Ave", "Way", "Rd", "Blvd")


def build_network(*, seed: int, scale: int) -> Network:
    """The network of ``seed``; rail is the same for every seed, buses are drawn from it."""
    stops: dict[str, Stop] = {}
    routes: list[Route] = []
    patterns: list[Pattern] = []
    for route, places in _LINES:
        routes.append(route)
        patterns.extend(_rail_patterns(route, places, stops))
    hubs = tuple(place for _, places in _LINES for place in places if place.code not in STATIONS_NOT_OPEN)
    for number in range(BUS_ROUTES * scale + 1):
        route, bus_patterns = _bus_route(number, hubs, stops, random.Random(f"{seed}/bus/{number}"))
        routes.append(route)
        patterns.extend(bus_patterns)
    return Network(tuple(stops.values()), tuple(routes), tuple(patterns))


def _add(stops: dict[str, Stop], stop: Stop) -> Stop:
    return stops.setdefault(stop.stop_id, stop)


def _child(stops: dict[str, Stop], place: _Place, suffix: str, east_m: float) -> Stop:
    """A platform or bay ``east_m`` beside the middle of the station, which is made on first use."""
    _add(stops, Stop(place.code, f"{place.name} Station", place.point, is_station=True))
    point = moved_east(place.point, east_m)
    code = f"{place.code}-{suffix}"
    return _add(stops, Stop(code, f"{place.name} Station", point, place.code, suffix))


def _rail_patterns(route: Route, places: Sequence[_Place], stops: dict[str, Stop]) -> list[Pattern]:
    if route.mode is Mode.TRAM:
        both = [_add(stops, Stop(place.code, place.name, place.point)) for place in places]
        platforms = (both, both)
    elif route.mode is Mode.COMMUTER:
        # The hub's commuter trains have their own platform beside the light rail.
        both = [_child(stops, place, "T3" if place is _HUB else "T1", 12.0) for place in places]
        platforms = (both, both)
    else:
        platforms = (
            [_child(stops, place, "T1", 6.0) for place in places],
            [_child(stops, place, "T2", -6.0) for place in places],
        )
    path = curve_through([place.point for place in places])
    return [
        _pattern(route, 0, places[-1].name, platforms[0], path),
        _pattern(route, 1, places[0].name, platforms[1][::-1], path.reversed()),
    ]


def _bus_route(
    number: int, hubs: Sequence[_Place], stops: dict[str, Stop], rng: random.Random
) -> tuple[Route, list[Pattern]]:
    """Bus route ``number``; number 0 is the night bus, which must be long enough to fill the night."""
    is_night = number == 0
    shortest_m, longest_m = (30_000.0, 42_000.0) if is_night else (12_000.0, 45_000.0)
    while True:
        start, end = rng.sample(hubs, 2)
        if shortest_m <= distance_m(start.point, end.point) <= longest_m:
            break
    streets = rng.sample(_STREETS, 4)
    halts = []
    for index in range(3):
        share = (index + 1) / 4
        halts.append(
            _Place(
                f"{number * 10 + index + 30000}",
                f"{streets[index]} {rng.choice(_KINDS)} at {streets[index + 1]} {rng.choice(_KINDS)}",
                (
                    round(start.point[0] + (end.point[0] - start.point[0]) * share + rng.uniform(-0.01, 0.01), 6),
                    round(
                        start.point[1] + (end.point[1] - start.point[1]) * share + rng.uniform(-0.015, 0.015),
                        6,
                    ),
                ),
            )
        )
    route = Route(
        "OWL" if is_night else f"X{500 + number}",
        "Night Owl" if is_night else f"{500 + number}",
        f"{start.name} - {end.name}",
        3,
        "1F2A44" if is_night else "00205B",
        "FFFFFF",
        Mode.NIGHT if is_night else Mode.EXPRESS,
    )
    served = [
        _bay(stops, start),
        *(_add(stops, Stop(halt.code, halt.name, halt.point)) for halt in halts),
        _bay(stops, end),
    ]
    path = curve_through([stop.point for stop in served])
    return route, [
        _pattern(route, 0, end.name, served, path),
        _pattern(route, 1, start.name, served[::-1], path.reversed()),
    ]


def _bay(stops: dict[str, Stop], place: _Place) -> Stop:
    """Where buses stop at ``place``: a bay of the station, or the tram's own stop."""
    if place.code in stops and not stops[place.code].is_station:
        return stops[place.code]
    return _child(stops, place, "B1", 30.0)


def _pattern(route: Route, direction_id: int, headsign: str, stops: Sequence[Stop], path: Path) -> Pattern:
    arrivals, departures = [0], [0]
    metres = path.anchor_distances_m
    for index in range(1, len(stops)):
        run_s = (metres[index] - metres[index - 1]) / _METRES_PER_SECOND[route.mode]
        arrivals.append(departures[-1] + max(_MINIMUM_RUN_S, round(run_s / 30) * 30))
        departures.append(arrivals[-1] + _DWELL_S)
    departures[-1] = arrivals[-1]
    return Pattern(
        route,
        direction_id,
        " ".join(headsign.split()),
        tuple(stops),
        path,
        tuple(arrivals),
        tuple(departures),
    )
