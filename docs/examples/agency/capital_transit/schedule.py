"""What is done to the vendor's schedule, in this order."""

from __future__ import annotations

from continuous_gtfs.gtfs.steps import Feed, RemoveServices, RemoveStops, UpdateFeedInfo, step, where

from .stations import NOT_YET_OPEN


@step(files=["stops.txt"])
def spell_out_ampersands(feed: Feed) -> None:
    """Screen readers say *and*."""
    stops = feed.table("stops.txt")
    stops["stop_name"] = stops["stop_name"].str.replace(" & ", " and ", regex=False)
    feed.set_table("stops.txt", stops)


STEPS = [
    RemoveServices(never_active=True),
    *(RemoveStops(where("stop_id", equals=station), name=f"remove_station_{station}") for station in NOT_YET_OPEN),
    spell_out_ampersands,
    UpdateFeedInfo({"feed_publisher_name": "Capital Transit", "feed_publisher_url": "https://capital.example.org"}),
]
