"""A comparison as JSON and as text."""

from __future__ import annotations

import json

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.realtime.compare.feeds import compare_feeds
from continuous_gtfs.realtime.compare.report import Comparison
from continuous_gtfs_tests.realtime.captures import feed_message, trip_update, vehicle


def many_differences() -> Comparison:
    before = feed_message(*(trip_update(f"t{number}", "a") for number in range(50)), vehicle("v", "a"))
    after = feed_message(
        {
            "trip_update": {
                "trip": {"trip_id": "t0"},
                "delay": 5,
                "stop_time_update": [{"stop_sequence": 1, "stop_id": "b", "arrival": {"delay": 60}}],
            }
        },
        vehicle("v", "a"),
        vehicle("w\x1b[31m", "b"),
        timestamp=1_700_000_100,
    )
    return compare_feeds(before, after)


def test_the_counts_are_those_of_all_even_if_a_sample_is_listed() -> None:
    found = many_differences()
    document = found.to_dict(sample=3)
    assert document["counts"] == {
        "before": 51,
        "after": 3,
        "same": 1,
        "removed": 49,
        "added": 1,
        "changed": 1,
        "stale": 0,
        "other_entity_ids": 1,
    }
    assert [one["kind"] for one in document["differences"]] == ["removed"] * 3 + ["added", "changed"]
    assert len(found.to_dict()["differences"]) == len(found.differences) == 51


def test_the_document_is_json_and_names_values_and_both_entity_ids() -> None:
    document = json.loads(json.dumps(many_differences().to_dict()))
    assert (document["level"], document["level_name"]) == (None, "different")
    assert document["header_changes"] == [{"path": "header.timestamp", "before": 1_700_000_000, "after": 1_700_000_100}]
    assert document["differences"][0] == {
        "kind": "changed",
        "entity": "trip_update",
        "identity": "trip t0",
        "entity_id_before": "1",
        "entity_id_after": "1",
        "changes": [
            {"path": "trip_update.stop_time_update[stop_sequence 1].stop_id", "before": "a", "after": "b"},
            {"path": "trip_update.delay", "before": None, "after": 5},
        ],
        "is_stale": False,
    }
    same = compare_feeds(feed_message(), feed_message()).to_dict()
    assert (same["level"], same["level_name"], same["differences"]) == (0, "bytes", [])


def test_the_text_is_short_and_prints_nothing_that_moves_a_terminal() -> None:
    text = many_differences().to_text()
    assert text.splitlines()[:12] == [
        "Different.",
        "51 entities before, 3 after: 1 the same, 49 removed, 1 added, 1 changed",
        "  1 matched under another entity id",
        "Header:",
        "  header.timestamp: 1700000000 -> 1700000100",
        "Removed:",
        "  trip_update: trip t1",
        "  trip_update: trip t2",
        "  trip_update: trip t3",
        "  trip_update: trip t4",
        "  trip_update: trip t5",
        "  trip_update: trip t6",
    ]
    assert "  and 39 more" in text
    assert "    trip_update.delay: (not set) -> 5" in text
    assert "\x1b" not in text
    assert len(text.splitlines()) < 30


def test_the_text_of_the_same_feed_says_at_which_level() -> None:
    text = compare_feeds(feed_message(vehicle("v", "a")), feed_message(vehicle("v", "a"))).to_text()
    assert text == "Level 0: the same bytes.\n1 entity before, 1 after: 1 the same\n"


def test_texts_that_are_not_utf8_can_be_told() -> None:
    def latin(message: FeedMessage) -> FeedMessage:
        return FeedMessage.FromString(message.SerializeToString().replace(b"#", b"\xe9"))

    entities = [
        trip_update("caf#", "a"),
        vehicle("v#", "a") | {"id": "v#"},
        {"alert": {"header_text": {"translation": [{"text": "#"}]}}},
        {"shape": {"shape_id": "s#"}},
        {"stop": {"stop_id": "s#"}},
        {"trip_modifications": {"selected_trips": [{"trip_ids": ["t#"]}], "service_dates": ["#", "2"]}},
    ]
    found = compare_feeds(latin(feed_message(*entities)), latin(feed_message(trip_update("caf#", "a#"))))
    document = json.loads(json.dumps(found.to_dict()))
    assert document["differences"][0]["identity"] == "trip caf\\xe9"
    assert document["differences"][1]["entity_id_before"] == "v\\xe9"
    assert [one["identity"] for one in document["differences"][2:]] == [
        'alert "\\xe9"',
        "shape s\\xe9",
        "stop s\\xe9",
        "trip modifications of t\\xe9 on 2, \\xe9",
    ]
    assert "trip caf\\xe9" in found.to_text()
