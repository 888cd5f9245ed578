"""Trips, blocks and revisions."""

from __future__ import annotations

from itertools import pairwise

import pytest

from continuous_gtfs.simulator.network import build_network
from continuous_gtfs.simulator.timetable import LONGEST_DELAY_S, Timetable, Trip, build_timetable

NETWORK = build_network(seed=1, scale=1)


def timetable(revision: int = 0) -> Timetable:
    return build_timetable(NETWORK, revision=revision)


def by_block(trips: Timetable) -> dict[str, list[Trip]]:
    blocks: dict[str, list[Trip]] = {}
    for trip in sorted(trips, key=lambda trip: trip.start_s):
        blocks.setdefault(trip.block_id, []).append(trip)
    return blocks


@pytest.mark.parametrize("revision", [0, 1, 7])
def test_a_block_is_one_vehicle_that_turns_round_where_it_is_and_never_runs_two_trips_at_once(
    revision: int,
) -> None:
    blocks = by_block(timetable(revision))
    assert max(map(len, blocks.values())) > 5
    for trips in blocks.values():
        assert len({(trip.vehicle_id, trip.service_id) for trip in trips}) == 1
        for before, after in pairwise(trips):
            assert after.start_s > before.end_s + LONGEST_DELAY_S
            assert before.pattern.stops[-1].place == after.pattern.stops[0].place


def test_trip_ids_are_unique_and_the_same_in_every_revision() -> None:
    ids = [trip.trip_id for trip in timetable()]
    assert len(ids) == len(set(ids))
    assert sorted(trip.trip_id for trip in timetable(3)) == sorted(ids)


def test_a_revision_moves_some_departures_by_a_minute() -> None:
    first = {trip.trip_id: trip.start_s for trip in timetable(1)}
    moved = [trip.start_s - first[trip.trip_id] for trip in timetable(2)]
    assert {abs(seconds) for seconds in moved} == {0, 60}
    assert 0.1 < sum(map(bool, moved)) / len(moved) < 0.3


def test_commuter_trains_run_on_weekdays_in_the_peaks_towards_work_and_home_again() -> None:
    commuter = [trip for trip in timetable() if trip.pattern.route.route_type == 2]
    assert {trip.service_id for trip in commuter} == {"WEEKDAY"}
    for trip in commuter:
        is_morning = trip.start_s < 12 * 3600
        assert (trip.pattern.headsign == "Harbor Hub") == is_morning
        assert 5.5 <= trip.start_s / 3600 < 9 or 15 <= trip.start_s / 3600 < 19


def test_the_service_day_begins_after_four_and_rail_ends_after_two_in_the_night() -> None:
    trips = list(timetable())
    rail = [trip for trip in trips if trip.pattern.route.route_type == 0]
    assert min(trip.start_s for trip in trips) >= 4 * 3600
    assert 26 * 3600 < max(trip.end_s for trip in rail) < 27 * 3600


def test_trips_started_are_those_between_both_bounds_inclusive() -> None:
    table = timetable()
    weekday = table.trips_by_service["WEEKDAY"]
    since_s, until_s = weekday[100].start_s, weekday[200].start_s
    found = table.trips_started("WEEKDAY", since_s=since_s, until_s=until_s)
    assert list(found) == [trip for trip in weekday if since_s <= trip.start_s <= until_s]
    assert {since_s, until_s} <= {trip.start_s for trip in found}
