"""What a sensor remembers, in the cursor's JSON: across ticks, and across an upgrade."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

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


def test_what_newer_code_has_added_under_the_same_schema_is_ignored() -> None:
    cursor, pace = Cursor.from_json(SCHEMA_1, (VP, TU)), Pace(every_s=5.0)
    for at in (1_800_000_000.0, 1_800_000_020.0):
        cursor.feeds[VP].polls.note_request(at, pace)
        cursor.feeds[VP].polls.note_arrival(at, 1_800_000_000)
    newer = json.loads(cursor.to_json())
    for part in (newer, newer["feeds"][VP], newer["feeds"][VP]["polls"], newer["feeds"][VP]["version"]):
        part["added_since"] = {"some": "thing"}
    newer["feeds"][VP]["polls"]["arrivals"][0].append("added")
    assert Cursor.from_json(json.dumps(newer), (VP, TU)) == cursor


@pytest.mark.parametrize(
    "edit",
    [
        lambda cursor: cursor.pop("feeds"),
        lambda cursor: cursor.update(feeds=[]),
        lambda cursor: cursor.update(requests="4000"),
        lambda cursor: cursor.update(requested={VP: 1}),
        lambda cursor: cursor["feeds"].update({VP: None}),
        lambda cursor: cursor["feeds"][VP].pop("version"),
        lambda cursor: cursor["feeds"][VP].update(version="1700000000-abc"),
        lambda cursor: cursor["feeds"][VP].update(not_before="soon"),
        lambda cursor: cursor["feeds"][VP].update(outcomes=[1]),
        lambda cursor: cursor["feeds"][VP].update(polls={"arrivals": [[1]]}),
    ],
)
def test_a_cursor_that_somebody_has_edited_says_what_to_do(edit: Callable[[Any], object]) -> None:
    cursor = json.loads(SCHEMA_1)
    edit(cursor)
    with pytest.raises(ConfigurationError, match="reset the sensor's cursor"):
        Cursor.from_json(json.dumps(cursor), (VP, TU))


@pytest.mark.parametrize("text", ["abc", "[]", "1", "null", '"cursor"', '{"schema": 2'])
def test_what_is_no_cursor_says_what_to_do(text: str) -> None:
    with pytest.raises(ConfigurationError, match="reset the sensor's cursor"):
        Cursor.from_json(text, (VP, TU))


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
