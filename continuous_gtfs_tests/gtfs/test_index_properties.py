"""What the index counts and finds is what its schedule says, trip by trip and day by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.gtfs.times import service_day_start
from continuous_gtfs.gtfs.trip_runs import clock_time, runs_under_way, service_day
from continuous_gtfs_tests.builders import csv_text, feed_zip, small_feed_files

Window = tuple[int, int, int]
Run = tuple[date, str, int, int]


@dataclass(frozen=True)
class Schedule:
    """Times in seconds; windows as start, end and headway; the days on which service DAY runs."""

    times: dict[str, tuple[int, int]]
    windows: dict[str, list[Window]]
    dates: list[date]

    def index(self) -> ScheduleIndex:
        files = small_feed_files()
        del files["calendar.txt"]
        files["calendar_dates.txt"] = csv_text(
            "service_id,date,exception_type", *(f"DAY,{day:%Y%m%d},1" for day in self.dates)
        )
        files["trips.txt"] = csv_text("route_id,service_id,trip_id", *(f"7,DAY,{trip_id}" for trip_id in self.times))
        files["stop_times.txt"] = csv_text(
            "trip_id,arrival_time,departure_time,stop_id,stop_sequence",
            *(
                f"{trip_id},{clock_time(second)},{clock_time(second)},M,{number}"
                for trip_id, several in self.times.items()
                for number, second in enumerate(several, start=1)
            ),
        )
        files["frequencies.txt"] = csv_text(
            "trip_id,start_time,end_time,headway_secs,exact_times",
            *(
                f"{trip_id},{clock_time(start)},{clock_time(end)},{headway},1"
                for trip_id, several in self.windows.items()
                for start, end, headway in several
            ),
        )
        return ScheduleIndex.from_bytes(build_schedule_index(Feed.from_bytes(feed_zip(files))))

    def running(self, index: ScheduleIndex, now: datetime) -> int:
        """Trips of each day under way, the last moment included."""
        count = 0
        for day in self.dates:
            second = elapsed_s(index, day, now)
            for trip_id, (start, end) in self.times.items():
                spans = [(start, end)]
                if trip_id in self.windows:
                    spans = [(first, last + end - start) for first, last, _ in self.windows[trip_id]]
                count += any(first <= second <= last for first, last in spans)
        return count

    def runs(self, index: ScheduleIndex, now: datetime, delay_s: int) -> list[Run]:
        found: set[Run] = set()
        for day in self.dates:
            second = elapsed_s(index, day, now)
            for trip_id, (start, end) in self.times.items():
                starts = {start}
                if trip_id in self.windows:
                    starts = {s for first, last, headway in self.windows[trip_id] for s in range(first, last, headway)}
                for each in starts:
                    if each + delay_s <= second < each + end - start:
                        found.add((day, trip_id, each, each + end - start))
        return sorted(found)


def elapsed_s(index: ScheduleIndex, day: date, now: datetime) -> int:
    return int((now - service_day_start(day, index.timezone)).total_seconds())


hours = st.integers(0, 30 * 4).map(lambda quarters: quarters * 900)
windows = st.lists(
    st.tuples(hours, st.integers(0, 8), st.sampled_from([600, 900, 1700])).map(
        lambda drawn: (drawn[0], drawn[0] + drawn[1] * 900, drawn[2])
    ),
    min_size=1,
    max_size=3,
)
# Around the days on which the clocks of Seattle change.
days = st.sampled_from([date(2026, 3, 8), date(2026, 11, 1)]).flatmap(
    lambda change: st.lists(
        st.integers(-3, 3).map(lambda offset: change + timedelta(days=offset)), min_size=1, max_size=5, unique=True
    )
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    trip_ids = draw(st.lists(st.sampled_from(["A", "AB", "B", "é", "10", "9"]), min_size=1, max_size=5, unique=True))
    times = {}
    for trip_id in trip_ids:
        start = draw(hours)
        times[trip_id] = start, start + draw(st.integers(0, 60)) * 900
    repeated = {trip_id: draw(windows) for trip_id in trip_ids if draw(st.booleans())}
    return Schedule(times, repeated, draw(days))


@settings(max_examples=150, deadline=None)
@given(schedules(), st.integers(-12, 5 * 96), st.sampled_from([0, 600]))
def test_what_is_under_way_is_what_the_schedule_says(schedule: Schedule, quarters: int, delay_s: int) -> None:
    index = schedule.index()
    now = datetime.combine(min(schedule.dates), datetime.min.time(), UTC) + timedelta(minutes=15 * quarters)
    assert index.trips_running_at(now) == schedule.running(index, now)
    runs, inexact = runs_under_way(index, now, started_for=timedelta(seconds=delay_s))
    assert [(run.service_date, run.trip_id, run.start_s, run.end_s) for run in runs] == schedule.runs(
        index, now, delay_s
    )
    assert inexact == 0
    assert index.covers(now) == (min(schedule.dates) <= service_day(index, now) <= max(schedule.dates))
    assert {day for day in schedule.dates if index.runs_on(next(iter(schedule.times)), day)} == set(schedule.dates)
