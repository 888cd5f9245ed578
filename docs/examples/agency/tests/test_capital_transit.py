"""Capital Transit's rules, each shown on a feed small enough to read."""

from __future__ import annotations

from capital_transit import realtime, schedule

from continuous_gtfs.agencies.agency import load_agency, load_steps
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs.testing import assert_only_changed, column, run_one, small_feed
from continuous_gtfs.testing_realtime import entities, realtime_feeds


def test_an_ampersand_is_spelt_out() -> None:
    feed = small_feed(
        replaced={
            "stops.txt": """
                stop_id,stop_name,stop_lat,stop_lon
                S1,Pike & Pine,47.6,-122.3
                S2,A&B Street,47.7,-122.3
                S3,Third,47.8,-122.3
            """
        }
    )
    made, _ = run_one(schedule.spell_out_ampersands, feed)
    assert column(made, "stops.txt", "stop_name") == ["Pike and Pine", "A&B Street", "Third"]
    assert_only_changed(feed, made, "stops.txt")


def test_a_station_that_is_not_open_is_in_no_trip_update() -> None:
    feeds = realtime_feeds(
        trip_updates=[
            {"trip_update": {"trip": {"trip_id": "T1"}, "stop_time_update": [{"stop_id": "E01-T1"}, {"stop_id": "S2"}]}}
        ]
    )
    made, _ = run_one(realtime.STEPS[0], feeds)
    (update,) = entities(made, "trip_updates")
    assert update["trip_update"]["stop_time_update"] == [{"stop_id": "S2"}]


def test_the_agency_and_both_step_lists_load() -> None:
    assert load_agency("capital_transit").environments == ("production",)
    for part in ("schedule", "realtime"):
        assert check_steps(load_steps("capital_transit", part))
