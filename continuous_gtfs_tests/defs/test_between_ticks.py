"""What goes on between the ticks of a sensor, and who takes it over."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from continuous_gtfs.defs.between_ticks import ContinuedPolling, Polling, Ticked
from continuous_gtfs.defs.decisions import RunState, Trigger
from continuous_gtfs.defs.watch_seams import History, Vendor
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pims.client import PimsClient
from continuous_gtfs.pims.outcomes import CouldNotTell, FetchOutcome, NotModified
from continuous_gtfs.pims.secrets import EnvironmentSecrets
from continuous_gtfs_tests.defs.test_watch import SOURCES, TIMING, TU, VP, ScriptedVendor, body, done, identify

POLLING = Polling(sources=SOURCES, code_version="code", process="p1", timing=replace(TIMING, goes_on_s=60.0))


def wait_for(condition: Callable[[], object], *, what: str, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout_s:g} s: {what}"
        time.sleep(0.01)


def is_polling() -> bool:
    return any(thread.name == "polls production" for thread in threading.enumerate())


@pytest.fixture
def continued() -> Iterator[ContinuedPolling]:
    """As a sensor has it; nothing of it is left after the test."""
    continued = ContinuedPolling()
    yield continued
    continued.end()
    wait_for(lambda: not is_polling(), what="the end of polling")


def client() -> PimsClient:
    return PimsClient(config={}, secrets=EnvironmentSecrets({}))


def tick(
    continued: ContinuedPolling, vendor: ScriptedVendor | Vendor, cursor: str | None, polling: Polling = POLLING
) -> Ticked:
    seams = vendor.as_vendor() if isinstance(vendor, ScriptedVendor) else vendor
    return continued.tick(polling, cursor, client, lambda _: seams)


def succeeded() -> History:
    return done(RunState.SUCCEEDED)


def test_what_falls_due_between_two_ticks_is_asked_for_and_told_by_the_second(continued: ContinuedPolling) -> None:
    first = ScriptedVendor({VP: [body("1")], TU: [body("1")]}, history=succeeded)
    left = tick(continued, first, None)
    assert left.result.trigger is Trigger.NEW_VERSION
    first.answers = {VP: [body("2")], TU: [body("2")]}
    wait_for(lambda: first.saved.count("2") == 2, what="both versions in the archive before a second tick")
    second = ScriptedVendor({VP: [NotModified()], TU: [NotModified()]}, history=succeeded)
    found = tick(continued, second, left.cursor)
    assert found.result.changed == {VP, TU}
    assert [version.version_id for version in found.result.new_versions] == ["2", "2"]
    assert second.saved == []


def test_a_cursor_that_another_tick_gave_back_goes_on_from_itself(continued: ContinuedPolling) -> None:
    vendor = ScriptedVendor({VP: [body("1")], TU: [body("1")]}, history=succeeded)
    first = tick(continued, vendor, None)
    vendor.answers = {VP: [body("2")], TU: [body("2")]}
    lost = tick(continued, vendor, first.cursor)
    assert {version.version_id for version in lost.result.new_versions} == {"2"}
    # The daemon died before it had kept what that tick found.
    again = tick(continued, vendor, first.cursor)
    assert {(v.feed, v.version_id) for v in again.result.new_versions} == {(VP, "2"), (TU, "2")}


def test_a_slow_answer_is_not_cut_off_by_the_end_of_a_tick(continued: ContinuedPolling) -> None:
    may_answer = threading.Event()
    vendor = ScriptedVendor({VP: [body("1"), NotModified()], TU: [body("1")]}, history=succeeded)

    async def fetch(source: FeedSource, etag: str | None, last_modified: str | None) -> FetchOutcome:
        answer = await vendor.fetch(source, etag, last_modified)
        if source.feed == TU:
            await asyncio.to_thread(may_answer.wait)
        return answer

    seams = Vendor(fetch=fetch, identify=identify, save=vendor.save, history=succeeded)
    first = tick(continued, seams, None)
    assert first.result.changed == {VP}
    may_answer.set()
    second = tick(continued, seams, first.cursor)
    assert second.result.changed == {TU}
    assert [version.feed for version in second.result.new_versions] == [TU]


def test_polling_ends_where_no_tick_follows(continued: ContinuedPolling) -> None:
    vendor = ScriptedVendor({VP: [body("1")], TU: [body("1")]}, history=succeeded)
    polling = replace(POLLING, timing=replace(TIMING, goes_on_s=0.2))
    first = tick(continued, vendor, None, polling)
    wait_for(lambda: not is_polling(), what="the end of polling")
    asked = len(vendor.asked)
    vendor.answers = {VP: [body("2")], TU: [body("2")]}
    late = tick(continued, vendor, first.cursor, polling)
    assert {version.version_id for version in late.result.new_versions} == {"2"}
    assert len(vendor.asked) >= asked + 2


def test_a_vendor_that_can_only_be_helped_by_a_person_is_left_alone_between_ticks(continued: ContinuedPolling) -> None:
    refused = CouldNotTell("unauthorized", "401", is_permanent=True)
    vendor = ScriptedVendor({VP: [refused], TU: [refused]}, history=succeeded)
    left = tick(continued, vendor, None)
    assert all(health.is_failing for health in left.result.health)
    polled_on = tick(continued, vendor, left.cursor)
    assert polled_on.result.trigger is None
    wait_for(lambda: not is_polling(), what="the end of polling")


def test_a_tick_that_fails_says_why_and_leaves_nothing_behind(continued: ContinuedPolling) -> None:
    vendor = ScriptedVendor({VP: [body("1")], TU: [body("1")]}, history=succeeded)
    first = tick(continued, vendor, None)

    def database_is_gone() -> History:
        raise ConnectionError("no database")

    broken = ScriptedVendor({VP: [body("2")], TU: [body("2")]}, history=database_is_gone)
    with pytest.raises(ConnectionError, match="no database"):
        tick(continued, broken, first.cursor)
    vendor.answers = {VP: [body("2")], TU: [body("2")]}
    after = tick(continued, vendor, first.cursor)
    assert after.result.changed == {VP, TU}


def test_a_tick_that_the_daemon_has_given_up_does_not_hold_up_the_next(continued: ContinuedPolling) -> None:
    may_end = threading.Event()
    idle = ScriptedVendor({VP: [body("1")], TU: [body("1")]}, history=succeeded)
    first = tick(continued, idle, None)

    def slow_history() -> History:
        may_end.wait()
        return succeeded()

    held = ScriptedVendor({VP: [body("2")], TU: [body("2")]}, history=slow_history)
    given_up = threading.Thread(target=tick, args=(continued, held, first.cursor))
    given_up.start()
    wait_for(lambda: "2" in held.saved, what="the tick that hangs")
    beside = ScriptedVendor({VP: [body("2")], TU: [body("2")]}, history=succeeded)
    found = tick(continued, beside, first.cursor)
    assert found.result.changed == {VP, TU}
    may_end.set()
    given_up.join()
    again = ScriptedVendor({VP: [body("3")], TU: [body("3")]}, history=succeeded)
    assert tick(continued, again, found.cursor).result.changed == {VP, TU}


@pytest.mark.parametrize("step_s", [-3600.0, -30.0, 30.0, 3600.0], ids=str)
def test_a_clock_that_is_set_keeps_no_feed_waiting(
    continued: ContinuedPolling, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    """What was planned by the clock before may lie an hour ahead of the new one."""
    right = time.time
    vendor = ScriptedVendor({VP: [body("1")], TU: [body("1")]}, history=succeeded)
    first = tick(continued, vendor, None)
    monkeypatch.setattr(time, "time", lambda: right() + step_s)
    vendor.answers = {VP: [NotModified()], TU: [NotModified()]}
    second = tick(continued, vendor, first.cursor)
    asked = len(vendor.asked)
    vendor.answers = {VP: [body("2")], TU: [body("2")]}
    third = tick(continued, vendor, second.cursor)
    assert third.result.changed == {VP, TU}
    assert len(vendor.asked) < asked + 100, "it is asked again and again"
