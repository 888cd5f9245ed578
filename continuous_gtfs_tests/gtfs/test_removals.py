from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from continuous_gtfs.errors import StepDefinitionError, StepFailedError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.steps import RemoveRoutes, RemoveRows, RemoveServices, RemoveStops, RemoveTrips, where
from continuous_gtfs.pipeline.results import RowChanges, StepResult
from continuous_gtfs.pipeline.running import run_step
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs_tests.builders import csv_text, feed_zip, small_feed_files

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OF_EVERY_FILE = {
    "shapes.txt": csv_text(
        "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence",
        "DAYSHAPE,47.60,-122.33,1",
        "DAYSHAPE,47.64,-122.33,2",
        "NIGHTSHAPE,47.60,-122.33,1",
        "NIGHTSHAPE,47.64,-122.33,2",
    ),
    "trips.txt": csv_text(
        "route_id,service_id,trip_id,trip_headsign,direction_id,block_id,shape_id",
        "007,DAY,T1,North End,0,B1,DAYSHAPE",
        "007,DAY,T2,North End,0,,DAYSHAPE",
        "N7,NIGHTS,NIGHT,North End,0,,NIGHTSHAPE",
    ),
    "calendar.txt": csv_text(
        "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date",
        "DAY,1,1,1,1,1,1,1,20260101,20261231",
        "NIGHTS,1,1,1,1,1,1,1,20260101,20261231",
        "OLD,1,1,1,1,1,1,1,20250101,20251231",
        "NEVER,0,0,0,0,0,0,0,20260101,20261231",
    ),
    "calendar_dates.txt": csv_text("service_id,date,exception_type", "NIGHTS,20260704,2", "EXTRA,20260704,1"),
    "frequencies.txt": csv_text(
        "trip_id,start_time,end_time,headway_secs", "T1,08:00:00,10:00:00,600", "NIGHT,24:00:00,25:00:00,600"
    ),
    "transfers.txt": csv_text(
        "from_stop_id,to_stop_id,from_route_id,to_route_id,transfer_type,min_transfer_time",
        "M,M,,,2,120",
        "S-1,M,007,N7,1,",
        "S,S,N7,N7,1,",
    ),
    "fare_attributes.txt": csv_text(
        "fare_id,price,currency_type,payment_method,transfers", "FLAT,2.5,USD,0,", "NIGHTFARE,5,USD,0,", "ALL,1,USD,0,"
    ),
    "fare_rules.txt": csv_text(
        "fare_id,route_id,origin_id,destination_id,contains_id", "FLAT,007,,,", "FLAT,,,,", "NIGHTFARE,N7,,,"
    ),
    "attributions.txt": csv_text(
        "attribution_id,organization_name,route_id,trip_id,is_operator",
        "1,Small Transit,,,1",
        "2,Night Buses,N7,,1",
        "3,Night Drivers,,NIGHT,1",
    ),
    "translations.txt": csv_text(
        "table_name,field_name,language,translation,record_id,record_sub_id,field_value",
        "routes,route_long_name,es,De noche,N7,,",
        "stops,stop_name,es,Puerto,S,,",
        "stop_times,stop_headsign,es,Norte,NIGHT,1,",
        "stops,stop_name,es,Calle Mill,,,Mill Street",
    ),
    "networks.txt": csv_text("network_id,network_name", "NIGHTNET,Night", "DAYNET,Day"),
    "route_networks.txt": csv_text("network_id,route_id", "NIGHTNET,N7", "DAYNET,007"),
    "timeframes.txt": csv_text(
        "timeframe_group_id,start_time,end_time,service_id", "PEAK,07:00:00,09:00:00,DAY", "LATE,,,NIGHTS"
    ),
    "fare_products.txt": csv_text("fare_product_id,amount,currency", "P,2.5,USD"),
    "fare_leg_rules.txt": csv_text(
        "leg_group_id,network_id,from_timeframe_group_id,fare_product_id", "LATELEG,,LATE,P", "ANYLEG,,,P"
    ),
    "fare_transfer_rules.txt": csv_text(
        "from_leg_group_id,to_leg_group_id,fare_transfer_type", "LATELEG,ANYLEG,0", "ANYLEG,ANYLEG,0", ",,0"
    ),
    "booking_rules.txt": csv_text(
        "booking_rule_id,booking_type,prior_notice_last_day,prior_notice_service_id", "BOOK,2,1,OLD"
    ),
    "levels.txt": csv_text("level_id,level_index", "L0,0"),
    "pathways.txt": csv_text("pathway_id,from_stop_id,to_stop_id,pathway_mode,is_bidirectional", "W,S-E,S-1,1,1"),
    "areas.txt": csv_text("area_id,area_name", "CENTER,Center"),
    "stop_areas.txt": csv_text("area_id,stop_id", "CENTER,S-1", "CENTER,M"),
    "stops.txt": csv_text(
        "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station,zone_id,level_id",
        "S,Harbor Station,47.600000,-122.330000,1,,,",
        "S-1,Harbor Station,47.600100,-122.330100,0,S,Z1,L0",
        "S-E,Harbor Entrance,47.600100,-122.330200,2,S,,",
        "M,Mill Street,47.620000,-122.330000,0,,Z2,",
        "N,North End,47.640000,-122.330000,0,,Z2,",
    ),
    "facilities.txt": csv_text("facility_id,stop_id", "F,S-1"),
}


def full_feed(**replaced: str) -> Feed:
    return Feed.from_bytes(feed_zip(small_feed_files() | OF_EVERY_FILE | replaced))


def run(step: Step[Feed], feed: Feed | None = None) -> tuple[Feed, StepResult]:
    return run_step(step, feed or full_feed(), now=NOW)


def column(feed: Feed, file: str, name: str) -> list[str]:
    return feed.keys(file, name).texts()


def removed(result: StepResult) -> dict[str, int]:
    return {file: changes.removed for file, changes in result.changes.items()}


def test_removing_a_route_takes_along_all_that_is_its_alone_each_row_once() -> None:
    feed, result = run(RemoveRoutes(where("route_id", equals="N7")))
    assert removed(result) == {
        "attributions.txt": 2,
        "fare_attributes.txt": 1,
        "fare_rules.txt": 1,
        "frequencies.txt": 1,
        "route_networks.txt": 1,
        "routes.txt": 1,
        "shapes.txt": 2,
        "stop_times.txt": 3,
        "transfers.txt": 2,
        "translations.txt": 2,
        "trips.txt": 1,
    }
    assert column(feed, "trips.txt", "trip_id") == ["T1", "T2"]
    assert column(feed, "translations.txt", "record_id") == ["S", ""]
    assert result.changes["shapes.txt"] == RowChanges(removed=2, removed_sample=("NIGHTSHAPE 1", "NIGHTSHAPE 2"))


def test_what_concerns_every_route_stays_when_one_is_removed() -> None:
    feed, _ = run(RemoveRoutes(ids=["N7"]))
    assert column(feed, "attributions.txt", "attribution_id") == ["1"]
    assert column(feed, "transfers.txt", "from_stop_id") == ["M"]
    assert list(
        zip(column(feed, "fare_rules.txt", "fare_id"), column(feed, "fare_rules.txt", "route_id"), strict=True)
    ) == [
        ("FLAT", "007"),
        ("FLAT", ""),
    ]


def test_a_fare_that_loses_its_last_rule_goes_since_without_rules_it_would_be_valid_everywhere() -> None:
    feed, _ = run(RemoveRoutes(ids=["N7"]))
    assert column(feed, "fare_attributes.txt", "fare_id") == ["FLAT", "ALL"]


def test_a_service_without_trips_stays_while_fares_or_booking_rules_count_by_it() -> None:
    feed, _ = run(RemoveRoutes(ids=["N7"]))
    assert "NIGHTS" in column(feed, "calendar.txt", "service_id")
    timeframes = csv_text("timeframe_group_id,start_time,end_time,service_id", "PEAK,07:00:00,09:00:00,DAY")
    feed, _ = run(RemoveRoutes(ids=["N7"]), full_feed(**{"timeframes.txt": timeframes}))
    assert "NIGHTS" not in column(feed, "calendar.txt", "service_id") + column(feed, "calendar_dates.txt", "service_id")


def test_removing_a_service_follows_fares_to_the_end_and_warns_of_the_route_it_empties() -> None:
    feed, result = run(RemoveServices(ids=["NIGHTS"]))
    assert column(feed, "trips.txt", "trip_id") == ["T1", "T2"]
    assert column(feed, "timeframes.txt", "timeframe_group_id") == ["PEAK"]
    assert column(feed, "fare_leg_rules.txt", "leg_group_id") == ["ANYLEG"]
    assert column(feed, "fare_transfer_rules.txt", "from_leg_group_id") == ["ANYLEG", ""]
    assert column(feed, "routes.txt", "route_id") == ["007", "N7"]
    warning = next(finding for finding in result.findings if finding.severity == "warning")
    assert (warning.code, warning.sample) == ("routes_left_empty", ("N7",))


@pytest.mark.parametrize(
    ("policy", "routes", "warnings"),
    [("remove", ["007"], []), ("warn", ["007", "N7"], ["routes_left_empty"]), ("keep", ["007", "N7"], [])],
)
def test_what_a_step_leaves_empty_is_treated_by_its_policy(policy: str, routes: list[str], warnings: list[str]) -> None:
    feed, result = run(RemoveServices(ids=["NIGHTS"], empty_routes=policy))  # type: ignore[arg-type]
    assert column(feed, "routes.txt", "route_id") == routes
    assert [finding.code for finding in result.findings if finding.severity == "warning"] == warnings


def test_what_was_empty_before_is_not_this_steps_to_remove() -> None:
    shapes = OF_EVERY_FILE["shapes.txt"] + "UNUSED,47.60,-122.33,1\n"
    feed, _ = run(RemoveRoutes(ids=["N7"]), full_feed(**{"shapes.txt": shapes}))
    assert set(column(feed, "shapes.txt", "shape_id")) == {"DAYSHAPE", "UNUSED"}
    assert "EXTRA" in column(feed, "calendar_dates.txt", "service_id")


def test_service_that_never_runs_is_told_with_exceptions_applied() -> None:
    feed, _ = run(RemoveServices(never_active=True))
    assert column(feed, "calendar.txt", "service_id") == ["DAY", "NIGHTS", "OLD"]
    assert "EXTRA" in column(feed, "calendar_dates.txt", "service_id")


@pytest.mark.parametrize("before", [date(2026, 1, 1), "today"])
def test_an_expired_service_goes_and_a_booking_rule_that_counted_by_it_stays(before: date) -> None:
    feed, _ = run(RemoveServices(expired_before=before))
    assert column(feed, "calendar.txt", "service_id") == ["DAY", "NIGHTS", "NEVER"]
    assert column(feed, "booking_rules.txt", "booking_rule_id") == ["BOOK"]
    assert column(feed, "booking_rules.txt", "prior_notice_service_id") == [""]


def test_services_are_chosen_by_a_condition_on_either_calendar_file_save_those_excluded() -> None:
    step = RemoveServices(where("service_id", matches="^(N|E)"), exclude=where("service_id", equals="NEVER"))
    feed, _ = run(step)
    assert column(feed, "calendar.txt", "service_id") == ["DAY", "OLD", "NEVER"]
    assert column(feed, "calendar_dates.txt", "service_id") == []


def test_removing_a_station_removes_the_places_in_it_and_all_that_names_them() -> None:
    feed, result = run(RemoveStops(ids=["S"]))
    assert column(feed, "stops.txt", "stop_id") == ["M", "N"]
    assert removed(result) == {
        "pathways.txt": 1,
        "stop_areas.txt": 1,
        "stop_times.txt": 3,
        "stops.txt": 3,
        "transfers.txt": 2,
        "translations.txt": 2,
    }
    assert column(feed, "facilities.txt", "stop_id") == ["S-1"]


def test_a_detached_platform_stands_alone_and_an_entrance_cannot() -> None:
    feed, result = run(RemoveStops(ids=["S"], children="detach"))
    assert column(feed, "stops.txt", "stop_id") == ["S-1", "M", "N"]
    assert column(feed, "stops.txt", "parent_station") == ["", "", ""]
    assert column(feed, "pathways.txt", "pathway_id") == []
    assert "stop_times.txt" not in result.changes


def test_trips_that_lose_every_stop_go_and_those_left_with_one_are_named() -> None:
    feed, result = run(RemoveStops(ids=["M", "N"]))
    assert [(f.code, f.count) for f in result.findings if f.severity == "warning"] == [("trips_left_with_one_stop", 3)]
    feed, _ = run(RemoveStops(ids=["S", "M", "N"]))
    assert [len(feed.raw(file)) for file in ("trips.txt", "stop_times.txt", "frequencies.txt", "shapes.txt")] == [0] * 4


def test_a_zone_is_gone_with_its_last_stop_and_a_list_of_zones_goes_as_a_whole() -> None:
    rules = csv_text(
        "fare_id,route_id,origin_id,destination_id,contains_id",
        "FLAT,,,,Z1",
        "FLAT,,,,Z2",
        "ALL,,Z2,Z2,",
        "ALL,,Z1,Z2,",
    )
    feed, _ = run(RemoveStops(ids=["S-1"]), full_feed(**{"fare_rules.txt": rules}))
    assert column(feed, "fare_rules.txt", "fare_id") == ["ALL"]
    assert column(feed, "fare_attributes.txt", "fare_id") == ["NIGHTFARE", "ALL"]


def test_a_reference_that_dangled_before_stays_as_it_was() -> None:
    trips = OF_EVERY_FILE["trips.txt"] + "GHOST,DAY,T9,,0,,NOSHAPE\n"
    feed, _ = run(RemoveRoutes(ids=["N7"]), full_feed(**{"trips.txt": trips}))
    assert column(feed, "trips.txt", "route_id") == ["007", "007", "GHOST"]


def test_an_id_that_another_row_still_defines_is_not_lost() -> None:
    routes = csv_text("route_id,agency_id,route_short_name,route_type", "007,A,7,3", "N7,A,old,3", "N7,A,new,3")
    feed, result = run(RemoveRoutes(where("route_short_name", equals="old")), full_feed(**{"routes.txt": routes}))
    assert removed(result) == {"routes.txt": 1}
    assert "NIGHT" in column(feed, "trips.txt", "trip_id")


def test_trips_are_removed_with_what_names_them() -> None:
    feed, _ = run(RemoveTrips(where("service_id", equals="NIGHTS"), empty_routes="remove"))
    assert column(feed, "trips.txt", "trip_id") == ["T1", "T2"]
    assert column(feed, "routes.txt", "route_id") == ["007"]
    assert column(feed, "attributions.txt", "attribution_id") == ["1"]


def test_padded_ids_are_the_ids_without_their_padding() -> None:
    trips = OF_EVERY_FILE["trips.txt"].replace("N7,NIGHTS", " N7 ,NIGHTS")
    feed, _ = run(RemoveRoutes(ids=["N7"]), full_feed(**{"trips.txt": trips}))
    assert column(feed, "trips.txt", "trip_id") == ["T1", "T2"]


def test_rows_without_a_parent_are_not_removed_with_those_of_one() -> None:
    feed, _ = run(RemoveRows("stops.txt", where("parent_station", equals="S")))
    assert column(feed, "stops.txt", "stop_id") == ["S", "M", "N"]


def test_an_id_that_is_not_there_is_a_warning_or_an_error_if_required() -> None:
    _, result = run(RemoveRoutes(ids=["N7", "N8"]))
    assert [(f.code, f.sample) for f in result.findings if f.severity == "warning"] == [("ids_unknown", ("N8",))]
    with pytest.raises(StepFailedError, match=r"routes\.txt has no route_id N8"):
        run(RemoveRoutes(ids=["N7", "N8"], required=True))
    with pytest.raises(StepFailedError, match="no service matches remove_services"):
        run(RemoveServices(where("service_id", equals="NONE"), required=True))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RemoveRoutes(), "give a condition"),
        (lambda: RemoveRoutes(where("route_id", equals="1"), ids=["1"]), "one of the two"),
        (lambda: RemoveRoutes(ids="N7"), "one text"),
        (lambda: RemoveRoutes(ids=[]), "none of them blank"),
        (lambda: RemoveRoutes(ids=["1"], empty_trips="drop"), "say remove, warn or keep"),
        (lambda: RemoveStops(ids=["1"], children="orphan"), "say remove or detach"),
        (lambda: RemoveServices(), "give one of where"),
        (lambda: RemoveServices(ids=["1"], never_active=True), "it has 2"),
        (lambda: RemoveRoutes("route_id == 1"), "is no condition"),
    ],
)
def test_a_removal_that_cannot_be_meant_is_refused_when_it_is_written(make, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StepDefinitionError, match=said):
        make()


def test_a_translation_goes_with_the_one_stop_time_it_is_of() -> None:
    translations = csv_text(
        "table_name,field_name,language,translation,record_id,record_sub_id",
        "stop_times,stop_headsign,es,uno,T1,1",
        "stop_times,stop_headsign,es,dos,T1,2",
    )
    feed, _ = run(RemoveStops(ids=["M"]), full_feed(**{"translations.txt": translations}))
    assert column(feed, "translations.txt", "record_sub_id") == ["1"]


def test_a_location_group_that_loses_its_last_stop_goes_with_what_calls_there() -> None:
    files = {
        "location_groups.txt": csv_text("location_group_id,location_group_name", "G,Group", "H,Other"),
        "location_group_stops.txt": csv_text("location_group_id,stop_id", "G,M", "H,M", "H,N"),
        "stop_times.txt": csv_text(
            "trip_id,stop_sequence,stop_id,location_group_id", "T1,1,S-1,", "T1,2,,G", "T1,3,,H"
        ),
    }
    feed, _ = run(RemoveStops(ids=["M"]), full_feed(**files))
    assert column(feed, "location_groups.txt", "location_group_id") == ["H"]
    assert column(feed, "stop_times.txt", "stop_sequence") == ["1", "3"]


def test_fare_rules_of_zones_alone_are_followed() -> None:
    feed, _ = run(RemoveStops(ids=["S-1"]), full_feed(**{"fare_rules.txt": "contains_id,x\nZ1,1\nZ2,2\n"}))
    assert column(feed, "fare_rules.txt", "contains_id") == ["Z2"]


def test_ids_given_as_a_set_make_the_same_step_as_in_a_list() -> None:
    ids = [f"T{number}" for number in range(20)]
    assert RemoveTrips(ids=set(ids)).source_hash() == RemoveTrips(ids=list(reversed(ids))).source_hash()
