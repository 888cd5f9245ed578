"""What Sound Transit changes in its vendor's schedule before it is published; the order is the order of work."""

from __future__ import annotations

import re

import numpy as np

from continuous_gtfs.gtfs.steps import (
    ClearField,
    Feed,
    Finding,
    RemoveRows,
    RemoveServices,
    RemoveStops,
    StepContext,
    UpdateFeedInfo,
    UpdateFields,
    step,
    where,
)

STATIONS_NOT_OPEN = ("E01", "E07")
LINK_SERVICE_KEPT = "LLR_2024-09-14_Jun27_Fall2024_Weekday"
SPACES = re.compile("[ \u00a0]+")


@step(files=["stops.txt"])
def normalize_stop_names(feed: Feed, context: StepContext) -> None:
    """Runs of spaces and non-breaking spaces in stop names become one plain space.

    Journey planners match names by their text, and a non-breaking space looks like a plain one.
    """
    if not feed.has_column("stops.txt", "stop_name"):
        context.find(Finding("warning", "column_missing", "there is no stop_name to normalize", "stops.txt"))
        return
    stops = feed.raw("stops.txt")
    names = [stop["stop_name"] for stop in stops.records(np.arange(len(stops)))]
    plain = [SPACES.sub(" ", name) for name in names]
    changed = np.array([new != old for old, new in zip(names, plain, strict=True)], dtype=bool)
    new_names = [new for new, differs in zip(plain, changed.tolist(), strict=True) if differs]
    feed.set_cells("stops.txt", changed, {"stop_name": new_names})
    message = f"{len(new_names)} stop names had a non-breaking or a double space"
    context.find(Finding("info", "names_normalized", message, "stops.txt", len(new_names), tuple(new_names)))


STEPS = [
    RemoveServices(never_active=True, name="remove_never_active_services"),
    # Light rail and streetcar are not published from this feed, but for one weekday of Link.
    RemoveServices(
        where("service_id", matches=r"^LLR"),
        exclude=where("service_id", equals=LINK_SERVICE_KEPT),
        name="remove_link_services",
    ),
    RemoveServices(where("service_id", matches=r"^TLINE"), name="remove_t_line_services"),
    RemoveRows(
        "facilities.txt",
        where("stop_id", matches=rf"^({'|'.join(STATIONS_NOT_OPEN)})(-|$)"),
        name="remove_facilities_of_stations_not_open",
    ),
    RemoveStops(where("stop_id", equals="E01"), name="remove_station_e01"),
    RemoveStops(where("stop_id", equals="E07"), name="remove_station_e07"),
    UpdateFields("routes.txt", where("route_id", equals="100479"), {"route_short_name": "1 Line"}, name="name_1_line"),
    UpdateFields(
        "routes.txt",
        where("route_id", equals="100479"),
        {"route_color": "28813F", "route_text_color": "FFFFFF"},
        name="color_1_line",
    ),
    UpdateFields("routes.txt", where("route_id", equals="2LINE"), {"route_short_name": "2 Line"}, name="name_2_line"),
    UpdateFields(
        "routes.txt",
        where("route_id", equals="2LINE"),
        {"route_color": "007CAD", "route_text_color": "FFFFFF"},
        name="color_2_line",
    ),
    UpdateFields(
        "stops.txt",
        where("stop_id", equals="T15"),
        {"stop_name": "South 4th", "stop_desc": "South 4th Station on the T Line"},
        name="rename_south_4th",
    ),
    UpdateFields(
        "stops.txt",
        where("stop_id", equals="T21"),
        {"stop_name": "Sixth Avenue", "stop_desc": "Sixth Avenue Station on the T Line"},
        name="rename_sixth_avenue",
    ),
    UpdateFields(
        "stops.txt",
        where("stop_id", equals="T25"),
        {"stop_name": "Saint Joseph", "stop_desc": "Saint Joseph Station on the T Line"},
        name="rename_saint_joseph",
    ),
    # A shared block_id tells riders that they may stay aboard from one trip to the next (GTFS, trips.txt).
    ClearField("trips.txt", where("route_id", equals="SNDR_EV"), "block_id", name="clear_n_line_blocks"),
    ClearField("trips.txt", where("route_id", equals="SNDR_TL"), "block_id", name="clear_s_line_blocks"),
    # trip_short_name is what riders know a trip by (GTFS, trips.txt); Link trips go by their line alone.
    ClearField("trips.txt", where("route_id", equals="100479"), "trip_short_name", name="clear_1_line_train_numbers"),
    ClearField("trips.txt", where("route_id", equals="2LINE"), "trip_short_name", name="clear_2_line_train_numbers"),
    normalize_stop_names,
    UpdateFeedInfo(
        {
            "feed_publisher_name": "Sound Transit",
            "feed_publisher_url": "https://www.soundtransit.org",
            "feed_lang": "en",
            "feed_contact_url": "https://www.soundtransit.org/help-contacts/business-information/open-transit-data-otd",
        }
    ),
]
