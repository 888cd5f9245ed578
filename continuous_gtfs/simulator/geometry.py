"""Points on the earth and lines through them: distances, bearings, smooth curves. No transit words here.

Everything is done in a local flat projection (equirectangular around the mean latitude of the two points),
which is off by less than a metre over the tens of kilometres that an agency spans.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

METRES_PER_DEGREE = 111_320.0

Point = tuple[float, float]  # latitude, longitude in degrees


def _metres_between(a: Point, b: Point) -> tuple[float, float]:
    north = (b[0] - a[0]) * METRES_PER_DEGREE
    east = (b[1] - a[1]) * METRES_PER_DEGREE * math.cos(math.radians((a[0] + b[0]) / 2))
    return north, east


def distance_m(a: Point, b: Point) -> float:
    """Metres from ``a`` to ``b`` in a straight line."""
    return math.hypot(*_metres_between(a, b))


def bearing_deg(a: Point, b: Point) -> float:
    """Direction from ``a`` to ``b`` in degrees clockwise from north, at least 0 and less than 360."""
    north, east = _metres_between(a, b)
    return math.degrees(math.atan2(east, north)) % 360.0


def moved_east(point: Point, east_m: float) -> Point:
    """``point`` moved ``east_m`` metres east, rounded like a feed's coordinates."""
    degrees = east_m / (METRES_PER_DEGREE * math.cos(math.radians(point[0])))
    return point[0], round(point[1] + degrees, 6)


@dataclass(frozen=True)
class Path:
    """A line of points with the distance travelled at each, and the points at which something stands.

    Attributes:
        points: Rounded to the six decimals that a feed carries, so that a vehicle and the published shape
            lie on one line.
        anchors: For each waypoint that the path was drawn through, its index in ``points``.
    """

    points: tuple[Point, ...]
    anchors: tuple[int, ...]

    @cached_property
    def distances_m(self) -> tuple[float, ...]:
        """Metres travelled at each point, strictly increasing from 0."""
        travelled = [0.0]
        for a, b in pairwise(self.points):
            travelled.append(travelled[-1] + distance_m(a, b))
        return tuple(travelled)

    @cached_property
    def anchor_distances_m(self) -> tuple[float, ...]:
        """Metres travelled at each waypoint."""
        return tuple(self.distances_m[index] for index in self.anchors)

    def at(self, travelled_m: float) -> tuple[Point, float]:
        """The point ``travelled_m`` along the path and the bearing there; clamped to the path's ends."""
        distances = self.distances_m
        index = min(max(bisect_right(distances, travelled_m) - 1, 0), len(self.points) - 2)
        a, b = self.points[index], self.points[index + 1]
        share = (travelled_m - distances[index]) / (distances[index + 1] - distances[index])
        share = min(max(share, 0.0), 1.0)
        return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share), bearing_deg(a, b)

    def reversed(self) -> Path:
        """The same line travelled the other way."""
        last = len(self.points) - 1
        return Path(self.points[::-1], tuple(last - index for index in reversed(self.anchors)))


def curve_through(waypoints: Sequence[Point], *, spacing_m: float = 400.0) -> Path:
    """A smooth path (Catmull-Rom) through all ``waypoints``, about one point every ``spacing_m``."""
    padded = [waypoints[0], *waypoints, waypoints[-1]]
    points: list[Point] = []
    anchors: list[int] = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        anchors.append(len(points))
        parts = max(2, round(distance_m(p1, p2) / spacing_m))
        points.extend(_catmull_rom(p0, p1, p2, p3, part / parts) for part in range(parts))
    anchors.append(len(points))
    points.append((round(waypoints[-1][0], 6), round(waypoints[-1][1], 6)))
    return Path(tuple(points), tuple(anchors))


def _catmull_rom(p0: Point, p1: Point, p2: Point, p3: Point, t: float) -> Point:
    def axis(a: float, b: float, c: float, d: float) -> float:
        return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3)

    return (round(axis(p0[0], p1[0], p2[0], p3[0]), 6), round(axis(p0[1], p1[1], p2[1], p3[1]), 6))
