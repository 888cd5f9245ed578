"""Vehicles on the move."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from continuous_gtfs.simulator.agency import GeneratedAgency
from continuous_gtfs.simulator.movement import VehicleState
from continuous_gtfs.simulator.service_days import EVENT, service_day_origin
from continuous_gtfs.simulator.timetable import LONGEST_DELAY_S

AGENCY = GeneratedAgency(seed=1)
SEATTLE = ZoneInfo("America/Los_Angeles")
EVENING_PEAK = datetime(2026, 10, 28, 17, 30, tzinfo=SEATTLE)


def histories(start: datetime, *, minutes: float, every_s: int) -> dict[tuple[str, date], list[VehicleState]]:
    """The states of each trip over successive snapshots."""
    found: dict[tuple[str, date], list[VehicleState]] = {}
    instant = start.astimezone(UTC)
    for number in range(int(minutes * 60 / every_s)):
        for state in AGENCY.states(instant + timedelta(seconds=number * every_s)):
            found.setdefault((state.trip.trip_id, state.service_date), []).append(state)
    return found


def test_vehicles_only_move_forward_and_do_move() -> None:
    seen = histories(EVENING_PEAK, minutes=100, every_s=20)
    finished = [
        states
        for states in seen.values()
        if states[-1].travelled_m > states[-1].trip.pattern.path.distances_m[-1] * 0.97
    ]
    assert len(finished) > 80
    for states in seen.values():
        for before, after in pairwise(states):
            assert after.travelled_m >= before.travelled_m
            assert after.stop_index >= before.stop_index
            assert abs(after.delay_s - before.delay_s) < 10
            assert after.travelled_m - before.travelled_m < 20 * 45
    assert max(len({state.travelled_m for state in states}) for states in seen.values()) > 100


def test_a_trip_is_reported_from_its_start_until_it_is_at_its_last_stop() -> None:
    seen = histories(EVENING_PEAK, minutes=100, every_s=20)
    whole = [
        states
        for (_, service_date), states in seen.items()
        if EVENING_PEAK.timestamp() < service_day_origin(service_date) + states[0].trip.start_s
        and service_day_origin(service_date) + states[0].trip.end_s + 300 < EVENING_PEAK.timestamp() + 6000
    ]
    assert len(whole) > 20
    for states in whole:
        assert states[0].is_stopped
        assert states[0].stop_index == 0
        assert len(states) >= states[0].trip.pattern.duration_s // 20 - 1
        assert {state.stop_index for state in states} == set(range(len(states[0].trip.pattern.stops)))


def test_a_prediction_comes_true_at_the_moment_it_names() -> None:
    """Whoever stands at a stop has arrived when scheduled time + delay said, within a snapshot's grain."""
    arrivals = 0
    for states in histories(EVENING_PEAK, minutes=40, every_s=5).values():
        for before, after in pairwise(states):
            if after.is_stopped and not before.is_stopped:
                due = after.origin + after.trip.start_s + after.trip.pattern.arrivals_s[after.stop_index]
                assert after.observed_at - 7 <= due + after.delay_s <= after.observed_at + 1
                arrivals += 1
    assert arrivals > 200


def test_delays_differ_between_trips_and_stay_in_bounds() -> None:
    delays = [states[-1].delay_s for states in histories(EVENING_PEAK, minutes=30, every_s=60).values()]
    assert min(delays) >= 0
    assert 60 < max(delays) <= LONGEST_DELAY_S
    assert len(set(delays)) > 20


def test_a_vehicle_stands_at_a_platform_or_is_between_the_stops_it_says() -> None:
    states = AGENCY.states(EVENING_PEAK)
    assert {state.is_stopped for state in states} == {True, False}
    for state in states:
        metres = state.trip.pattern.path.anchor_distances_m
        if state.is_stopped:
            assert state.travelled_m == metres[state.stop_index]
        else:
            assert metres[state.stop_index - 1] <= state.travelled_m < metres[state.stop_index]
            assert 0 <= state.bearing < 360


def test_after_midnight_the_trips_of_the_night_carry_yesterdays_date() -> None:
    states = AGENCY.states(datetime(2026, 10, 29, 1, 15, tzinfo=SEATTLE))
    assert {state.service_date for state in states} == {date(2026, 10, 28)}
    assert any(state.trip.pattern.route.route_id == "100479" for state in states)
    assert all(state.trip.start_s > 23 * 3600 for state in states)


def test_the_night_before_a_saturday_is_fridays_service() -> None:
    states = AGENCY.states(datetime(2026, 10, 31, 1, 0, tzinfo=SEATTLE))
    assert {state.trip.service_id for state in states} == {"WEEKDAY"}


def test_event_trains_run_on_event_nights_only() -> None:
    event_night = AGENCY.states(datetime(2026, 11, 7, 23, 0, tzinfo=SEATTLE))
    other_night = AGENCY.states(datetime(2026, 11, 14, 23, 0, tzinfo=SEATTLE))
    assert EVENT in {state.trip.service_id for state in event_night}
    assert EVENT not in {state.trip.service_id for state in other_night}


@pytest.mark.parametrize(
    "day", [date(2026, 10, 28), date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 26), date(2027, 3, 14)]
)
def test_at_every_quarter_of_every_hour_at_least_four_vehicles_run_and_none_is_on_two_trips(day: date) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=SEATTLE).astimezone(UTC)
    for quarter in range(25 * 4):
        states = AGENCY.states(midnight + timedelta(minutes=15 * quarter))
        assert len(states) >= 4, quarter
        assert len({state.trip.vehicle_id for state in states}) == len(states), quarter


@pytest.mark.parametrize(
    ("day", "first_train"),
    [
        (date(2026, 10, 31), "SATURDAY_100479_0_1001"),
        (date(2026, 11, 1), "SUNDAY_100479_0_1001"),
        (date(2027, 3, 14), "SUNDAY_100479_0_1001"),
    ],
    ids=["ordinary day", "clocks go back", "clocks go forward"],
)
def test_the_first_train_leaves_at_a_quarter_past_four_by_the_clock_on_the_wall(day: date, first_train: str) -> None:
    departure = datetime(day.year, day.month, day.day, 4, 15, tzinfo=SEATTLE)
    before = {state.trip.trip_id for state in AGENCY.states(departure - timedelta(seconds=1))}
    after = {state.trip.trip_id for state in AGENCY.states(departure)}
    assert first_train in after - before


def test_a_time_without_a_timezone_names_no_instant() -> None:
    with pytest.raises(ValueError, match="timezone-aware"):
        AGENCY.states(datetime(2026, 10, 28, 12))
