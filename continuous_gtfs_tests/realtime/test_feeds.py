from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.errors import ConfigurationError, StepFailedError, UnreadableMessageError
from continuous_gtfs.pipeline.results import RowChanges
from continuous_gtfs.pipeline.running import run_step, run_steps
from continuous_gtfs.pipeline.step import step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.messages import parse_feed, serialize_feed
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def feeds() -> RealtimeFeeds:
    return RealtimeFeeds(
        {
            "vehicle_positions": feed_message(vehicle("v1", "a"), vehicle("v2", "b")),
            "trip_updates": feed_message(trip_update("t", "a", "b")),
        }
    )


def test_an_edit_of_a_fork_leaves_the_original() -> None:
    original = feeds()
    before = serialize_feed(original.message("trip_updates"))
    fork = original.fork()
    fork.edit("trip_updates").ClearField("entity")
    assert len(fork.message("trip_updates").entity) == 0
    assert serialize_feed(original.message("trip_updates")) == before
    assert fork.changed_since(original) == {"trip_updates"}
    assert fork.fork().changed_since(fork) == frozenset()


def test_a_fork_that_only_reads_shares_its_messages() -> None:
    original = feeds()
    fork = original.fork()
    assert fork.message("trip_updates") is original.message("trip_updates")
    assert fork.changed_since(original) == frozenset()


def test_editing_twice_goes_on_with_the_same_copy() -> None:
    fork = feeds().fork()
    fork.edit("trip_updates").header.gtfs_realtime_version = "3.0"
    assert fork.edit("trip_updates").header.gtfs_realtime_version == "3.0"
    assert fork.message("trip_updates").header.gtfs_realtime_version == "3.0"


def test_an_edit_of_a_forks_fork_leaves_the_fork() -> None:
    fork = feeds().fork()
    fork.edit("trip_updates").header.gtfs_realtime_version = "3.0"
    second = fork.fork()
    second.edit("trip_updates").header.gtfs_realtime_version = "4.0"
    assert fork.message("trip_updates").header.gtfs_realtime_version == "3.0"


def test_rows_are_entities_by_feed() -> None:
    assert feeds().row_counts() == {"vehicle_positions": 2, "trip_updates": 1}
    assert feeds().names == ("vehicle_positions", "trip_updates")
    assert "trip_updates" in feeds()
    assert "alerts" not in feeds()


def test_a_step_that_changes_what_it_was_lent_to_read_fails() -> None:
    @step(files=None)
    def careless(feed: RealtimeFeeds) -> None:
        feed.message("trip_updates").entity[0].trip_update.delay = 5

    with pytest.raises(StepFailedError, match=r"change edit\('trip_updates'\) instead"):
        run_step(careless, feeds(), now=NOW)


def in_another_order(message: FeedMessage) -> bytes:
    """A message of one entity as a vendor may write it: its entity before its header."""
    header, entity = message.header.SerializeToString(), message.entity[0].SerializeToString()
    return b"\x12" + bytes([len(entity)]) + entity + b"\x0a" + bytes([len(header)]) + header


@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize("write", [serialize_feed, in_another_order])
def test_a_change_of_what_was_lent_is_found_out_however_the_vendor_writes(
    write: Callable[[FeedMessage], bytes], readers: int
) -> None:
    message = feed_message(trip_update("t", "a"))
    original = RealtimeFeeds({"trip_updates": message}, bodies={"trip_updates": write(message)})

    @step(files=None)
    def reader(feed: RealtimeFeeds) -> None:
        assert feed.message("trip_updates").entity[0].trip_update.trip.trip_id == "t"

    @step(files=None)
    def careless(feed: RealtimeFeeds) -> None:
        feed.message("trip_updates").entity[0].trip_update.trip.trip_id = "u"

    steps = [reader] * readers + [careless]
    with pytest.raises(StepFailedError, match=r"^step careless failed: .*change edit\('trip_updates'\) instead"):
        run_steps(steps, original, now=NOW)


def test_a_change_of_what_an_earlier_step_made_is_found_out() -> None:
    @step(files=None)
    def maker(feed: RealtimeFeeds) -> None:
        feed.edit("trip_updates").header.gtfs_realtime_version = "3.0"

    @step(files=None)
    def careless(feed: RealtimeFeeds) -> None:
        feed.message("trip_updates").entity[0].ClearField("trip_update")

    with pytest.raises(StepFailedError, match=r"^step careless failed: "):
        run_steps([maker, careless], feeds(), now=NOW)


def test_a_header_that_was_lent_is_a_copy() -> None:
    original = feeds()
    header = original.header("trip_updates")
    assert header == original.message("trip_updates").header
    header.gtfs_realtime_version = "3.0"
    assert original.message("trip_updates").header.gtfs_realtime_version == "2.0"


def test_a_text_is_looked_for_in_the_feed_as_it_is_now() -> None:
    message = feed_message(trip_update("Zürich", "stop a"))
    original = RealtimeFeeds({"trip_updates": message}, bodies={"trip_updates": serialize_feed(message)})
    fork = original.fork()
    assert fork.may_hold("trip_updates", ["Zürich"])
    assert fork.may_hold("trip_updates", ["nowhere", "stop a"])
    assert not fork.may_hold("trip_updates", ["nowhere", "stop b"])
    fork.edit("trip_updates").entity[0].trip_update.stop_time_update[0].stop_id = "stop b"
    assert fork.may_hold("trip_updates", ["stop b"])
    assert not fork.may_hold("trip_updates", ["stop a"])
    assert not original.may_hold("trip_updates", ["stop b"])
    assert fork.changed_since(original) == {"trip_updates"}
    assert fork.fork().may_hold("trip_updates", ["stop b"])


def test_of_many_texts_each_may_stand_in_a_feed_unless_one_stands_in_all_of_them() -> None:
    assert feeds().may_hold("trip_updates", [f"nowhere {number}" for number in range(100)])
    assert not feeds().may_hold("trip_updates", ["nowhere", *(f"nowhere {number}" for number in range(100))])


def test_entities_that_a_step_removed_added_and_changed_are_counted() -> None:
    @step(files=["vehicle_positions"])
    def swap(feed: RealtimeFeeds) -> None:
        message = feed.edit("vehicle_positions")
        del message.entity[0]
        message.entity[0].vehicle.stop_id = "c"
        message.entity.add(id="new").vehicle.stop_id = "d"

    @step(files=None)
    def renumber(feed: RealtimeFeeds) -> None:
        for entity in feed.edit("vehicle_positions").entity:
            entity.vehicle.current_stop_sequence = 8
        feed.edit("trip_updates").header.gtfs_realtime_version = "3.0"

    made, results = run_steps([swap, renumber], feeds(), now=NOW)
    assert results[0].changes == {"vehicle_positions": RowChanges(removed=1, added=1, changed=1, removed_sample=("1",))}
    assert results[1].changes == {"vehicle_positions": RowChanges(changed=2)}
    assert made.changed_since(feeds()) == {"vehicle_positions", "trip_updates"}


def test_an_id_that_is_not_utf_8_is_told_as_text_where_it_is_removed() -> None:
    @step(files=["vehicle_positions"])
    def drop(feed: RealtimeFeeds) -> None:
        del feed.edit("vehicle_positions").entity[0]

    body = serialize_feed(feed_message({"id": "@@"})).replace(b"@@", b"\xe9\xe9")
    read = RealtimeFeeds({"vehicle_positions": parse_feed(body, name="vehicle_positions")})
    _, results = run_steps([drop], read, now=NOW)
    assert results[0].changes["vehicle_positions"].removed_sample == (r"b'\xe9\xe9'",)


def test_of_an_id_that_comes_twice_the_last_entity_is_the_one_that_stayed() -> None:
    @step(files=["trip_updates"])
    def keep_the_last(feed: RealtimeFeeds) -> None:
        del feed.edit("trip_updates").entity[0]

    twice = feed_message({"id": "x"} | trip_update("t", "a"), {"id": "x"} | trip_update("u", "a"))
    _, result = run_step(keep_the_last, RealtimeFeeds({"trip_updates": twice}), now=NOW)
    assert result.changes == {"trip_updates": RowChanges(removed=1, removed_sample=("x",))}


def test_an_edit_after_the_step_is_over_leaves_what_it_made() -> None:
    original = feeds()
    fork = original.fork()
    fork.edit("trip_updates").header.gtfs_realtime_version = "3.0"
    fork.changed_since(original)
    made = fork.message("trip_updates")
    fork.edit("trip_updates").header.gtfs_realtime_version = "4.0"
    assert made.header.gtfs_realtime_version == "3.0"
    assert FeedMessage.FromString(fork.to_bytes("trip_updates")).header.gtfs_realtime_version == "4.0"


def test_a_step_is_held_to_the_feeds_it_declares() -> None:
    @step(files=["vehicle_positions"])
    def stray(feed: RealtimeFeeds) -> None:
        feed.edit("trip_updates").ClearField("entity")

    with pytest.raises(StepFailedError, match="changed trip_updates but declares vehicle_positions"):
        run_step(stray, feeds(), now=NOW)


def test_each_step_gets_what_the_one_before_it_made() -> None:
    @step(files=["trip_updates"])
    def append(feed: RealtimeFeeds) -> None:
        message = feed.edit("trip_updates")
        message.entity.add(id=str(len(message.entity) + 1))

    original = feeds()
    made, results = run_steps([append, append], original, now=NOW)
    assert [entity.id for entity in made.message("trip_updates").entity] == ["1", "2", "3"]
    assert len(original.message("trip_updates").entity) == 1
    assert [(r.rows_before, r.rows_after) for r in results] == [
        ({"trip_updates": 1}, {"trip_updates": 2}),
        ({"trip_updates": 2}, {"trip_updates": 3}),
    ]


def test_a_feed_that_no_step_edited_is_published_as_it_came() -> None:
    message = feed_message(trip_update("t", "a"))
    body = in_another_order(message)
    original = RealtimeFeeds({"trip_updates": message}, bodies={"trip_updates": body})
    assert original.fork().to_bytes("trip_updates") == body != serialize_feed(message)
    fork = original.fork()
    fork.edit("trip_updates")
    assert fork.to_bytes("trip_updates") == serialize_feed(message)
    assert feeds().to_bytes("trip_updates") == serialize_feed(feeds().message("trip_updates"))


def test_a_step_that_leaves_a_message_unwritable_is_found_out_and_no_other_is_blamed() -> None:
    @step(files=None)
    def forgetful(feed: RealtimeFeeds) -> None:
        feed.edit("trip_updates").entity.add()

    @step(files=None)
    def reader(feed: RealtimeFeeds) -> None:
        feed.message("trip_updates")

    with pytest.raises(StepFailedError, match=r"^step forgetful failed: .*entity\[1\]\.id"):
        run_steps([forgetful, reader], feeds(), now=NOW)
    fork = feeds().fork()
    fork.edit("trip_updates").entity.add()
    with pytest.raises(UnreadableMessageError, match=r"entity\[1\]\.id"):
        fork.to_bytes("trip_updates")


def test_a_feed_that_is_not_in_the_run_is_named_with_those_that_are() -> None:
    for attempt in (feeds().message, feeds().edit, feeds().to_bytes, feeds().header):
        with pytest.raises(ConfigurationError, match="no feed 'alerts' in this run; there is vehicle_positions, trip_"):
            attempt("alerts")
