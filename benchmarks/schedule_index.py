"""How much CPU time does a realtime run spend on the index of the published schedule?

Each round reads the index as a run does, in which nothing is known of it yet: counts the trips under way, looks up
300 ids, lists the runs under way. Beside it the same content as gzipped JSON is parsed and its ids made a set.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import orjson
from schedule_measuring import data_path, options
from tables import median, print_table
from zlib_ng import zlib_ng

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.gtfs.trip_runs import clock_time, runs_under_way
from continuous_gtfs.testing import csv_text, small_feed

TRIPS = 300_000
SERVICES = 40
IDS = 300


def large_feed() -> Feed:
    """So many trips of two stops, from 04:00 to 26:30, on services that run every day."""
    draw = random.Random(1)
    trips, times = [], []
    for number in range(TRIPS):
        trip_id = f"{50_000_000 + 7 * number}-SVC{number % SERVICES:02}-Weekday-{number % 13}"
        trips.append(f"R{number % 500},S{number % SERVICES:02},{trip_id},{number % 2}")
        start = draw.randrange(4 * 60, 25 * 60) * 60
        end = start + draw.randrange(10, 90) * 60
        times += [f"{trip_id},{clock_time(start)},M,1", f"{trip_id},{clock_time(end)},N,2"]
    return small_feed(
        replaced={
            "trips.txt": csv_text("route_id,service_id,trip_id,direction_id", *trips),
            "stop_times.txt": csv_text(
                "trip_id,arrival_time,stop_id,stop_sequence,departure_time", *(f"{row}," for row in times)
            ),
            "calendar.txt": csv_text(
                "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date",
                *(f"S{number:02},1,1,1,1,1,1,1,20260101,20261231" for number in range(SERVICES)),
            ),
        }
    )


def main() -> None:
    rounds = options(__doc__).rounds
    subjects = {f"{TRIPS:,} trips made for this": (large_feed(), "2026-06-10T17:00:00+00:00")}
    path = data_path("sound_transit_2024-11/schedule.zip")
    if path is not None:
        subjects["sound_transit_2024-11"] = Feed.from_bytes(path.read_bytes()), "2024-12-10T17:00:00+00:00"
    rows = [row for name, (feed, now) in subjects.items() for row in _rows(name, feed, now, rounds)]
    columns = ("index", "kB", "read and count", f"and look up {IDS} ids", "and list runs", "as JSON, parsed only")
    print_table(f"Schedule index: CPU ms (n = {rounds}, medians)", columns, rows)


def _rows(name: str, feed: Feed, now: str, rounds: int) -> list[list[str]]:
    data, at = build_schedule_index(feed), datetime.fromisoformat(now)
    index = ScheduleIndex.from_bytes(data)
    ids = random.Random(2).sample(list(index.trips), IDS)
    plain = zlib_ng.compress(orjson.dumps({trip_id: list(trip) for trip_id, trip in index.trips.items()}), 6)

    def count() -> ScheduleIndex:
        read = ScheduleIndex.from_bytes(data)
        read.trips_running_at(at)
        return read

    def look_up() -> ScheduleIndex:
        read = count()
        assert all(map(read.is_known_trip, ids))
        return read

    def list_runs() -> None:
        runs_under_way(look_up(), at, started_for=timedelta(minutes=10))

    def parse() -> None:
        assert set(orjson.loads(zlib_ng.decompress(plain))) >= set(ids)

    measured = [f"{_cpu_ms(act, rounds):.1f}" for act in (count, look_up, list_runs, parse)]
    return [[name, f"{len(data) / 1000:,.0f}", *measured]]


def _cpu_ms(act: Callable[[], object], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        started = time.process_time()
        act()
        spent.append((time.process_time() - started) * 1000)
    return median(spent)


if __name__ == "__main__":
    main()
