from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuous_gtfs.errors import FeedStructureError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.index_sections import pack
from continuous_gtfs.gtfs.schedule_index import IndexedTrip, RepeatedTrip, ScheduleIndex, Window
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.gtfs.times import service_day_start
from continuous_gtfs_tests.builders import csv_text, feed_zip, small_feed, small_feed_files
from continuous_gtfs_tests.real_data import real_data_path

SEATTLE = ZoneInfo("America/Los_Angeles")


def index_of(data: bytes) -> ScheduleIndex:
    return ScheduleIndex.from_bytes(build_schedule_index(Feed.from_bytes(data)))


def seattle(month: int, day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=SEATTLE).astimezone(UTC)


SMALL = index_of(small_feed())


def test_the_index_holds_trips_stops_dates_timezone_and_version() -> None:
    assert SMALL.trips == {
        "T1": IndexedTrip("007", "DAY", 8 * 3600, 8 * 3600 + 1800, 0),
        "T2": IndexedTrip("007", "DAY", 9 * 3600, 9 * 3600 + 1800, 0),
        "NIGHT": IndexedTrip("N7", "DAY", 24 * 3600 + 1800, 25 * 3600 + 600, 0),
    }
    assert SMALL.stop_ids == {"S", "S-1", "M", "N"}
    assert (SMALL.timezone.key, SMALL.feed_version) == ("America/Los_Angeles", "small-1")
    assert len(SMALL.dates_by_service["DAY"]) == 365
    assert SMALL.is_known_trip("T1")
    assert not SMALL.is_known_trip("T9")
    assert SMALL.is_known_stop("S-1")
    assert not SMALL.is_known_stop("E01")


@pytest.mark.parametrize(
    ("now", "running"),
    [
        (seattle(7, 1, 7, 59, 59), 0),
        (seattle(7, 1, 8), 1),
        (seattle(7, 1, 8, 30), 1),
        (seattle(7, 1, 8, 30, 1), 0),
        (seattle(7, 1, 9, 15), 1),
        # 24:50 of 30 June's service day, on 1 July by the clock.
        (seattle(7, 1, 0, 50), 1),
        (seattle(7, 1, 1, 10), 1),
        (seattle(7, 1, 1, 11), 0),
        # The night trip of 31 December runs in the new year; before 1 January there is no service day.
        (datetime(2027, 1, 1, 0, 50, tzinfo=SEATTLE).astimezone(UTC), 1),
        (seattle(1, 1, 0, 50), 0),
        (datetime(2027, 1, 1, 8, 10, tzinfo=SEATTLE).astimezone(UTC), 0),
        # Clocks go forward on 8 March: 08:00 of that service day is still 08:00 by the clock.
        (seattle(3, 8, 8, 10), 1),
        # 24:50 of 7 March is 00:50 on the 8th, before the clocks change.
        (seattle(3, 8, 0, 50), 1),
        # Clocks go back on 1 November: 24:50 of 1 November is 00:50 on the 2nd.
        (seattle(11, 2, 0, 50), 1),
    ],
)
def test_trips_running_are_those_of_the_service_days_that_reach_now(now: datetime, running: int) -> None:
    assert SMALL.trips_running_at(now) == running


def test_a_service_day_that_begins_the_evening_before_is_looked_at() -> None:
    files = small_feed_files()
    files["stop_times.txt"] = csv_text(
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence",
        "T1,00:00:00,00:00:00,M,1",
        "T1,00:20:00,00:20:00,N,2",
    )
    index = index_of(feed_zip(files))
    # 00:10 of 8 March's service day is 23:10 on the 7th; 00:10 of 7 March's was at 00:10.
    assert index.trips_running_at(seattle(3, 7, 23, 10)) == 1
    assert index.trips_running_at(seattle(3, 8, 0, 10)) == 0
    assert index.trips_running_at(seattle(3, 9, 0, 10)) == 1


def test_exceptions_of_the_calendar_count() -> None:
    holiday = date(2026, 7, 4)
    index = index_of(feed_zip(small_feed_files(dates_removed=[holiday])))
    assert index.service_ids_on(holiday) == frozenset()
    assert index.trips_running_at(seattle(7, 4, 8, 10)) == 0
    assert index.trips_running_at(seattle(7, 5, 0, 50)) == 0
    assert index.trips_running_at(seattle(7, 5, 8, 10)) == 1


def test_a_trip_longer_than_two_days_is_seen_on_its_third() -> None:
    files = small_feed_files(first_date=date(2026, 6, 1), last_date=date(2026, 6, 1))
    files["stop_times.txt"] = csv_text(
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence",
        "T1,10:00:00,10:00:00,M,1",
        "T1,60:00:00,60:00:00,N,2",
    )
    index = index_of(feed_zip(files))
    assert index.trips_running_at(seattle(6, 3, 11)) == 1
    assert index.trips_running_at(seattle(6, 3, 13)) == 0


def test_two_days_of_which_one_is_short_are_less_than_forty_eight_hours() -> None:
    files = small_feed_files(first_date=date(2026, 3, 7), last_date=date(2026, 3, 7))
    files["stop_times.txt"] = csv_text(
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence",
        "T1,10:00:00,10:00:00,M,1",
        "T1,47:30:00,47:30:00,N,2",
    )
    index = index_of(feed_zip(files))
    # 8 March has 23 hours, so 47:15 of the 7th is 00:15 on the 9th.
    assert index.trips_running_at(seattle(3, 9, 0, 15)) == 1
    assert index.trips_running_at(seattle(3, 9, 0, 45)) == 0


def test_blank_and_unreadable_times_are_passed_over_and_a_trip_without_any_is_known_but_never_runs() -> None:
    files = small_feed_files()
    files["stop_times.txt"] = csv_text(
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence",
        "T1,,08:00:00,S-1,1",
        "T1,,,M,2",
        "T1,8:75:00,,M,3",
        "T1,08:30:00,,N,4",
        "T2,,,M,1",
    )
    index = index_of(feed_zip(files))
    assert index.trips["T1"] == IndexedTrip("007", "DAY", 8 * 3600, 8 * 3600 + 1800, 0)
    assert index.trips["T2"] == IndexedTrip("007", "DAY", None, None, 0)
    assert index.trips_running_at(seattle(7, 1, 8, 10)) == 1


def test_a_trip_with_frequencies_runs_in_each_window_to_the_end_of_its_last_run() -> None:
    files = small_feed_files()
    files["frequencies.txt"] = csv_text(
        "trip_id,start_time,end_time,headway_secs,exact_times",
        "T1,16:00:00,18:00:00,600,",
        "T1,06:00:00,06:30:00,600,1",
        "T1,06:30:00,07:00:00,300,0",
    )
    index = index_of(feed_zip(files))
    assert index.trips["T1"] == IndexedTrip("007", "DAY", 6 * 3600, 18 * 3600 + 1800, 0)
    assert index.repeated_trips == {
        "T1": RepeatedTrip(
            1800,
            (
                Window(6 * 3600, 6 * 3600 + 1800, 600, True),
                Window(6 * 3600 + 1800, 7 * 3600, 300, False),
                Window(16 * 3600, 18 * 3600, 600, False),
            ),
        )
    }
    assert not index.repeated_trips["T1"].is_exact
    # One trip, however many of its windows overlap; none between them.
    running = [index.trips_running_at(seattle(7, 1, hour, 45)) for hour in (5, 6, 7, 15, 16, 18)]
    assert running == [0, 1, 0, 0, 1, 0]
    assert index.trips_running_at(seattle(7, 1, 7, 30)) == 1


def test_windows_that_follow_one_another_are_one_trip_under_way() -> None:
    files = small_feed_files()
    # Each run takes half an hour, so the last one of the first window ends as the second begins.
    files["frequencies.txt"] = csv_text(
        "trip_id,start_time,end_time,headway_secs", "T1,06:00:00,06:30:00,600", "T1,07:00:00,07:30:00,600"
    )
    assert index_of(feed_zip(files)).trips_running_at(seattle(7, 1, 7)) == 1


@pytest.mark.parametrize("headway", ["0", "", "-600", "often"])
def test_without_a_headway_it_is_not_known_when_the_runs_of_a_trip_start(headway: str) -> None:
    files = small_feed_files()
    files["frequencies.txt"] = csv_text(
        "trip_id,start_time,end_time,headway_secs,exact_times", f"T1,06:00:00,06:30:00,{headway},1"
    )
    assert not index_of(feed_zip(files)).repeated_trips["T1"].is_exact


def test_a_frequency_that_cannot_be_read_leaves_the_trip_as_its_stop_times_have_it() -> None:
    files = small_feed_files()
    files["frequencies.txt"] = csv_text(
        "trip_id,start_time,end_time,headway_secs",
        "T1,,07:00:00,600",
        "T1,09:00:00,08:00:00,600",
        "T9,6:00:00,7:00:00,9",
    )
    index = index_of(feed_zip(files))
    assert index.repeated_trips == {}
    assert index.trips["T1"] == SMALL.trips["T1"]


def test_a_direction_that_is_blank_or_none_of_the_two_is_none() -> None:
    files = small_feed_files()
    files["trips.txt"] = csv_text(
        "route_id,service_id,trip_id,direction_id", "7,DAY,T1,1", "7,DAY,T2,", "7,DAY,NIGHT,north"
    )
    directions = {trip_id: trip.direction_id for trip_id, trip in index_of(feed_zip(files)).trips.items()}
    assert directions == {"T1": 1, "T2": None, "NIGHT": None}
    files["trips.txt"] = csv_text("route_id,service_id,trip_id", "7,DAY,T1")
    assert index_of(feed_zip(files)).trips["T1"].direction_id is None


def test_a_trip_or_stop_without_an_id_is_not_in_the_index() -> None:
    files = small_feed_files()
    files["trips.txt"] += "007,DAY,,North End,0,\n"
    files["stops.txt"] += ",Nowhere,47.6,-122.3,0,\n"
    index = index_of(feed_zip(files))
    assert list(index.trips) == ["NIGHT", "T1", "T2"]
    assert not index.is_known_trip("")
    assert not index.is_known_stop("")


def test_a_service_runs_on_its_dates_only() -> None:
    assert SMALL.runs_on("T1", date(2026, 7, 1))
    assert not SMALL.runs_on("T1", date(2025, 12, 31))
    assert not SMALL.runs_on("T1", date(2027, 1, 1))
    assert not SMALL.runs_on("T9", date(2026, 7, 1))
    assert SMALL.service_ids_on(date(2025, 12, 31)) == frozenset()


def test_a_schedule_covers_its_service_days_from_04_00_to_04_00() -> None:
    assert not SMALL.covers(seattle(1, 1, 4) - timedelta(seconds=1)), "a night of the schedule before it"
    assert SMALL.covers(seattle(1, 1, 4))
    last_night = seattle(12, 31, 23) + timedelta(hours=5)
    assert SMALL.covers(last_night - timedelta(seconds=1))
    assert not SMALL.covers(last_night)


def test_a_feed_whose_services_never_run_covers_no_time() -> None:
    index = index_of(
        small_feed(
            replaced={"calendar.txt": "service_id\n", "calendar_dates.txt": "service_id,date,exception_type\n"},
            without=["calendar.txt"],
        )
    )
    assert (index.first_date, index.last_date) == (None, None)
    assert not index.covers(seattle(7, 1, 8))
    assert index.trips_running_at(seattle(7, 1, 8, 10)) == 0
    assert index.dates_by_service == {}


def test_the_same_feed_gives_the_same_bytes_whatever_the_order_of_its_trips() -> None:
    files = small_feed_files()
    header, *rows = files["trips.txt"].splitlines()
    reordered = files | {"trips.txt": csv_text(header, *reversed(rows))}
    assert build_schedule_index(Feed.from_bytes(feed_zip(files))) == build_schedule_index(
        Feed.from_bytes(feed_zip(reordered))
    )


@pytest.mark.parametrize(
    ("replaced", "without", "said"),
    [
        ({"agency.txt": "agency_id,agency_timezone\nA,\n"}, [], "names no agency_timezone"),
        ({"agency.txt": "agency_id,agency_timezone\nA,Mars/Olympus\n"}, [], "'Mars/Olympus' is no timezone"),
        ({"trips.txt": "trip_id,route_id\nT1,7\n"}, [], r"trips\.txt has no column service_id"),
        ({}, ["stop_times.txt"], r"the feed has no stop_times\.txt"),
        ({}, ["calendar.txt", "calendar_dates.txt"], "neither calendar.txt nor"),
    ],
)
def test_a_feed_that_lacks_what_the_index_is_made_of_has_none(
    replaced: dict[str, str | bytes], without: list[str], said: str
) -> None:
    with pytest.raises(FeedStructureError, match=said):
        build_schedule_index(Feed.from_bytes(small_feed(replaced=replaced, without=without)))


def test_what_is_no_index_or_a_damaged_one_is_refused_when_it_is_read() -> None:
    good = build_schedule_index(Feed.from_bytes(small_feed()))
    ScheduleIndex.from_bytes(good)
    for data, said in [
        (b"", r"not a schedule index \(0 bytes\)"),
        (b"PK\x03\x04", "not a schedule index"),
        (good[:40], "cut off after 40 bytes"),
        (good[:-20], "damaged or cut off"),
        (good[:-1] + bytes([good[-1] ^ 1]), "damaged or cut off"),
        (good.replace(b"Los_Angeles", b"Los_Demonios"[:11]), "damaged or cut off"),
        (
            gzip.compress(b'{"form": 1}'),
            "form 1 is; this version reads form 2: transform and publish the schedule again",
        ),
        (
            good.replace(b"form 2", b"form 3"),
            "has form 3, this version reads form 2: transform and publish the schedule again",
        ),
    ]:
        with pytest.raises(FeedStructureError, match=said):
            ScheduleIndex.from_bytes(data)
    facts = {"timezone": "Mars/Olympus", "feed_version": "", "service_ids": [], "route_ids": []}
    with pytest.raises(FeedStructureError, match=r"not a schedule index .*Mars/Olympus"):
        ScheduleIndex.from_bytes(pack(facts, {}))


def test_the_first_line_says_what_the_file_is() -> None:
    data = build_schedule_index(Feed.from_bytes(small_feed()))
    assert data.partition(b"\n")[0] == b"continuous_gtfs schedule index, form 2"


def test_reading_an_index_brings_in_neither_numpy_nor_pandas() -> None:
    code = (
        "import sys, continuous_gtfs.gtfs.schedule_index, continuous_gtfs.gtfs.trip_runs;"
        "print(sorted({'numpy', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def running_by_counting(index: ScheduleIndex, now: datetime) -> int:
    """The definition, trip by trip and day by day."""
    running = 0
    for trip in index.trips.values():
        for offset in range(-4, 3):
            day = now.date() + timedelta(days=offset)
            if day not in index.dates_by_service.get(trip.service_id, ()) or trip.start_s is None or trip.end_s is None:
                continue
            elapsed = (now - service_day_start(day, index.timezone)).total_seconds()
            running += trip.start_s <= elapsed <= trip.end_s
    return running


@settings(max_examples=30)
@given(
    st.datetimes(datetime(2025, 12, 30), datetime(2027, 1, 3), timezones=st.just(UTC)).map(
        lambda t: t.replace(microsecond=0)
    )
)
def test_the_count_of_running_trips_is_that_of_its_definition(now: datetime) -> None:
    assert SMALL.trips_running_at(now) == running_by_counting(SMALL, now)


@pytest.mark.parametrize(
    ("name", "trips", "moment"),
    [
        ("sound_transit_2023-08/schedule.zip", 6_801, datetime(2023, 8, 1, 0, 30, tzinfo=UTC)),
        ("sound_transit_2024-11/schedule.zip", 15_092, datetime(2024, 12, 10, 17, tzinfo=UTC)),
        ("kingston/schedule.zip", 7_113, datetime(2026, 1, 5, 17, tzinfo=UTC)),
    ],
)
def test_a_real_schedule_is_indexed_whole_and_has_trips_running_by_day(name: str, trips: int, moment: datetime) -> None:
    data = real_data_path(name).read_bytes()
    index = index_of(data)
    assert len(index.trips) == trips == sum(index.is_known_trip(trip_id) for trip_id in list(index.trips))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        stops = archive.read("stops.txt").decode("utf-8-sig").splitlines()
    assert len(index.stop_ids) == len(stops) - 1
    assert index.trips_running_at(moment) == running_by_counting(index, moment) > 0
