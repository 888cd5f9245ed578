from __future__ import annotations

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.pipeline.step import StepContext
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.making import make_feeds
from continuous_gtfs.realtime.messages import serialize_feed
from continuous_gtfs.realtime.steps import step
from continuous_gtfs_tests.realtime.builtin.running import NOW
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update


@step(files=[])
def change_what_is_live(feed: RealtimeFeeds, context: StepContext) -> None:
    published = context.inputs["published_trip_updates"]
    assert isinstance(published, FeedMessage)
    published.entity[0].trip_update.trip.trip_id = "changed"


def test_a_step_that_changes_its_copy_of_what_is_live_changes_nothing_else() -> None:
    published = feed_message(trip_update("T1"))
    body = serialize_feed(feed_message(trip_update("T2")))
    make_feeds(
        "production",
        {"trip_updates": body},
        [change_what_is_live],
        now=NOW,
        index=None,
        published={"trip_updates": published},
    )
    assert published == feed_message(trip_update("T1"))
