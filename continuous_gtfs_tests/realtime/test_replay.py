"""What today's steps and guards make of a snapshot of the past, held against what went out then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any, ClassVar

import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.pipeline.step import Step, StepContext, step
from continuous_gtfs.realtime.feeds import TRIP_UPDATES, VEHICLE_POSITIONS, RealtimeFeeds
from continuous_gtfs.realtime.guards.thresholds import RealtimeThresholds
from continuous_gtfs.realtime.messages import serialize_feed
from continuous_gtfs.realtime.replay import Moment, Replay, Replayed
from continuous_gtfs.realtime.replay_report import ReplayReport
from continuous_gtfs.realtime.steps import FilterStopsByID, UpdateFeedHeader
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FILTER_S1 = FilterStopsByID(["S1"])


def at(number: int) -> datetime:
    return NOON + timedelta(seconds=20 * number)


def vehicles(number: int, *stop_ids: str) -> bytes:
    entities = [vehicle(f"train {place}", stop_id) for place, stop_id in enumerate(stop_ids)]
    return serialize_feed(feed_message(*entities, timestamp=int(at(number).timestamp())))


def moment(number: int, body: bytes, published: bytes | None, *, feed: str = VEHICLE_POSITIONS, **other: Any) -> Moment:
    now = at(number) + timedelta(seconds=2)
    fields: dict[str, Any] = {
        "feed": feed,
        "version_id": f"v{number}",
        "at": now,
        "steps_at": now - timedelta(milliseconds=100),
        "bodies": {feed: body},
        "published": published,
        "accepted": frozenset(),
        "schedule": "none published",
        "index": None,
    }
    return Moment(**(fields | other))


def replayed(steps: Sequence[Any], *moments: Moment, thresholds: Mapping[str, Any] | None = None) -> list[Replayed]:
    limits = RealtimeThresholds(**(thresholds or {}))
    replay = Replay("production", steps, {VEHICLE_POSITIONS: limits, TRIP_UPDATES: limits})
    return [replay.replay(one) for one in moments]


def report_of(results: Sequence[Replayed]) -> ReplayReport:
    report = ReplayReport()
    for result in results:
        report.add(result)
    return report


def test_the_same_steps_give_the_same() -> None:
    body = vehicles(0, "S1", "S2")
    (first,) = replayed([], moment(0, body, body))
    assert (first.outcome, first.comparison) == ("same", None)


def test_a_new_rule_shows_by_entity_and_field() -> None:
    body = vehicles(0, "S1", "S2")
    (first,) = replayed([FILTER_S1], moment(0, body, body))
    assert first.outcome == "different"
    assert first.comparison is not None
    (difference,) = first.comparison.differences
    assert "train 0" in difference.identity
    assert {change.path for change in difference.changes} == {
        "vehicle.stop_id",
        "vehicle.current_stop_sequence",
        "vehicle.current_status",
    }


def test_steps_see_the_time_of_then() -> None:
    seen: list[datetime] = []

    @step(files=[])
    def look(feed: RealtimeFeeds, context: StepContext) -> None:
        seen.append(context.now)

    body = vehicles(0, "S1")
    one = moment(0, body, body)
    replayed([look], one)
    assert seen == [one.steps_at]


def test_a_header_that_a_step_sets_to_the_time_of_the_run_is_the_same_again() -> None:
    body = vehicles(0, "S1")
    one = moment(0, body, None)
    made = FeedMessage.FromString(body)
    made.header.timestamp = int(one.steps_at.timestamp())
    (first,) = replayed([UpdateFeedHeader(timestamp="now")], moment(0, body, serialize_feed(made)))
    assert first.outcome == "same"


def test_steps_see_every_feed_of_the_run_and_run_once_for_both() -> None:
    runs: list[tuple[str, ...]] = []

    @step(files=[])
    def look(feed: RealtimeFeeds) -> None:
        runs.append(feed.names)

    bodies = {
        VEHICLE_POSITIONS: vehicles(0, "S1"),
        TRIP_UPDATES: serialize_feed(feed_message(trip_update("t", "S1"), timestamp=int(at(0).timestamp()))),
    }
    moments = [moment(0, b"", body, feed=feed, bodies=bodies) for feed, body in bodies.items()]
    assert [result.outcome for result in replayed([look], *moments)] == ["same", "same"]
    assert runs == [(VEHICLE_POSITIONS, TRIP_UPDATES)]


class WantsPublished(Step[RealtimeFeeds]):
    """Notes how many vehicles were live before each run."""

    name = "wants_published"
    files = frozenset[str]()
    seen: ClassVar[list[int | None]] = []

    @property
    def wanted_inputs(self) -> frozenset[str]:
        return frozenset({"published_vehicle_positions"})

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        live = context.inputs.get("published_vehicle_positions")
        self.seen.append(len(live.entity) if isinstance(live, FeedMessage) else None)


def test_a_step_that_wants_what_was_live_gets_what_went_out_then() -> None:
    moments = [moment(number, vehicles(number, *["S1"] * (number + 1)), vehicles(number, "S2")) for number in range(2)]
    limits = {VEHICLE_POSITIONS: RealtimeThresholds()}
    for went_out in ({}, {VEHICLE_POSITIONS: vehicles(-1, "S1", "S1", "S1")}):
        replay = Replay("production", [WantsPublished()], limits, went_out)
        for one in moments:
            replay.replay(one)
    assert WantsPublished.seen == [None, 1, 3, 1]


def test_what_a_guard_would_refuse_today_is_told_unless_it_was_accepted_then() -> None:
    full = vehicles(0, "S1", "S2")
    empty = vehicles(1)
    moments = [moment(0, full, full), moment(1, empty, empty)]
    first, second = replayed([], *moments)
    assert (first.outcome, second.outcome) == ("same", "refused")
    assert "has_entities" in second.reason
    guards = frozenset({"has_entities_while_trips_run", second.reason.partition(":")[0]})
    accepted = moment(1, empty, empty, accepted=guards)
    assert replayed([], moments[0], accepted)[1].outcome == "same"


def test_a_step_that_fails_today_is_told() -> None:
    @step(files=[])
    def break_off(feed: RealtimeFeeds) -> None:
        raise KeyError("no such route")

    body = vehicles(0, "S1")
    published, unpublished = replayed([break_off], moment(0, body, body), moment(1, body, None))
    assert (published.outcome, unpublished.outcome) == ("failed", "still_not_published")
    assert "no such route" in published.reason


def test_what_was_not_published_passes_today_or_still_does_not() -> None:
    old = vehicles(-100, "S1")
    results = replayed([], moment(0, old, None), moment(1, vehicles(1, "S1"), None))
    assert [result.outcome for result in results] == ["still_not_published", "passes_today"]


def test_what_never_went_out_makes_nothing_after_it_a_step_back() -> None:
    """As it is listed by when it was fetched, a version that was overtaken comes before the publication of an older."""
    older, overtaken = vehicles(1, "S1"), vehicles(2, "S1")
    results = replayed([], moment(2, overtaken, None), moment(3, older, older))
    assert [result.outcome for result in results] == ["passes_today", "same"]


def test_other_entity_ids_alone_are_no_difference_and_are_counted() -> None:
    body = vehicles(0, "S1", "S2")
    renamed = FeedMessage.FromString(body)
    for entity in renamed.entity:
        entity.id += " of the run before"
    results = replayed([], moment(0, body, serialize_feed(renamed)))
    assert [result.outcome for result in results] == ["same"]
    assert report_of(results).to_dict()["other_entity_ids_or_order"] == {VEHICLE_POSITIONS: 1}


@pytest.fixture
def report() -> ReplayReport:
    """Train 0 stands at S1 in the snapshots 1 to 3 of five."""
    bodies = [vehicles(number, "S1" if 1 <= number <= 3 else "S3", "S2") for number in range(5)]
    return report_of(replayed([FILTER_S1], *(moment(number, body, body) for number, body in enumerate(bodies))))


def test_a_report_names_each_entity_once_with_its_first_and_last_snapshot(report: ReplayReport) -> None:
    document = report.to_dict()
    assert (document["snapshots"], document["differing"]) == (5, 3)
    assert document["outcomes"] == {VEHICLE_POSITIONS: {"same": 2, "different": 3}}
    (entity,) = document["entities"]
    assert "train 0" in entity["identity"]
    assert entity["fields"] == {
        "vehicle.current_status": 3,
        "vehicle.current_stop_sequence": 3,
        "vehicle.stop_id": 3,
    }
    assert (entity["snapshots"], entity["first"], entity["last"]) == (
        3,
        (at(1) + timedelta(seconds=2)).isoformat(),
        (at(3) + timedelta(seconds=2)).isoformat(),
    )


def test_a_report_counts_by_kind_and_field(report: ReplayReport) -> None:
    changes = {change["field"]: change for change in report.to_dict()["changes"]}
    assert changes.keys() == {"vehicle.stop_id", "vehicle.current_stop_sequence", "vehicle.current_status"}
    stop = changes["vehicle.stop_id"]
    assert (stop["kind"], stop["entities"], stop["snapshots"]) == ("changed", 1, 3)
    assert stop["example"].endswith("S1 → not set")


def test_fields_of_a_list_are_one_field() -> None:
    bodies = [
        serialize_feed(feed_message(trip_update("t", *stop_ids), timestamp=int(at(0).timestamp())))
        for stop_ids in (("S1", "S2", "S3"), ("S4", "S5", "S3"))
    ]
    results = replayed([], moment(0, bodies[0], bodies[1], feed=TRIP_UPDATES))
    fields = [change["field"] for change in report_of(results).to_dict()["changes"]]
    assert fields
    assert len(fields) == len(set(fields))
    assert not any("stop_sequence 1" in field for field in fields)


def test_entities_that_vanish_and_appear_are_kinds_of_their_own() -> None:
    before, after = vehicles(0, "S1", "S2"), vehicles(0, "S1")
    vanished = report_of(replayed([], moment(0, after, before))).to_dict()["changes"]
    appeared = report_of(replayed([], moment(0, before, after))).to_dict()["changes"]
    assert [(change["kind"], change["field"]) for change in vanished] == [("removed", None)]
    assert [(change["kind"], change["field"]) for change in appeared] == [("added", None)]


def test_reasons_are_the_same_reason_whatever_their_numbers() -> None:
    moments = [moment(number, vehicles(number - 100, "S1"), b"\x00") for number in range(3)]
    (reason,) = report_of(replayed([], *moments)).to_dict()["reasons"]
    assert (reason["outcome"], reason["snapshots"]) == ("refused", 3)


def test_a_page_tells_all_this_in_tables(report: ReplayReport) -> None:
    report.note_schedules({"old": "new", "same": "same"})
    page = unescape(report.to_markdown())
    assert page.startswith("3 of 5 snapshots would have gone out differently or not at all.")
    assert "| vehicle_positions | vehicle | changed | vehicle.stop_id | 1 | 3 |" in page
    assert "The schedule old is gone; new stood for it." in page
    assert "same is gone" not in page


def test_no_text_of_a_vendor_is_markup_on_the_page() -> None:
    report = ReplayReport()
    nasty = "<script>x</script> [y](javascript:z) `w` | qq\n\n# u"
    report.add(Replayed(feed=VEHICLE_POSITIONS, version_id="v", at=at(0), outcome="failed", reason=nasty))
    page = report.to_markdown()
    assert "script" in page
    for mark in ("<", "](", "`", "| qq", "\n# u"):
        assert mark not in page


def test_an_empty_report_is_a_page_too() -> None:
    assert ReplayReport().to_markdown().startswith("0 of 0 snapshots")
    assert ReplayReport().to_dict()["outcomes"] == {}
