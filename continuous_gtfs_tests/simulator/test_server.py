"""The stand-in's own manners: token, conditional GET, versions, control, start and end as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.simulator.agency import GeneratedAgency
from continuous_gtfs.simulator.server import Simulator, SimulatorOptions
from continuous_gtfs_tests.simulator.running import PATHS, Clock, RunningSimulator, serve_in_thread

NOW = datetime(2026, 3, 2, 20, 0, 5, tzinfo=UTC)
SLOT = datetime(2026, 3, 2, 20, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with serve_in_thread(now=Clock(NOW)) as running:
        yield running


def header_timestamp(answer: httpx.Response) -> int:
    return FeedMessage.FromString(answer.raise_for_status().content).header.timestamp


# the token


@pytest.mark.parametrize("feed", PATHS)
@pytest.mark.parametrize("token", ["", "wrong", "qa-token", "production-token ünicode"])
def test_a_request_without_the_editions_token_is_refused(vendor: RunningSimulator, feed: str, token: str) -> None:
    answer = httpx.get(
        vendor.feed_url("production", feed), headers={"X-PIMS-Token": token.encode()} if token else {}, trust_env=False
    )
    assert answer.status_code == 401
    assert "ETag" not in answer.headers


def test_health_needs_no_token_and_other_paths_are_not_found(vendor: RunningSimulator) -> None:
    assert httpx.get(f"{vendor.url}/healthz", trust_env=False).status_code == 200
    assert httpx.get(f"{vendor.url}/staging/gtfs/schedule.zip", trust_env=False).status_code == 404


def test_a_feed_can_only_be_read(vendor: RunningSimulator) -> None:
    url = vendor.feed_url("qa", "schedule")
    answer = httpx.post(url, headers={"X-PIMS-Token": "qa-token"}, trust_env=False)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    head = httpx.head(url, headers={"X-PIMS-Token": "qa-token"}, trust_env=False)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(vendor.get("qa", "schedule").content)


# conditional GET


def conditions(answer: httpx.Response) -> list[tuple[dict[str, str], int]]:
    etag, last_modified = answer.headers["etag"], answer.headers["last-modified"]
    at = datetime.strptime(last_modified, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    before, after = (format_datetime(at + timedelta(seconds=s), usegmt=True) for s in (-1, 1))
    return [
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": f"W/{etag}"}, 304),
        ({"If-None-Match": f'"other", W/"more" , {etag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": etag.strip('"')}, 200),
        ({"If-None-Match": ""}, 200),
        ({"If-Modified-Since": last_modified}, 304),
        ({"If-Modified-Since": after}, 304),
        ({"If-Modified-Since": before}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": last_modified}, 200),
        ({"If-None-Match": etag, "If-Modified-Since": before}, 304),
    ]


@pytest.mark.parametrize("feed", PATHS)
def test_a_condition_is_answered_by_the_rules(vendor: RunningSimulator, feed: str) -> None:
    whole = vendor.get("qa", feed)
    assert whole.headers["etag"].startswith('"'), "a strong ETag"
    for headers, status in conditions(whole):
        answer = vendor.get("qa", feed, headers)
        assert answer.status_code == status, headers
        assert answer.content == (whole.content if status == 200 else b"")
        assert (answer.headers["etag"], answer.headers["last-modified"]) == (
            whole.headers["etag"],
            whole.headers["last-modified"],
        )


# versions


def test_a_realtime_slot_has_one_content_and_the_next_another() -> None:
    clock = Clock(NOW)
    with serve_in_thread(now=clock) as vendor:
        first = {feed: vendor.get("qa", feed) for feed in ("vehicle_positions", "trip_updates")}
        clock.at = SLOT + timedelta(seconds=19.9)
        for feed, answer in first.items():
            assert header_timestamp(answer) == int(SLOT.timestamp())
            assert vendor.get("qa", feed).content == answer.content
            assert vendor.get("qa", feed, {"If-None-Match": answer.headers["etag"]}).status_code == 304
        clock.at = SLOT + timedelta(seconds=20)
        for feed, answer in first.items():
            later = vendor.get("qa", feed, {"If-None-Match": answer.headers["etag"]})
            assert header_timestamp(later) == int(SLOT.timestamp()) + 20
            assert later.content != answer.content


def test_the_feeds_are_the_generated_agencys() -> None:
    with serve_in_thread(now=Clock(NOW), seed=3) as vendor:
        agency = GeneratedAgency(seed=3)
        # 2 March 2026 is a Monday; the service dates are laid around the one of the week before.
        expected = agency.schedule_zip(revision=0, service_start=date(2026, 2, 23))
        assert vendor.get("production", "schedule").content == expected
        for edition in ("production", "qa"):
            assert vendor.get(edition, "vehicle_positions").content == agency.vehicle_positions(SLOT, edition)
            assert vendor.get(edition, "trip_updates").content == agency.trip_updates(SLOT, edition)


def test_trip_updates_can_lag_behind_the_vehicle_positions_of_their_version() -> None:
    clock = Clock(NOW)
    with serve_in_thread(now=clock, trip_updates_lag_s=3.0) as vendor:
        for seconds, expected in ((22.0, (20, 0)), (23.0, (20, 20))):
            clock.at = SLOT + timedelta(seconds=seconds)
            ages = tuple(
                header_timestamp(vendor.get("qa", feed)) - int(SLOT.timestamp())
                for feed in ("vehicle_positions", "trip_updates")
            )
            assert ages == expected


def test_a_schedule_changes_on_its_timer_and_not_with_the_day() -> None:
    clock = Clock(NOW)
    with serve_in_thread(now=clock, schedule_every_s=86_400.0 * 10) as vendor:
        first = vendor.get("qa", "schedule")
        clock.at += timedelta(days=9)
        assert vendor.get("qa", "schedule", {"If-None-Match": first.headers["etag"]}).status_code == 304
        clock.at += timedelta(days=1)
        second = vendor.get("qa", "schedule", {"If-None-Match": first.headers["etag"]})
        assert second.status_code == 200
        assert second.headers["last-modified"] == format_datetime(clock.at.replace(microsecond=0), usegmt=True)


def test_a_new_schedule_comes_on_demand_for_one_edition_and_realtime_follows_it() -> None:
    clock = Clock(NOW)
    with serve_in_thread(now=clock) as vendor:
        before = {edition: vendor.get(edition, "schedule").headers["etag"] for edition in ("production", "qa")}
        clock.at += timedelta(seconds=1)
        answer = vendor.control("POST", "schedule", edition="qa")
        assert answer.json() == {"edition": "qa", "version": 1}
        assert vendor.get("qa", "schedule", {"If-None-Match": before["qa"]}).status_code == 200
        assert vendor.get("production", "schedule", {"If-None-Match": before["production"]}).status_code == 304
        clock.at = SLOT + timedelta(seconds=20)
        expected = GeneratedAgency().vehicle_positions(clock.at, "qa", revision=1)
        assert vendor.get("qa", "vehicle_positions").content == expected


def test_a_new_realtime_version_comes_on_demand_for_both_feeds() -> None:
    clock = Clock(NOW)
    with serve_in_thread(now=clock, realtime_every_s=None) as vendor:
        assert header_timestamp(vendor.get("qa", "trip_updates")) == int(NOW.timestamp())
        clock.at += timedelta(minutes=10)
        assert header_timestamp(vendor.get("qa", "trip_updates")) == int(NOW.timestamp())
        assert vendor.control("POST", "realtime", edition="qa").json() == {"edition": "qa", "version": 1}
        for feed in ("vehicle_positions", "trip_updates"):
            assert header_timestamp(vendor.get("qa", feed)) == int(clock.at.timestamp())
        assert header_timestamp(vendor.get("production", "trip_updates")) == int(NOW.timestamp())


# control


def test_the_state_counts_requests_by_status_and_names_the_current_versions() -> None:
    with serve_in_thread(now=Clock(NOW)) as vendor:
        etag = vendor.get("qa", "trip_updates").headers["etag"]
        vendor.get("qa", "trip_updates", {"If-None-Match": etag})
        vendor.get("qa", "trip_updates", {"X-PIMS-Token": "wrong"})
        vendor.set_fault("qa", "trip_updates", "truncated_body")
        with pytest.raises(httpx.RemoteProtocolError):
            vendor.get("qa", "trip_updates")
        state = vendor.state("qa", "trip_updates")
        assert state["requests"] == {"200": 2, "304": 1, "401": 1}
        assert state["faults_applied"] == {"truncated_body": 1}
        assert state["current"] == {
            "version": 0,
            "at": SLOT.isoformat(),
            "etag": etag,
            "bytes": len(vendor.get("qa", "trip_updates").content),
            "header_timestamp": int(SLOT.timestamp()),
        }
        assert vendor.state("production", "trip_updates")["requests"] == {}


@pytest.mark.parametrize("path", ["schedule", "realtime"])
@pytest.mark.parametrize("body", [b"{}", b'{"edition": "staging"}', b'{"edition": 1}', b"[]", b"{", b"\xff"])
def test_a_control_request_that_makes_no_sense_is_refused(vendor: RunningSimulator, path: str, body: bytes) -> None:
    answer = httpx.post(f"{vendor.url}/control/{path}", content=body, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"]


def control_statuses(vendor: RunningSimulator, token: str | None) -> set[int]:
    url = vendor.url.replace("0.0.0.0", "127.0.0.1")
    requests = [("GET", "state"), ("DELETE", "faults"), ("POST", "faults"), ("POST", "schedule"), ("POST", "realtime")]
    headers = {} if token is None else {"X-Control-Token": token}
    with httpx.Client(trust_env=False, headers=headers) as http:
        return {http.request(method, f"{url}/control/{path}").status_code for method, path in requests}


@pytest.mark.parametrize("nothing", [None, ""])
def test_control_is_off_beyond_the_loopback_interface_without_a_token(nothing: str | None) -> None:
    with serve_in_thread(now=Clock(NOW), host="0.0.0.0", control_token=nothing) as vendor:
        assert control_statuses(vendor, None) == {403}
        assert control_statuses(vendor, "") == {403}


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_control_token_must_be_carried_where_there_is_one(host: str) -> None:
    with serve_in_thread(now=Clock(NOW), host=host, control_token="c") as vendor:
        assert control_statuses(vendor, None) == {401}
        assert control_statuses(vendor, "d") == {401}
        assert control_statuses(vendor, "c") == {200, 204, 400}


# options


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"token_qa": ""}, "token_qa"),
        ({"token_production": "a\nb"}, "token_production"),
        ({"control_token": "ü"}, "control_token"),
        ({"realtime_every_s": 0.5}, "realtime_every_s"),
        ({"schedule_every_s": 0.0}, "schedule_every_s"),
        ({"realtime_every_s": float("nan")}, "realtime_every_s"),
        ({"trip_updates_lag_s": 15.0, "jitter_s": 5.0}, "trip_updates_lag_s"),
        ({"jitter_s": -1.0}, "jitter_s"),
        ({"scale": 0}, "scale"),
        ({"port": 65536}, "port"),
        ({"log_level": "loud"}, "log_level"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(changes: dict[str, Any], named: str) -> None:
    options = {"token_production": "p", "token_qa": "q"} | changes
    with pytest.raises(ConfigurationError, match=named):
        Simulator(SimulatorOptions(**options))


def test_no_token_is_in_the_options_repr() -> None:
    options = SimulatorOptions(token_production="s3cret1", token_qa="s3cret2", control_token="s3cret3")
    assert "s3cret" not in repr(options)


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        simulator = Simulator(SimulatorOptions(token_production="p", token_qa="q", port=port))
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*choose another port"):
            asyncio.run(simulator.serve(lambda url: None))


# the process

RUN = """
import sys
from continuous_gtfs.simulator.server import SimulatorOptions, run_simulator
run_simulator(SimulatorOptions(port=0, token_production="p", token_qa="q", log_level="debug"))
"""


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_as_a_process_it_tells_its_urls_and_ends_cleanly_on_a_signal(sign: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"NO_COLOR": "1"}
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            headers = {"X-PIMS-Token": "p"}
            with httpx.Client(trust_env=False, headers=headers) as http:
                answer = http.get(f"{ready['production']}/{PATHS['schedule']}")
                assert answer.status_code == 200
                fields = {"edition": "production", "feed": "schedule", "kind": "truncated_body"}
                http.post(f"{ready['simulator']}/control/faults", json=fields).raise_for_status()
                with pytest.raises(httpx.RemoteProtocolError):
                    http.get(f"{ready['production']}/{PATHS['schedule']}")
            begun = time.monotonic()
            process.send_signal(sign)
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 0
    assert time.monotonic() - begun < 1.5
    assert out == b""
    assert b"Traceback" not in err
    assert b"ERROR" not in err
