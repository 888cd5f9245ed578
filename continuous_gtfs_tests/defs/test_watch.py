"""One tick of a PIMS sensor, with a vendor made of plain functions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from continuous_gtfs import names
from continuous_gtfs.defs.cursor import Cursor
from continuous_gtfs.defs.decisions import RunFacts, RunState, Trigger
from continuous_gtfs.defs.feed_requests import FeedRequests, left_alone_until
from continuous_gtfs.defs.watch import watch
from continuous_gtfs.defs.watch_seams import History, Vendor, WatchResult, WatchTiming
from continuous_gtfs.errors import StoreError, UnreadableMessageError
from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pims.outcomes import Body, CouldNotTell, FetchOutcome, NotModified
from continuous_gtfs.pims.polling import Pace
from continuous_gtfs.versions import FeedVersion

VP, TU = "vehicle_positions", "trip_updates"
TIMING = WatchTiming(tick_s=1.0, window_s=0.3, sibling_poll_s=0.02, run_poll_s=0.02)
IDLE = History(last_run=None, last_success=None)


def source(feed: str) -> FeedSource:
    return FeedSource(
        environment="production",
        feed=feed,
        kind=FeedKind.REALTIME,
        url="http://vendor.invalid",
        poll_every_s=0.05,
        timeout_s=0.4,
        max_bytes=1000,
    )


SOURCES = (source(VP), source(TU))
USUAL_CADENCE = tuple(replace(each, poll_every_s=5.0) for each in SOURCES)


@dataclass
class ScriptedVendor:
    """Answers each feed from a list, the last answer again and again; a callable answer is asked at the request."""

    answers: dict[str, list[FetchOutcome | Callable[[], FetchOutcome]]]
    history: Callable[[], History] = lambda: IDLE
    saved: list[str] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    async def fetch(self, source: FeedSource, etag: str | None, _last_modified: str | None) -> FetchOutcome:
        self.asked.append((source.feed, etag))
        script = self.answers[source.feed]
        answer = script.pop(0) if len(script) > 1 else script[0]
        return answer if isinstance(answer, Body | NotModified | CouldNotTell) else answer()

    def save(self, version: FeedVersion, body: bytes) -> FeedVersion:
        if body == b"disk full":
            raise StoreError("no space")
        self.saved.append(version.version_id)
        return version

    def as_vendor(self) -> Vendor:
        return Vendor(fetch=self.fetch, identify=identify, save=self.save, history=self.history)


def identify(source: FeedSource, answer: Body, fetched_at: datetime) -> FeedVersion:
    if answer.body == b"garbage":
        raise UnreadableMessageError(f"{source.feed_id}: not a FeedMessage")
    return FeedVersion(
        environment=source.environment,
        feed=source.feed,
        version_id=answer.body.decode(),
        content_digest="",
        body_digest="",
        body_bytes=len(answer.body),
        fetched_at=fetched_at,
        etag=answer.etag,
    )


def body(version_id: str, etag: str | None = None) -> Body:
    return Body(version_id.encode(), etag=etag)


FAILED = CouldNotTell("timeout", "no answer within 8 s")


def tick(
    vendor: ScriptedVendor, cursor: Cursor | None = None, timing: WatchTiming = TIMING
) -> tuple[WatchResult, Cursor]:
    memory = cursor or Cursor.from_json(None, (VP, TU))
    result = asyncio.run(watch(SOURCES, memory, vendor.as_vendor(), code_version="code", process="p1", timing=timing))
    return result, memory


def quiet_cursor() -> Cursor:
    """Both feeds known and asked for, in the same process."""
    cursor = Cursor.from_json(None, (VP, TU))
    for feed in (VP, TU):
        cursor.feeds[feed].version = identify(source(feed), body("1"), datetime(2026, 11, 24, tzinfo=UTC))
        cursor.feeds[feed].reported_failing = False
    cursor.requested, cursor.process = {VP: "1", TU: "1"}, "p1"
    return cursor


def done(state: RunState, versions: dict[str, str] | None = None) -> History:
    facts = RunFacts(state=state, versions=versions or {VP: "1", TU: "1"}, code_version="code")
    return History(last_run=facts, last_success=facts if state is RunState.SUCCEEDED else None)


def test_a_pair_that_arrives_together_gives_one_run_at_once() -> None:
    started = time.monotonic()
    result, cursor = tick(ScriptedVendor({VP: [body("2")], TU: [body("2")]}))
    assert result.trigger is Trigger.NEW_VERSION
    assert result.changed == {VP, TU}
    assert cursor.requested == {VP: "2", TU: "2"}
    assert time.monotonic() - started < TIMING.window_s, "it waited for a window that had nothing to wait for"


def test_a_late_sibling_joins_the_run_and_ends_the_wait() -> None:
    vendor = ScriptedVendor({VP: [body("2")], TU: [NotModified(), NotModified(), body("2")]})
    vendor.history = lambda: done(RunState.SUCCEEDED)
    result, _ = tick(vendor, quiet_cursor())
    assert result.changed == {VP, TU}
    assert vendor.saved == ["2", "2"]


def test_a_feed_whose_sibling_does_not_come_is_not_held_beyond_the_window() -> None:
    vendor = ScriptedVendor({VP: [body("2")], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED))
    result, cursor = tick(vendor, quiet_cursor())
    assert result.trigger is Trigger.NEW_VERSION
    assert result.changed == {VP}
    assert cursor.requested == {VP: "2", TU: "1"}, "the run carries the newest known version of the sibling"


def test_a_feed_that_fell_due_too_late_for_the_tick_is_not_waited_for_in_vain() -> None:
    async def rounds_until_the_other_answers() -> int:
        vendor = ScriptedVendor({VP: [NotModified()], TU: [NotModified()]})

        async def fetch(source: FeedSource, etag: str | None, last_modified: str | None) -> FetchOutcome:
            await asyncio.sleep(0.3)
            return await vendor.fetch(source, etag, last_modified)

        seams = Vendor(fetch=fetch, identify=identify, save=vendor.save, history=vendor.history)
        cursor = quiet_cursor()
        # Asked a moment ago at the usual cadence, it falls due while the other is under way and the tick is too old.
        cursor.feeds[TU].polls.note_request(time.time() - 5 + 0.1, Pace.of(USUAL_CADENCE[1]))
        timing = replace(TIMING, tick_s=0.4 + 0.1, goes_on_s=0.0)
        requests = FeedRequests(USUAL_CADENCE, cursor, seams, timing)
        requests.start_due()
        assert requests.under_way == {VP}
        while requests.now() <= requests.last_at:
            await asyncio.sleep(0.01)
        assert requests.next_at <= requests.last_at, "it did not fall due before the last moment"
        rounds = 0
        while requests.under_way:
            requests.start_due()
            await requests.wait(float("inf"))
            rounds += 1
        return rounds

    assert asyncio.run(rounds_until_the_other_answers()) == 1


def test_a_hanging_feed_does_not_hold_up_its_sibling() -> None:
    async def run_tick() -> WatchResult:
        vendor = ScriptedVendor({VP: [body("2")], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED))

        async def fetch(source: FeedSource, etag: str | None, last_modified: str | None) -> FetchOutcome:
            if source.feed == TU:
                await asyncio.Event().wait()
            return await vendor.fetch(source, etag, last_modified)

        seams = Vendor(fetch=fetch, identify=identify, save=vendor.save, history=vendor.history)
        return await watch(SOURCES, quiet_cursor(), seams, code_version="code", process="p1", timing=TIMING)

    assert asyncio.run(run_tick()).changed == {VP}


def test_a_slow_sibling_is_given_the_time_to_answer_when_it_has_been_cut_short_twice() -> None:
    """A feed that changes at every poll would otherwise end each tick before its slow sibling has answered."""
    cursor = quiet_cursor()
    taken: list[bool] = []
    for number in range(2, 6):
        vendor = ScriptedVendor(
            {VP: [body(str(number))], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED)
        )

        async def fetch(
            source: FeedSource, etag: str | None, last_modified: str | None, vendor: ScriptedVendor = vendor
        ) -> FetchOutcome:
            if source.feed == TU:
                await asyncio.sleep(TIMING.window_s * 1.5)
            return await vendor.fetch(source, etag, last_modified)

        seams = Vendor(fetch=fetch, identify=identify, save=vendor.save, history=vendor.history)
        result = asyncio.run(watch(SOURCES, cursor, seams, code_version="code", process="p1", timing=TIMING))
        assert result.trigger is Trigger.NEW_VERSION
        taken.append(cursor.feeds[TU].outcomes.get("unchanged", 0) > sum(taken))
        for memory in cursor.feeds.values():
            memory.not_before = 0
    assert taken == [False, False, True, False]


def test_a_bug_that_one_body_brings_out_does_not_stop_the_other_feed() -> None:
    def identify_or_trip(source: FeedSource, answer: Body, fetched_at: datetime) -> FeedVersion:
        if source.feed == TU:
            raise KeyError("a bug")
        return identify(source, answer, fetched_at)

    vendor = ScriptedVendor({VP: [body("2")], TU: [body("2")]}, history=lambda: done(RunState.SUCCEEDED))
    seams = Vendor(fetch=vendor.fetch, identify=identify_or_trip, save=vendor.save, history=vendor.history)
    cursor = quiet_cursor()
    result = asyncio.run(watch(SOURCES, cursor, seams, code_version="code", process="p1", timing=TIMING))
    assert result.changed == {VP}
    assert cursor.feeds[TU].failure == "bug: KeyError: 'a bug'"


def test_an_answer_that_arrives_while_the_runs_are_looked_at_joins_the_run() -> None:
    arrived = asyncio.Event()

    async def run_tick() -> WatchResult:
        loop = asyncio.get_running_loop()
        vendor = ScriptedVendor({VP: [body("2")], TU: [body("2")]})

        async def fetch(source: FeedSource, etag: str | None, last_modified: str | None) -> FetchOutcome:
            if source.feed == TU:
                await arrived.wait()
            return await vendor.fetch(source, etag, last_modified)

        def history() -> History:
            loop.call_soon_threadsafe(arrived.set)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), loop).result()
            return done(RunState.SUCCEEDED)

        seams = Vendor(fetch=fetch, identify=identify, save=vendor.save, history=history)
        return await watch(SOURCES, quiet_cursor(), seams, code_version="code", process="p1", timing=TIMING)

    assert asyncio.run(run_tick()).changed == {VP, TU}


def test_while_a_run_is_in_flight_the_newest_version_supersedes_what_waited() -> None:
    states = [RunState.IN_FLIGHT] * 4 + [RunState.SUCCEEDED]

    def history() -> History:
        return done(states.pop(0) if len(states) > 1 else states[0])

    vendor = ScriptedVendor({VP: [body("2"), body("3")], TU: [body("2"), body("3")]}, history=history)
    result, cursor = tick(vendor, quiet_cursor(), replace(TIMING, tick_s=5.0))
    assert result.trigger is Trigger.NEW_VERSION
    assert cursor.requested == {VP: "3", TU: "3"}
    assert [v.version_id for v in result.new_versions].count("2") == 2, "each version is reported all the same"


def test_a_version_that_waits_for_a_run_to_end_survives_the_tick() -> None:
    vendor = ScriptedVendor({VP: [body("2")], TU: [body("2")]}, history=lambda: done(RunState.IN_FLIGHT))
    result, cursor = tick(vendor, quiet_cursor())
    assert result.trigger is None
    assert cursor.waiting() == {VP, TU}
    later = Cursor.from_json(cursor.to_json(), (VP, TU))
    for memory in later.feeds.values():
        memory.not_before = 0
    result, _ = tick(
        ScriptedVendor({VP: [NotModified()], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED)), later
    )
    assert result.changed == {VP, TU}


def test_a_tick_without_news_asks_for_nothing_and_ends_in_time() -> None:
    vendor = ScriptedVendor({VP: [NotModified()], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED))
    started = time.monotonic()
    result, cursor = tick(vendor, quiet_cursor())
    assert result == WatchResult()
    assert cursor.feeds[VP].outcomes["unchanged"] >= 3
    assert 0.5 < time.monotonic() - started < 5.0


def test_garbage_is_not_nothing_new_and_its_validators_are_not_kept() -> None:
    vendor = ScriptedVendor(
        {VP: [Body(b"garbage", etag='"bad"')], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED)
    )
    result, cursor = tick(vendor, quiet_cursor())
    memory = cursor.feeds[VP]
    assert memory.outcomes["could_not_tell:unreadable"] == memory.failures_in_row == 2
    assert memory.version is not None
    assert memory.version.version_id == "1", "the last good version stays the newest"
    assert '"bad"' not in {etag for _, etag in vendor.asked}
    assert [(h.feed, h.is_failing) for h in result.health] == [(VP, True)]


def test_one_failed_fetch_is_counted_but_not_reported() -> None:
    vendor = ScriptedVendor(
        {VP: [FAILED, NotModified()], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED)
    )
    result, cursor = tick(vendor, quiet_cursor())
    assert result.health == []
    assert cursor.feeds[VP].outcomes["could_not_tell:timeout"] == 1
    assert cursor.feeds[VP].failure is None


def test_a_feed_that_keeps_failing_is_reported_once_and_so_is_its_recovery() -> None:
    vendor = ScriptedVendor({VP: [FAILED], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED))
    first, cursor = tick(vendor, quiet_cursor())
    assert [(h.feed, h.is_failing, h.message) for h in first.health] == [(VP, True, "timeout: no answer within 8 s")]
    cursor.feeds[VP].not_before = 0
    second, cursor = tick(vendor, cursor)
    assert second.health == []
    cursor.feeds[VP].not_before = 0
    recovered = ScriptedVendor({VP: [NotModified()], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED))
    third, _ = tick(recovered, cursor)
    assert [(h.feed, h.is_failing) for h in third.health] == [(VP, False)]


def test_a_feed_that_answers_for_the_first_time_is_reported_as_answering() -> None:
    result, _ = tick(ScriptedVendor({VP: [body("2")], TU: [body("2")]}))
    assert {(h.feed, h.is_failing) for h in result.health} == {(VP, False), (TU, False)}


def test_a_feed_that_fails_in_another_way_is_reported_anew() -> None:
    cursor = quiet_cursor()
    cursor.feeds[VP].reported_failing, cursor.feeds[VP].reported_kind, cursor.feeds[VP].failures_in_row = True, "x", 2
    vendor = ScriptedVendor({VP: [FAILED], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED))
    result, _ = tick(vendor, cursor)
    assert [(h.feed, h.message) for h in result.health] == [(VP, "timeout: no answer within 8 s")]


def test_a_version_that_could_not_be_archived_is_not_a_version_yet() -> None:
    vendor = ScriptedVendor(
        {VP: [Body(b"disk full"), body("2")], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED)
    )
    result, cursor = tick(vendor, quiet_cursor())
    assert cursor.feeds[VP].outcomes["could_not_tell:not_archived"] == 1
    assert [v.version_id for v in result.new_versions] == ["2"]


def test_retry_after_keeps_the_vendor_alone_beyond_the_tick() -> None:
    busy = CouldNotTell("too_many_requests", "429", retry_after_s=30)
    vendor = ScriptedVendor({VP: [busy], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED))
    _, cursor = tick(vendor, quiet_cursor())
    asked = [feed for feed, _ in vendor.asked].count(VP)
    assert asked == 1
    tick(vendor, Cursor.from_json(cursor.to_json(), (VP, TU)))
    assert [feed for feed, _ in vendor.asked].count(VP) == 1


def test_a_clock_that_was_set_back_does_not_silence_a_feed() -> None:
    memory = quiet_cursor().feeds[VP]
    memory.not_before, memory.failures_in_row = 10_000.0, 1
    assert left_alone_until(memory, now=10_003.0) == 10_000
    assert left_alone_until(memory, now=9_998.0) == 10_000
    assert left_alone_until(memory, now=6_400.0) == 7_000


def test_the_sibling_is_not_hurried_while_what_is_waited_for_is_a_run() -> None:
    vendor = ScriptedVendor({VP: [body("2")], TU: [NotModified()]}, history=lambda: done(RunState.IN_FLIGHT))
    slow = tuple(replace(each, poll_every_s=10.0) for each in SOURCES)
    timing = replace(TIMING, tick_s=2.4)
    asyncio.run(watch(slow, quiet_cursor(), vendor.as_vendor(), code_version="code", process="p1", timing=timing))
    asked = [feed for feed, _ in vendor.asked].count(TU)
    assert 3 <= asked <= timing.window_s / timing.sibling_poll_s + 2, f"{asked} requests in a tick of {timing.tick_s} s"


def test_a_start_after_a_failed_run_asks_for_it_again_once() -> None:
    cursor = quiet_cursor()
    cursor.process = "before the restart"
    vendor = ScriptedVendor({VP: [NotModified()], TU: [NotModified()]}, history=lambda: done(RunState.FAILED))
    result, cursor = tick(vendor, cursor)
    assert result.trigger is Trigger.LAST_RUN_FAILED
    for memory in cursor.feeds.values():
        memory.not_before = 0
    again, _ = tick(vendor, cursor)
    assert again.trigger is None


def test_a_start_lets_newer_versions_come_first() -> None:
    cursor = quiet_cursor()
    cursor.process = "before the restart"
    vendor = ScriptedVendor({VP: [body("2")], TU: [body("2")]}, history=lambda: done(RunState.FAILED))
    result, _ = tick(vendor, cursor)
    assert result.trigger is Trigger.NEW_VERSION


def test_going_back_to_a_known_version_asks_for_a_run_again() -> None:
    cursor = quiet_cursor()
    vendor = ScriptedVendor(
        {VP: [body("2"), body("1")], TU: [body("2"), body("1")]}, history=lambda: done(RunState.SUCCEEDED)
    )
    first, cursor = tick(vendor, cursor)
    assert first.trigger is Trigger.NEW_VERSION
    for memory in cursor.feeds.values():
        memory.not_before = 0
    second, cursor = tick(vendor, cursor)
    assert second.trigger is Trigger.NEW_VERSION
    assert cursor.requested == {VP: "1", TU: "1"}


def identify_by_header(source: FeedSource, answer: Body, fetched_at: datetime) -> FeedVersion:
    """The body is the header's timestamp."""
    version = identify(source, answer, fetched_at)
    return replace(version, header_timestamp=int(answer.body))


def watch_headers(cursor: Cursor, vendor: ScriptedVendor, timing: WatchTiming = TIMING) -> WatchResult:
    seams = Vendor(fetch=vendor.fetch, identify=identify_by_header, save=vendor.save, history=vendor.history)
    return asyncio.run(watch(SOURCES, cursor, seams, code_version="code", process="p1", timing=timing))


def test_an_answer_of_a_replica_that_lags_does_not_push_aside_the_version_that_waits_for_a_run() -> None:
    cursor = quiet_cursor()
    answers: list[FetchOutcome | Callable[[], FetchOutcome]] = [body("120", '"120"'), body("100", '"100"')]
    vendor = ScriptedVendor({VP: answers, TU: [NotModified()]}, history=lambda: done(RunState.IN_FLIGHT))
    cursor.requested[VP] = "100"
    result = watch_headers(cursor, vendor)
    assert [version.version_id for version in result.new_versions] == vendor.saved == ["120"]
    assert cursor.waiting() == {VP}
    assert cursor.feeds[VP].outcomes["older"] >= 2
    assert cursor.feeds[VP].etag == '"120"'
    assert len(cursor.feeds[VP].polls.arrivals) <= 1


def test_a_vendor_that_stays_set_back_is_believed_in_the_end() -> None:
    cursor = quiet_cursor()
    vendor = ScriptedVendor({VP: [body("120"), body("100")], TU: [NotModified()]})
    vendor.history = lambda: done(RunState.IN_FLIGHT)
    watch_headers(cursor, vendor)
    again = Cursor.from_json(cursor.to_json(), (VP, TU))
    remembered = [(one.feeds[VP].older_in_row, one.feeds[VP].older_since) for one in (cursor, again)]
    assert remembered[0] == remembered[1]
    assert remembered[0][0] >= 2
    again.feeds[VP].older_in_row, again.feeds[VP].older_since = 20, time.time() - 3600
    assert [version.version_id for version in watch_headers(again, vendor).new_versions] == ["100"]
    assert again.feeds[VP].older_in_row == 0


def test_a_cursor_survives_json_and_a_feed_it_does_not_know_starts_empty() -> None:
    cursor = quiet_cursor()
    cursor.feeds[VP].count("new")
    assert Cursor.from_json(cursor.to_json(), (VP, TU)) == cursor
    wider = Cursor.from_json(cursor.to_json(), (VP, TU, "alerts"))
    assert wider.feeds["alerts"].version is None


def in_rhythm(cursor: Cursor, feed: str, newest_ago_s: float, period_s: float = 20.0) -> None:
    """The feed's versions came every ``period_s`` so far, the newest so long ago."""
    now = time.time() - newest_ago_s
    polls, pace = cursor.feeds[feed].polls, Pace.of(source(feed))
    for number in range(6, -1, -1):
        for at in (now - number * period_s - 0.2, now - number * period_s):
            polls.note_request(at, pace)
            polls.note_unchanged(at) if at == now - number * period_s - 0.2 else polls.note_arrival(at, None)


def test_a_version_does_not_wait_for_a_sibling_whose_own_is_not_due() -> None:
    cursor = quiet_cursor()
    in_rhythm(cursor, VP, newest_ago_s=20.0)
    in_rhythm(cursor, TU, newest_ago_s=10.0)
    vendor = ScriptedVendor({VP: [body("2")], TU: [body("2")]}, history=lambda: done(RunState.SUCCEEDED))
    timing = replace(TIMING, window_s=5.0)
    result = asyncio.run(
        watch(USUAL_CADENCE, cursor, vendor.as_vendor(), code_version="code", process="p1", timing=timing)
    )
    assert result.changed == {VP}, "it was still waiting when the tick was over"
    assert [feed for feed, _ in vendor.asked] == [VP], "the sibling was asked although nothing of it is due"


def test_a_version_waits_for_a_sibling_that_is_due_no_longer_than_it_is() -> None:
    cursor = quiet_cursor()
    for feed in (VP, TU):
        in_rhythm(cursor, feed, newest_ago_s=20.0)
    vendor = ScriptedVendor({VP: [body("2")], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED))
    timing = replace(TIMING, window_s=60.0, tick_s=5.0)
    result = asyncio.run(
        watch(USUAL_CADENCE, cursor, vendor.as_vendor(), code_version="code", process="p1", timing=timing)
    )
    assert result.changed == {VP}, "it was still waiting when the tick was over"
    assert 1 <= [feed for feed, _ in vendor.asked].count(TU) <= 8


def test_a_version_does_not_wait_for_a_sibling_that_is_to_be_left_alone() -> None:
    cursor = quiet_cursor()
    cursor.feeds[TU].failures_in_row, cursor.feeds[TU].not_before = 1, time.time() + 100
    vendor = ScriptedVendor({VP: [body("2")], TU: [body("2")]}, history=lambda: done(RunState.SUCCEEDED))
    result, _ = tick(vendor, cursor, replace(TIMING, window_s=60.0))
    assert result.changed == {VP}, "it was still waiting when the tick was over"


def test_a_feed_in_a_quiet_part_of_its_rhythm_is_not_asked_and_the_tick_ends_in_it() -> None:
    cursor = quiet_cursor()
    cursor.is_run_seen = True
    for feed in (VP, TU):
        in_rhythm(cursor, feed, newest_ago_s=2.0)
    vendor = ScriptedVendor({VP: [body("2")], TU: [body("2")]}, history=lambda: done(RunState.SUCCEEDED))
    result = asyncio.run(
        watch(USUAL_CADENCE, cursor, vendor.as_vendor(), code_version="code", process="p1", timing=TIMING)
    )
    assert (result, vendor.asked) == (WatchResult(), [])


def test_the_run_asked_for_last_is_looked_for_once_at_the_end_of_a_tick() -> None:
    looks: list[int] = []

    def history() -> History:
        looks.append(1)
        return done(RunState.SUCCEEDED)

    vendor = ScriptedVendor({VP: [NotModified()], TU: [NotModified()]}, history=history)
    _, cursor = tick(vendor, quiet_cursor())
    assert len(looks) == 1
    tick(vendor, Cursor.from_json(cursor.to_json(), (VP, TU)))
    assert len(looks) == 1


def test_a_request_that_was_lost_is_made_again_at_the_end_of_the_next_tick() -> None:
    vendor = ScriptedVendor(
        {VP: [NotModified()], TU: [NotModified()]},
        history=lambda: done(RunState.SUCCEEDED, {VP: "0", TU: "0"}),
    )
    result, _ = tick(vendor, quiet_cursor())
    assert result.trigger is Trigger.INPUTS_NEWER


def test_a_frozen_feed_ends_the_tick_with_a_report_and_keeps_its_version() -> None:
    cursor = quiet_cursor()
    memory = cursor.feeds[VP]
    memory.moved_to, memory.moved_at, memory.unmoved = "1", time.time() - 3600, 1000
    vendor = ScriptedVendor({VP: [NotModified()], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED))
    result, cursor = tick(vendor, cursor)
    assert [(h.feed, h.check, h.is_failing) for h in result.health] == [(VP, names.VENDOR_FEED_MOVES_CHECK, True)]
    assert result.trigger is None
    assert cursor.feeds[VP].version is not None


def test_a_version_that_comes_after_the_clock_was_set_back_is_dated_after_the_one_before_it() -> None:
    cursor = quiet_cursor()
    held = cursor.feeds[VP].version
    assert held is not None
    ahead = replace(held, fetched_at=datetime.now(UTC) + timedelta(hours=1))
    cursor.feeds[VP].version = ahead
    vendor = ScriptedVendor({VP: [body("2")], TU: [NotModified()]}, history=lambda: done(RunState.SUCCEEDED))
    result, _ = tick(vendor, cursor)
    assert [version.fetched_at > ahead.fetched_at for version in result.new_versions] == [True]
