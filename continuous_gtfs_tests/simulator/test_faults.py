"""Each fault as the vendor's customer meets it: through the client of ``pims``, over a real connection."""

from __future__ import annotations

import asyncio
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.pims.client import Body, CouldNotTell, FetchOutcome, NotModified, PimsClient
from continuous_gtfs.pims.secrets import EnvironmentSecrets
from continuous_gtfs.simulator.faults import KINDS
from continuous_gtfs_tests.simulator.running import Clock, RunningSimulator, serve_in_thread

NOW = datetime(2026, 3, 2, 20, 0, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSimulator]:
    with serve_in_thread(now=Clock(NOW)) as vendor:
        yield vendor


@pytest.fixture
def vendor(running: RunningSimulator) -> Iterator[RunningSimulator]:
    yield running
    running.control("DELETE", "faults").raise_for_status()


def fetch(
    vendor: RunningSimulator, edition: str, feed: str, *, etag: str | None = None, **changes: Any
) -> FetchOutcome:
    async def main() -> FetchOutcome:
        async with PimsClient(
            config={"CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS": "127.0.0.1"}, secrets=EnvironmentSecrets({})
        ) as pims:
            return await pims.fetch(vendor.source(edition, feed, **changes), etag=etag)

    return asyncio.run(main())


def body_of(outcome: FetchOutcome) -> bytes:
    assert isinstance(outcome, Body), outcome
    return outcome.body


OUTCOMES: dict[str, tuple[str, bool]] = {
    "http_500": ("server_error", False),
    "http_503": ("server_error", False),
    "http_429": ("too_many_requests", False),
    "hang": ("timeout", False),
    "slow_body": ("timeout", False),
    "truncated_body": ("truncated", False),
    "html_200": ("html_instead_of_feed", False),
    "empty_body": ("empty_body", False),
    "oversized": ("too_large", True),
    "redirect": ("redirect_refused", True),
    "echo": ("html_instead_of_feed", False),
}
READABLE = {"garbage", "header_only", "frozen_timestamp", "zip_without_stops"}


def test_every_kind_of_fault_is_tested_here() -> None:
    assert OUTCOMES.keys() | READABLE == KINDS.keys()


@pytest.mark.parametrize("feed", ["schedule", "vehicle_positions"])
@pytest.mark.parametrize("kind", OUTCOMES)
def test_a_fault_of_the_connection_is_an_outcome_even_with_a_version_in_hand(
    vendor: RunningSimulator, kind: str, feed: str
) -> None:
    good = fetch(vendor, "production", feed)
    assert isinstance(good, Body)
    vendor.set_fault("production", feed, kind)
    outcome = fetch(vendor, "production", feed, etag=good.etag, timeout_s=0.4)
    assert isinstance(outcome, CouldNotTell), outcome
    assert (outcome.kind, outcome.is_permanent) == OUTCOMES[kind]
    assert vendor.state("production", feed)["faults_applied"][kind] >= 1
    assert fetch(vendor, "production", feed) == good, "the fault was for one request only"


def test_retry_after_comes_as_it_was_asked_for(vendor: RunningSimulator) -> None:
    vendor.set_fault("qa", "schedule", "http_429", retry_after=7)
    outcome = fetch(vendor, "qa", "schedule")
    assert isinstance(outcome, CouldNotTell)
    assert outcome.retry_after_s == 7.0
    until = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    vendor.set_fault("qa", "schedule", "http_429", retry_after=until)
    outcome = fetch(vendor, "qa", "schedule")
    assert isinstance(outcome, CouldNotTell)
    assert outcome.retry_after_s is not None
    assert 290 < outcome.retry_after_s <= 300


def test_a_slow_body_arrives_whole_for_who_waits(vendor: RunningSimulator) -> None:
    good = body_of(fetch(vendor, "qa", "trip_updates"))
    vendor.set_fault("qa", "trip_updates", "slow_body", bytes_per_s=len(good) * 2)
    begun = time.monotonic()
    assert body_of(fetch(vendor, "qa", "trip_updates")) == good
    assert time.monotonic() - begun > 0.3


def test_an_oversized_body_is_as_long_as_asked(vendor: RunningSimulator) -> None:
    vendor.set_fault("qa", "schedule", "oversized", bytes=150_000)
    assert body_of(fetch(vendor, "qa", "schedule")) == bytes(150_000)


def test_an_echo_repeats_the_request_in_its_headers_and_in_its_page(vendor: RunningSimulator) -> None:
    vendor.set_fault("qa", "schedule", "echo", status=401)
    answer = vendor.get("qa", "schedule")
    assert answer.status_code == 401
    token = answer.request.headers["x-pims-token"]
    for place in (answer.headers["etag"], answer.headers["www-authenticate"], answer.text):
        assert token in place
        assert "/qa/gtfs/schedule.zip" in place


def test_a_redirect_leads_where_asked_and_to_another_host_otherwise(vendor: RunningSimulator) -> None:
    vendor.set_fault("qa", "schedule", "redirect")
    answer = vendor.get("qa", "schedule")
    port = vendor.url.rpartition(":")[2]
    assert answer.status_code == 302
    assert answer.headers["location"] == f"http://127.0.0.2:{port}/qa/gtfs/schedule.zip"
    vendor.set_fault("qa", "schedule", "redirect", location="/qa/gtfs-rt/trip_updates.pb")
    assert body_of(fetch(vendor, "qa", "schedule")) == body_of(fetch(vendor, "qa", "trip_updates"))


@pytest.mark.parametrize("feed", ["schedule", "trip_updates"])
def test_garbage_is_a_body_that_no_reader_takes(vendor: RunningSimulator, feed: str) -> None:
    vendor.set_fault("qa", feed, "garbage", count=None, bytes=500)
    body = body_of(fetch(vendor, "qa", feed))
    assert len(body) == 500
    assert body == body_of(fetch(vendor, "qa", feed))
    assert not zipfile.is_zipfile(io.BytesIO(body))
    with pytest.raises(DecodeError):
        FeedMessage.FromString(body)


def test_a_header_only_feed_has_the_header_of_the_version_and_no_entity(vendor: RunningSimulator) -> None:
    good = FeedMessage.FromString(body_of(fetch(vendor, "qa", "vehicle_positions")))
    vendor.set_fault("qa", "vehicle_positions", "header_only")
    bare = FeedMessage.FromString(body_of(fetch(vendor, "qa", "vehicle_positions")))
    assert bare.header == good.header
    assert (len(good.entity) > 0, len(bare.entity)) == (True, 0)


def test_a_zip_without_stops_has_everything_else(vendor: RunningSimulator) -> None:
    def members(body: bytes) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(body)) as feed:
            return {name: feed.read(name) for name in feed.namelist()}

    good = members(body_of(fetch(vendor, "qa", "schedule")))
    vendor.set_fault("qa", "schedule", "zip_without_stops")
    lacking = members(body_of(fetch(vendor, "qa", "schedule")))
    assert good.pop("stops.txt")
    assert lacking == good


def test_a_frozen_timestamp_stays_while_the_content_moves_on() -> None:
    clock = Clock(NOW)
    with serve_in_thread(now=clock) as vendor:
        first = fetch(vendor, "production", "vehicle_positions")
        assert isinstance(first, Body)
        vendor.set_fault("production", "vehicle_positions", "frozen_timestamp", count=None)
        assert fetch(vendor, "production", "vehicle_positions", etag=first.etag) == NotModified()
        clock.at += timedelta(seconds=60)
        later = fetch(vendor, "production", "vehicle_positions", etag=first.etag)
        other = FeedMessage.FromString(body_of(fetch(vendor, "production", "trip_updates")))
        vendor.control("DELETE", "faults")
        thawed = FeedMessage.FromString(body_of(fetch(vendor, "production", "vehicle_positions")))
    frozen, before = FeedMessage.FromString(body_of(later)), FeedMessage.FromString(first.body)
    assert frozen.header.timestamp == before.header.timestamp
    assert other.header.timestamp == thawed.header.timestamp == before.header.timestamp + 60
    assert frozen.entity == thawed.entity
    assert frozen.entity != before.entity


def test_a_count_is_used_up_by_requests_with_a_valid_token_only(vendor: RunningSimulator) -> None:
    vendor.set_fault("qa", "schedule", "http_500", count=2)
    assert vendor.get("qa", "schedule", {"X-PIMS-Token": "wrong"}).status_code == 401
    assert [vendor.get("qa", "schedule").status_code for _ in range(3)] == [500, 500, 200]


def test_without_a_count_a_fault_stays_until_it_is_cleared(vendor: RunningSimulator) -> None:
    vendor.set_fault("qa", "schedule", "http_503", count=None)
    assert {vendor.get("qa", "schedule").status_code for _ in range(5)} == {503}
    vendor.control("DELETE", "faults")
    assert vendor.get("qa", "schedule").status_code == 200


def test_a_fault_is_of_one_edition_and_one_feed(vendor: RunningSimulator) -> None:
    vendor.set_fault("qa", "trip_updates", "http_500", count=None)
    assert vendor.get("qa", "trip_updates").status_code == 500
    assert vendor.get("production", "trip_updates").status_code == 200
    assert vendor.get("qa", "vehicle_positions").status_code == 200


def test_faults_of_one_feed_follow_one_another(vendor: RunningSimulator) -> None:
    vendor.set_fault("qa", "schedule", "http_500", count=1)
    vendor.set_fault("qa", "schedule", "http_503", count=2)
    state = vendor.control("GET", "state").json()
    assert [(fault["kind"], fault["remaining"]) for fault in state["faults"]] == [("http_500", 1), ("http_503", 2)]
    assert [vendor.get("qa", "schedule").status_code for _ in range(4)] == [500, 503, 503, 200]


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"kind": "http_418"}, "http_500"),
        ({"kind": None}, "frozen_timestamp"),
        ({"feed": "alerts"}, "vehicle_positions"),
        ({"feed": ["schedule"]}, "vehicle_positions"),
        ({"edition": "staging"}, "production, qa"),
        ({"count": 0}, "from 1"),
        ({"count": True}, "from 1"),
        ({"count": "2"}, "from 1"),
        ({"retry_after": 5}, "none"),
        ({"kind": "http_429", "retry_afetr": 5}, "retry_after"),
        ({"kind": "http_429", "retry_after": "a\r\nb"}, "retry_after"),
        ({"kind": "http_429", "retry_after": -1}, "retry_after"),
        ({"kind": "oversized", "bytes": "many"}, "bytes"),
        ({"kind": "frozen_timestamp"}, "trip_updates"),
        ({"kind": "echo", "status": 99}, "from 200 to 599"),
        ({"kind": "header_only"}, "trip_updates"),
        ({"kind": "zip_without_stops", "feed": "trip_updates"}, "schedule"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_what_can(
    vendor: RunningSimulator, changes: dict[str, Any], allowed: str
) -> None:
    fields = {"edition": "qa", "feed": "schedule", "kind": "http_500", "count": 1} | changes
    answer = vendor.control("POST", "faults", **fields)
    assert answer.status_code == 400
    assert allowed in answer.json()["error"]
    assert vendor.control("GET", "state").json()["faults"] == []


def test_the_server_ends_within_a_second_while_requests_hang_and_drip() -> None:
    waiting: list[threading.Thread] = []
    ended: list[str] = []
    with serve_in_thread(now=Clock(NOW)) as vendor:
        for feed, kind in (("schedule", "slow_body"), ("trip_updates", "hang")):
            vendor.set_fault("qa", feed, kind)

            def wait(feed: str = feed) -> None:
                outcome = fetch(vendor, "qa", feed, timeout_s=20.0)
                ended.append(getattr(outcome, "kind", "body"))

            waiting.append(threading.Thread(target=wait))
            waiting[-1].start()
        while not all(vendor.state("qa", feed)["faults_applied"] for feed in ("schedule", "trip_updates")):
            time.sleep(0.01)
        begun = time.monotonic()
    took_s = time.monotonic() - begun
    for thread in waiting:
        thread.join(10)
    assert took_s < 1.0
    assert sorted(ended) == ["server_error", "truncated"]
