"""The generated network."""

from __future__ import annotations

import pytest

from continuous_gtfs.simulator.geometry import distance_m
from continuous_gtfs.simulator.network import STATIONS_NOT_OPEN, build_network


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_stop_stands_beside_its_shape(seed: int) -> None:
    for pattern in build_network(seed=seed, scale=2).patterns:
        for stop, travelled_m in zip(pattern.stops, pattern.path.anchor_distances_m, strict=True):
            assert distance_m(stop.point, pattern.path.at(travelled_m)[0]) < 20


def test_stations_not_open_are_served_by_the_two_line_and_by_nothing_else() -> None:
    network = build_network(seed=1, scale=1)
    stops = {stop.stop_id: stop for stop in network.stops}
    for station in STATIONS_NOT_OPEN:
        assert stops[station].is_station
        assert {stops[f"{station}-{platform}"].parent for platform in ("T1", "T2")} == {station}
    serving = {
        (pattern.route.route_id, stop.stop_id)
        for pattern in network.patterns
        for stop in pattern.stops
        if stop.place in STATIONS_NOT_OPEN
    }
    assert serving == {("2LINE", stop_id) for stop_id in ("E01-T1", "E01-T2", "E07-T1", "E07-T2")}


def test_the_seed_draws_the_buses_and_leaves_the_rail() -> None:
    one, two = build_network(seed=1, scale=1), build_network(seed=2, scale=1)
    assert one.patterns[:10] == two.patterns[:10]
    assert one.patterns[10:] != two.patterns[10:]


def test_scale_multiplies_the_express_routes_and_keeps_those_there_were() -> None:
    one, three = build_network(seed=1, scale=1), build_network(seed=1, scale=3)
    assert three.routes[: len(one.routes)] == one.routes
    assert len(three.routes) - len(one.routes) == 10


@pytest.mark.parametrize("seed", range(1, 20))
def test_the_night_bus_is_long_enough_for_two_buses_each_way(seed: int) -> None:
    night = [p for p in build_network(seed=seed, scale=1).patterns if p.route.route_id == "OWL"]
    assert len(night) == 2
    assert all(pattern.duration_s >= 2 * 20 * 60 for pattern in night)
