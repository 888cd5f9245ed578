"""What a sensor remembers, in the cursor's JSON: across ticks, and across an upgrade."""

from __future__ import annotations

import json

import pytest

from continuous_gtfs.defs.cursor import Cursor
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.polling import Pace, PollMemory

VP, TU = "vehicle_positions", "trip_updates"
# As the first release wrote it, after a day.
SCHEMA_1 = json.dumps(
    {
        "schema": 1,
        "feeds": {
            VP: {
                "version": {
                    "environment": "production",
                    "feed": VP,
                    "version_id": "1700000000-abc",
                    "content_digest": "d",
                    "body_digest": "d",
                    "body_bytes": 10,
                    "fetched_at": "2026-11-24T10:00:00+00:00",
                    "header_timestamp": 1700000000,
                    "etag": '"e"',
                    "last_modified": None,
                },
                "etag": '"e"',
                "last_modified": None,
                "outcomes": {"new": 4000, "unchanged": 13000},
                "failures_in_row": 1,
                "failure": "timeout: no answer",
                "failure_is_permanent": False,
                "reported_failing": False,
                "reported_kind": None,
                "not_before": 1700000005.0,
                "cut_short": 0,
            }
        },
        "requested": {VP: "1700000000-abc"},
        "requests": 4000,
        "polled_at": 1700000001.0,
        "process": "p1",
    }
)


def test_a_cursor_of_schema_1_is_read_without_a_word_and_nothing_in_it_is_forgotten() -> None:
    cursor = Cursor.from_json(SCHEMA_1, (VP, TU))
    memory = cursor.feeds[VP]
    assert memory.version is not None
    assert memory.version.header_timestamp == 1700000000
    assert (memory.etag, memory.outcomes["new"], memory.failures_in_row) == ('"e"', 4000, 1)
    assert memory.polls == PollMemory()
    assert cursor.waiting() == frozenset()
    assert (cursor.requests, cursor.process) == (4000, "p1")
    assert Cursor.from_json(cursor.to_json(), (VP, TU)) == cursor


def test_a_cursor_of_newer_code_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="reset the sensor's cursor"):
        Cursor.from_json('{"schema": 99}', (VP, TU))


def test_what_is_learnt_of_the_rhythm_survives_and_the_cursor_stays_small() -> None:
    cursor, pace = Cursor.from_json(SCHEMA_1, (VP, TU)), Pace(every_s=5.0)
    for feed in (VP, TU):
        polls = cursor.feeds[feed].polls
        for number in range(500):
            polls.note_request(1_800_000_000.123 + 20 * number, pace)
            polls.note_arrival(1_800_000_000.123 + 20 * number, 1_800_000_000 + 20 * number)
    text = cursor.to_json()
    again = Cursor.from_json(text, (VP, TU))
    assert again.to_json() == text
    assert len(again.feeds[VP].polls.arrivals) == 12
    assert len(text) < 6000
