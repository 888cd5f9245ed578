"""What holds for every built-in step, on made feeds and on real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from google.transit.gtfs_realtime_pb2 import FeedMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.pipeline.running import run_steps
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime import steps as offered
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.messages import header_timestamp, parse_feed, serialize_feed
from continuous_gtfs.realtime.steps import (
    CombineFeeds,
    ConvertScheduledToNew,
    DropStaleVehicles,
    DropUnknownTrips,
    ExpireCancelledTrips,
    FilterStopsByID,
    InsertMissingCancellations,
    PassThrough,
    RenameVehicles,
    RewriteTripIds,
    UpdateFeedHeader,
)
from continuous_gtfs_tests.real_data import real_data_folder
from continuous_gtfs_tests.realtime.builtin.running import NOW, index_with
from continuous_gtfs_tests.realtime.captures import captures, feed_message

STEPS: list[Step[RealtimeFeeds]] = [
    FilterStopsByID(["A", "B"], matches="^C", empty_trip_update="drop"),
    FilterStopsByID(matches="."),
    CombineFeeds("trip_updates", sources=["vehicle_positions"]),
    CombineFeeds(
        "vehicle_positions", sources=["trip_updates", "vehicle_positions"], on_collision="report", max_source_age=None
    ),
    ConvertScheduledToNew(),
    DropStaleVehicles(timedelta(minutes=5)),
    DropUnknownTrips(),
    DropUnknownTrips(vehicles="clear"),
    ExpireCancelledTrips(keep_from_published=True),
    InsertMissingCancellations(max_share=1, max_source_age=timedelta(days=1)),
    PassThrough(),
    RenameVehicles("x"),
    RewriteTripIds("^(.)", r"x\1"),
    UpdateFeedHeader(version="3.0", timestamp="now"),
]

SHOWN = [f"{number}-{step.name}" for number, step in enumerate(STEPS)]
SMALL = index_with("NIGHT,07:00:00,10:00:00,600,1")

texts = st.sampled_from(["", "A", "B", "C1", "T1", "T2", "NIGHT", "20260701", "20260630", "08:00:00", "é"])
trips = st.fixed_dictionaries(
    {},
    optional={
        "trip_id": texts,
        "start_date": texts,
        "start_time": texts,
        "route_id": texts,
        "schedule_relationship": st.sampled_from(["SCHEDULED", "CANCELED", "DELETED", "NEW", "DUPLICATED"]),
    },
)
described_vehicles = st.fixed_dictionaries({}, optional={"id": texts, "label": texts})
stop_times = st.lists(st.fixed_dictionaries({}, optional={"stop_id": texts, "stop_sequence": st.integers(0, 3)}))
updates = st.fixed_dictionaries(
    {"trip": trips, "stop_time_update": stop_times}, optional={"vehicle": described_vehicles}
)
vehicles = st.fixed_dictionaries(
    {},
    optional={
        "trip": trips,
        "vehicle": described_vehicles,
        "stop_id": texts,
        "timestamp": st.integers(int(NOW.timestamp()) - 900, int(NOW.timestamp()) + 60),
    },
)
alerts = st.fixed_dictionaries({"informed_entity": st.lists(st.fixed_dictionaries({}, optional={"trip": trips}))})


def entities(ids: str) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries(
        {"id": st.sampled_from(ids)}, optional={"trip_update": updates, "vehicle": vehicles, "alert": alerts}
    )


@st.composite
def messages(draw: st.DrawFn, ids: str = "1234567") -> FeedMessage:
    made = draw(st.lists(entities(ids), max_size=6))
    message = feed_message(*made, timestamp=draw(st.sampled_from([0, int(NOW.timestamp()) - 20])))
    for part in with_parts(message):
        if draw(st.booleans()):
            # Field 1007, which no bindings know.
            part.MergeFromString(b"\xfa\x3e\x02" + draw(st.sampled_from([b"ab", b"cd"])))
    return message


def with_parts(message: FeedMessage) -> Iterator[Message]:
    yield message
    yield message.header
    for entity in message.entity:
        yield entity
        for part in ("trip_update", "vehicle", "alert"):
            if entity.HasField(part):
                yield getattr(entity, part)


def unknown_fields(message: Message) -> Iterator[tuple[str, int, object]]:
    """Of a message and all in it: in which message, which number, what."""
    for field in UnknownFieldSet(message):
        yield message.DESCRIPTOR.name, field.field_number, repr(field.data)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                yield from unknown_fields(part)


def run_twice(
    step: Step[RealtimeFeeds], messages: dict[str, FeedMessage], *, now: datetime, inputs: dict[str, object]
) -> tuple[RealtimeFeeds, StepResult]:
    """Runs a step on the same feeds twice: what went in stays as it was, and both give the same bytes."""
    before = {name: serialize_feed(message) for name, message in messages.items()}
    published = inputs.get("published_trip_updates")
    published_before = serialize_feed(published) if isinstance(published, FeedMessage) else None
    feeds = RealtimeFeeds(messages)
    (made, (result,)), (again, (result_again,)) = (run_steps([step], feeds, now=now, inputs=inputs) for _ in range(2))
    assert {name: serialize_feed(message) for name, message in messages.items()} == before
    assert {name: feeds.to_bytes(name) for name in feeds.names} == before
    if isinstance(published, FeedMessage):
        assert serialize_feed(published) == published_before
    assert {name: made.to_bytes(name) for name in made.names} == {name: again.to_bytes(name) for name in made.names}
    assert result.findings == result_again.findings
    return made, result


def assert_nothing_is_lost(before: dict[str, FeedMessage], made: RealtimeFeeds, result: StepResult) -> None:
    """What the bindings do not know is all still there, but where something was dropped and counted."""
    if any(
        finding.code.endswith(("_dropped", "_removed", "_cleared", "_repeated", "_expired"))
        for finding in result.findings
    ):
        return
    for name, message in before.items():
        lost = Counter(unknown_fields(message)) - Counter(unknown_fields(made.message(name)))
        assert not lost, (name, lost)


def test_every_built_in_step_is_among_those_that_are_tried() -> None:
    built_in = {value for value in vars(offered).values() if isinstance(value, type) and issubclass(value, Step)}
    assert {type(step) for step in STEPS} == built_in


@pytest.mark.parametrize("step", STEPS, ids=SHOWN)
@settings(max_examples=40, deadline=None)
@given(trip_updates=messages(), vehicle_positions=messages(), alerts=messages(), published=messages())
def test_a_step_changes_nothing_that_goes_in_loses_nothing_and_gives_the_same_bytes_again(
    step: Step[RealtimeFeeds],
    trip_updates: FeedMessage,
    vehicle_positions: FeedMessage,
    alerts: FeedMessage,
    published: FeedMessage,
) -> None:
    before = {"trip_updates": trip_updates, "vehicle_positions": vehicle_positions, "alerts": alerts}
    inputs: dict[str, object] = {"schedule_index": SMALL, "published_trip_updates": published}
    made, result = run_twice(step, before, now=NOW, inputs=inputs)
    assert_nothing_is_lost(before, made, result)


def not_utf_8(message: FeedMessage) -> FeedMessage:
    """The message as a vendor with another encoding sends it; protobuf hands out bytes for each such text."""
    return parse_feed(serialize_feed(message).replace("é".encode(), b"\xe9\xe9"), name="of another encoding")


@pytest.mark.parametrize("step", STEPS, ids=SHOWN)
@settings(max_examples=40, deadline=None)
@given(trip_updates=messages("1é"), vehicle_positions=messages("1é"), alerts=messages("1é"), published=messages("1é"))
def test_text_that_is_not_utf_8_fails_no_step_and_all_that_it_tells_is_text(
    step: Step[RealtimeFeeds],
    trip_updates: FeedMessage,
    vehicle_positions: FeedMessage,
    alerts: FeedMessage,
    published: FeedMessage,
) -> None:
    before = {"trip_updates": trip_updates, "vehicle_positions": vehicle_positions, "alerts": alerts}
    inputs: dict[str, object] = {"schedule_index": SMALL, "published_trip_updates": not_utf_8(published)}
    _, result = run_twice(step, {name: not_utf_8(each) for name, each in before.items()}, now=NOW, inputs=inputs)
    assert all(isinstance(name, str) for changes in result.changes.values() for name in changes.removed_sample)
    assert all(isinstance(name, str) for finding in result.findings for name in finding.sample)


def feed_name(path: Path) -> str:
    if "vehicle" in path.name:
        return "vehicle_positions"
    return "alerts" if "alerts" in path.name else "trip_updates"


_indexes: dict[Path, ScheduleIndex] = {}


def schedule_beside(path: Path) -> ScheduleIndex:
    """The index of the schedule that a capture came with; the small one where it came with none."""
    folder = real_data_folder()
    assert folder is not None
    found = folder / path.relative_to(folder).parts[0] / "schedule.zip"
    if not found.exists():
        return SMALL
    if found not in _indexes:
        _indexes[found] = ScheduleIndex.from_bytes(build_schedule_index(Feed.from_bytes(found.read_bytes())))
    return _indexes[found]


@pytest.mark.parametrize("path", captures())
def test_on_real_feeds_no_step_fails_loses_anything_or_changes_what_goes_in(path: Path) -> None:
    beside = {feed_name(each): each for each in sorted(path.parent.glob("*.pb"))} | {feed_name(path): path}
    before = {name: parse_feed(each.read_bytes(), name=each.name) for name, each in beside.items()}
    message = before[feed_name(path)]
    now = datetime.fromtimestamp((header_timestamp(message) or 0) + 20, UTC)
    inputs: dict[str, object] = {"schedule_index": schedule_beside(path), "published_trip_updates": message}
    for step in STEPS:
        made, result = run_twice(step, before, now=now, inputs=inputs)
        assert_nothing_is_lost(before, made, result)
        assert result.status == "success"
