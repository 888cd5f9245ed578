"""Runs of trips: a trip on one of its service days. Which are under way, which one a realtime feed means, when it ends.

A trip_id alone names a trip of every day on which its service runs. A realtime feed adds ``start_date`` (or leaves it
to be guessed from the time of day) and, for a trip of frequencies.txt, ``start_time``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from continuous_gtfs.gtfs.schedule_index import RepeatedTrip, ScheduleIndex
from continuous_gtfs.gtfs.times import DAY_S, SERVICE_DAY_BEGINS, service_day_at, service_day_start, time_of_day_s

_BEGINS_S = SERVICE_DAY_BEGINS.hour * 3600


class TripRun(NamedTuple):
    """One run, ``start_s`` and ``end_s`` in seconds since the start of its service day.

    Attributes:
        repeats: It is one of the runs of a trip of frequencies.txt, told from the others by its start.
    """

    trip_id: str
    service_date: date
    start_s: int
    end_s: int
    repeats: bool = False


def service_day(index: ScheduleIndex, now: datetime) -> date:
    """The service day that is under way: today by the agency's clock from 04:00 on, before it yesterday."""
    return service_day_at(now, index.timezone)


def service_date_of(index: ScheduleIndex, trip_id: str, now: datetime) -> date:
    """The service day that is meant where a feed names a trip without its date.

    Today by the agency's clock from 04:00 on, before it yesterday; but between midnight and 04:00 a trip whose own
    times begin before 04:00 is today's, since yesterday's run of it has been over for a day. If the trip does not run
    on that day and does on the other, the other is meant.
    """
    today, yesterday = now.astimezone(index.timezone).date(), service_day(index, now)
    if today == yesterday:
        return today
    trip = index.trips.get(trip_id)
    begins_early = trip is not None and trip.start_s is not None and trip.start_s < _BEGINS_S
    meant, other = (today, yesterday) if begins_early else (yesterday, today)
    return other if index.runs_on(trip_id, other) and not index.runs_on(trip_id, meant) else meant


def nearest_service_date(index: ScheduleIndex, trip_id: str, now: datetime) -> date:
    """The service day whose run of a known trip is under way at ``now``, or else the nearest in time.

    It changes only between two runs, far from both, while ``service_date_of`` changes at 04:00 or at midnight, maybe
    amid a run. Where the trip runs on none of the days around, or has no times, it is ``service_date_of``.
    """
    meant, trip = service_date_of(index, trip_id, now), index.trips[trip_id]
    start_s, end_s = trip.start_s, trip.end_s
    if start_s is None or end_s is None:
        return meant

    def away_s(day: date) -> float:
        second = (now - service_day_start(day, index.timezone)).total_seconds()
        return max(start_s - second, second - end_s, 0.0)

    days = (meant + timedelta(days=offset) for offset in (0, -1, 1))
    return min((day for day in days if index.runs_on(trip_id, day)), key=away_s, default=meant)


def ends_at(index: ScheduleIndex, trip_id: str, service_date: date, start_time: str) -> datetime | None:
    """When a run is over by the schedule, as an instant in UTC; None where the schedule does not say.

    Whether the trip is scheduled on that date is not asked: its times say when it would be over.

    Args:
        start_time: As the feed has it, ``""`` if it has none. It tells the run of a trip of frequencies.txt; without
            it the last of its runs is meant.
    """
    trip = index.trips.get(trip_id)
    if trip is None or trip.end_s is None:
        return None
    end_s = trip.end_s
    repeated = index.repeated_trips.get(trip_id)
    if repeated is not None and (start_s := time_of_day_s(start_time)) is not None:
        end_s = start_s + repeated.length_s
    return service_day_start(service_date, index.timezone) + timedelta(seconds=end_s)


def runs_under_way(index: ScheduleIndex, now: datetime, *, started_for: timedelta) -> tuple[list[TripRun], int]:
    """The runs that began at least ``started_for`` ago and are not over; each day's in the order of the trip_ids.

    Returns:
        The runs; and how many trips are under way of which no single run can be told, since frequencies.txt gives
        their headway only (``exact_times=0``).
    """
    days: dict[int, list[tuple[date, int]]] = {}
    for service_date, second in index.service_days_reaching(now):
        for code in index.services_on(service_date):
            days.setdefault(code, []).append((service_date, second))
    seconds = [second for several in days.values() for _, second in several]
    if not seconds:
        return [], 0
    delay_s = int(started_for.total_seconds())
    latest_start, earliest_end = max(seconds) - delay_s, min(seconds)
    runs: list[TripRun] = []
    inexact = 0
    trips, repeated = index.trips, index.repeated_trips
    columns = zip(trips.services, trips.starts, trips.ends, strict=True)
    # Most of a schedule is not under way; a trip without times ends at -1, before any second of a day.
    candidates = [
        (position, code, start_s, end_s)
        for position, (code, start_s, end_s) in enumerate(columns)
        if start_s <= latest_start and end_s > earliest_end and code in days
    ]
    for position, code, start_s, end_s in candidates:
        for service_date, second in days[code]:
            if not start_s + delay_s <= second < end_s:
                continue
            trip_id = trips.ids[position]
            if trip_id not in repeated:
                runs.append(TripRun(trip_id, service_date, start_s, end_s))
            elif repeated[trip_id].is_exact:
                runs += _repeats(repeated[trip_id], trip_id, service_date, second - delay_s, second)
            else:
                inexact += 1
    runs.sort(key=lambda run: (run.service_date, run.trip_id, run.start_s))
    return runs, inexact


def may_mean(run: TripRun, start_date: str, start_time: str) -> bool:
    """Whether a reference to the run's trip, as a feed has it (``""`` for what it leaves out), may mean this run.

    For a run that begins after midnight the date of the calendar is let pass for that of the service day: not every
    vendor knows the difference, and the same trip a day later is no reason to think that this one does not run.
    """
    if start_date:
        dates = {run.service_date}
        if run.start_s >= DAY_S:
            dates.add(run.service_date + timedelta(days=run.start_s // DAY_S))
        if start_date not in {f"{day:%Y%m%d}" for day in dates}:
            return False
    if run.repeats and (start_s := time_of_day_s(start_time)) is not None:
        return start_s == run.start_s
    return True


def clock_time(second: int) -> str:
    """Seconds since the start of a service day as ``HH:MM:SS``; hours may pass 24."""
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def _repeats(trip: RepeatedTrip, trip_id: str, service_date: date, latest_start: int, second: int) -> Iterator[TripRun]:
    """Of a trip that repeats at known times, the runs begun by ``latest_start`` and not over at ``second``."""
    starts: set[int] = set()
    for window in trip.windows:
        starts.update(range(window.start_s, window.end_s, window.headway_s))
    for start_s in sorted(starts):
        if start_s <= latest_start and second < start_s + trip.length_s:
            yield TripRun(trip_id, service_date, start_s, start_s + trip.length_s, repeats=True)
