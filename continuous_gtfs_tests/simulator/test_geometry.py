"""Lines on the map."""

from __future__ import annotations

from itertools import pairwise

import pytest

from continuous_gtfs.simulator.geometry import bearing_deg, curve_through, distance_m, moved_east

BEND = [(47.60, -122.33), (47.65, -122.33), (47.65, -122.20)]


@pytest.mark.parametrize(
    ("to", "bearing"),
    [((48.0, -122.0), 0), ((47.0, -121.0), 90), ((46.0, -122.0), 180), ((47.0, -123.0), 270)],
)
def test_bearings_are_clockwise_from_north(to: tuple[float, float], bearing: float) -> None:
    assert bearing_deg((47.0, -122.0), to) == pytest.approx(bearing, abs=0.01)


def test_a_degree_of_longitude_is_shorter_than_one_of_latitude() -> None:
    assert distance_m((47.0, -122.0), (48.0, -122.0)) == pytest.approx(111_320, rel=1e-3)
    assert distance_m((47.5, -122.0), (47.5, -121.0)) == pytest.approx(75_208, rel=1e-3)


def test_moving_east_is_the_distance_asked_for() -> None:
    assert distance_m((47.6, -122.3), moved_east((47.6, -122.3), 30.0)) == pytest.approx(30, abs=0.1)


def test_a_curve_passes_through_its_waypoints_and_only_goes_forward() -> None:
    path = curve_through(BEND)
    assert [path.points[index] for index in path.anchors] == BEND
    assert all(a < b for a, b in pairwise(path.distances_m))
    assert len(path.points) > 10


def test_a_reversed_path_is_the_same_line_the_other_way() -> None:
    path = curve_through(BEND)
    back = path.reversed()
    assert back.points == path.points[::-1]
    assert [back.points[index] for index in back.anchors] == BEND[::-1]
    assert back.distances_m[-1] == pytest.approx(path.distances_m[-1])


def test_a_place_on_a_path_lies_at_its_distance_and_past_the_end_at_the_end() -> None:
    path = curve_through(BEND)
    assert path.at(path.anchor_distances_m[1])[0] == pytest.approx(BEND[1])
    halfway = (path.distances_m[3] + path.distances_m[4]) / 2
    point, _ = path.at(halfway)
    assert path.distances_m[3] + distance_m(path.points[3], point) == pytest.approx(halfway, abs=0.5)
    assert path.at(-5.0)[0] == pytest.approx(BEND[0])
    assert path.at(1e9)[0] == pytest.approx(BEND[-1])
