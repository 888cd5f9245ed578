"""Where a trip's vehicle is at an instant. Pure functions of the timetable, a seed and the clock's reading.

A vehicle runs its timetable late: at time ``t`` it is where the timetable puts it at ``t - delay(t)``. The
delay starts at 0, never falls below 0 and never changes faster than the clock runs, so a vehicle only ever
moves forward, and the prediction ``scheduled time + delay`` comes true at the moment it names.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from continuous_gtfs.simulator.geometry import Point
from continuous_gtfs.simulator.service_days import service_dates_at, service_day_origin, service_ids_on
from continuous_gtfs.simulator.timetable import LONGEST_DELAY_S, Timetable, Trip

_LONGEST_REPORT_AGE_S = 12


@dataclass(frozen=True, slots=True)
class VehicleState:
    """One vehicle on one trip, as it was at ``observed_at``.

    Attributes:
        service_date: The trip's start_date; the day before for a trip past 24:00.
        origin: POSIX seconds of GTFS time 00:00:00 on that date.
        observed_at: POSIX seconds of the vehicle's own report, a few seconds before the snapshot.
        delay_s: Seconds behind the timetable.
        stop_index: Index in the pattern of the stop it stands at, or of the next one.
        is_stopped: Whether it stands there.
    """

    trip: Trip
    service_date: date
    origin: int
    observed_at: int
    delay_s: int
    stop_index: int
    is_stopped: bool
    travelled_m: float
    speed_mps: float
    point: Point
    bearing: float


def vehicle_states(timetable: Timetable, *, seed: int, now: datetime) -> Iterator[VehicleState]:
    """Every trip under way at ``now``: begun by the timetable and not yet at its last stop."""
    now_s = int(now.timestamp())
    for service_date in service_dates_at(now):
        origin = service_day_origin(service_date)
        clock_s = now_s - origin
        earliest = clock_s - timetable.longest_s - LONGEST_DELAY_S - _LONGEST_REPORT_AGE_S
        for service_id in service_ids_on(service_date):
            for trip in timetable.trips_started(service_id, since_s=earliest, until_s=clock_s):
                state = _state(trip, service_date, origin, clock_s, seed)
                if state is not None:
                    yield state


def _draw(seed: int, what: str) -> int:
    """A number of 32 bits that is the same for the same seed and words, in every process."""
    return zlib.crc32(what.encode(), seed & 0xFFFFFFFF)


def _delay_s(draw: int, running_s: float) -> float:
    """Seconds late after ``running_s`` seconds of a trip: a slow wave between 0 and the trip's own worst.

    Its steepest slope is pi * worst / period, at most 0.32, hence less than the clock's 1.
    """
    worst = 10 + (LONGEST_DELAY_S - 10) * (draw % 1000 / 1000) ** 2
    period = 2400 + draw // 1000 % 3000
    return worst * (1 - math.cos(2 * math.pi * running_s / period)) / 2


def _state(trip: Trip, service_date: date, origin: int, clock_s: int, seed: int) -> VehicleState | None:
    draw = _draw(seed, f"{trip.trip_id}/{service_date}")
    observed_s = clock_s - 1 - _draw(seed, trip.vehicle_id) % _LONGEST_REPORT_AGE_S
    running_s = max(0, observed_s - trip.start_s)
    delay = _delay_s(draw, running_s)
    progress_s = running_s - delay  # where in the pattern's own time the vehicle is
    pattern = trip.pattern
    if progress_s > pattern.duration_s:
        return None
    index = bisect_left(pattern.departures_s, progress_s)
    metres = pattern.path.anchor_distances_m
    if progress_s >= pattern.arrivals_s[index]:
        is_stopped, travelled, speed = True, metres[index], 0.0
    else:
        left_s = pattern.departures_s[index - 1]
        run_s = pattern.arrivals_s[index] - left_s
        share = (progress_s - left_s) / run_s
        length = metres[index] - metres[index - 1]
        # Smoothstep: gathers way from one stop and slows into the next.
        is_stopped, travelled = False, metres[index - 1] + length * share * share * (3 - 2 * share)
        speed = 6 * share * (1 - share) * length / run_s
    point, bearing = pattern.path.at(travelled)
    return VehicleState(
        trip=trip,
        service_date=service_date,
        origin=origin,
        observed_at=origin + observed_s,
        delay_s=round(delay),
        stop_index=index,
        is_stopped=is_stopped,
        travelled_m=travelled,
        speed_mps=speed,
        point=point,
        bearing=bearing,
    )
