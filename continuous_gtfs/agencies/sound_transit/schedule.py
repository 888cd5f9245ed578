"""What Sound Transit changes in its vendor's schedule before it is published; the order is the order of work."""

from __future__ import annotations

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.steps import ClearField, RemoveRows, UpdateFeedInfo, UpdateFields
from continuous_gtfs.gtfs.where import Where, where
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import StepContext, step

STATIONS_NOT_OPEN = ("E01", "E07")
LINK_LINES = ("100479", "2LINE")
SOUNDER_LINES = ("SNDR_EV", "SNDR_TL")


def _at_station_not_open(field: str) -> Where:
    """The station itself or a place in it: platforms are named for their station, as ``E01-T1``."""
    return where(field, matches=rf"^({'|'.join(STATIONS_NOT_OPEN)})(-|$)")


@step(files=["stops.txt"])
def normalize_stop_names(feed: Feed, context: StepContext) -> None:
    """Runs of spaces and non-breaking spaces in stop names become one plain space.

    Journey planners match names by their text, and a non-breaking space looks like a plain one.
    """
    if "stops.txt" not in feed or "stop_name" not in feed.table("stops.txt").columns:
        context.find(Finding("warning", "column_missing", "there is no stop_name to normalize", "stops.txt"))
        return
    stops = feed.table("stops.txt")
    names = stops["stop_name"].str.replace("[ \u00a0]+", " ", regex=True)
    changed = stops[names != stops["stop_name"]]
    stops["stop_name"] = names
    feed.set_table("stops.txt", stops)
    context.find(
        Finding(
            "info",
            "names_normalized",
            f"{len(changed)} stop names had a non-breaking or a double space",
            "stops.txt",
            len(changed),
            tuple(changed["stop_name"]),
        )
    )


STEPS = [
    # What refers to a stop goes before the stop.
    RemoveRows("stop_times.txt", _at_station_not_open("stop_id"), name="remove_stop_times_at_stations_not_open"),
    RemoveRows(
        "transfers.txt",
        _at_station_not_open("from_stop_id") | _at_station_not_open("to_stop_id"),
        name="remove_transfers_at_stations_not_open",
    ),
    RemoveRows("facilities.txt", _at_station_not_open("stop_id"), name="remove_facilities_of_stations_not_open"),
    RemoveRows(
        "stops.txt",
        _at_station_not_open("stop_id") | _at_station_not_open("parent_station"),
        name="remove_stations_not_open",
    ),
    UpdateFields(
        "routes.txt",
        where("route_id", equals="100479"),
        {"route_short_name": "1 Line", "route_color": "28813F", "route_text_color": "FFFFFF"},
        name="name_and_color_1_line",
    ),
    UpdateFields(
        "routes.txt",
        where("route_id", equals="2LINE"),
        {"route_short_name": "2 Line", "route_color": "007CAD", "route_text_color": "FFFFFF"},
        name="name_and_color_2_line",
    ),
    # A shared block_id tells riders that they may stay aboard from one trip to the next (GTFS, trips.txt).
    ClearField("trips.txt", where("route_id", one_of=SOUNDER_LINES), "block_id", name="clear_sounder_blocks"),
    # trip_short_name is what riders know a trip by (GTFS, trips.txt); Link trips go by their line alone.
    ClearField("trips.txt", where("route_id", one_of=LINK_LINES), "trip_short_name", name="clear_link_train_numbers"),
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
