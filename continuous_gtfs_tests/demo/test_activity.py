from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import PublicationObject, Publisher
from continuous_gtfs.defs.cursor import Cursor, FeedMemory
from continuous_gtfs.demo.activity import Activity, could_not_tell
from continuous_gtfs.versions import FeedVersion
from continuous_gtfs_tests.demo.webserver import StandIn, answer, run, sensor, stand_in

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOURCES = load_agency(DEFAULT_AGENCY).feeds
VEHICLES = "production/vehicle_positions"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        server.answer = answer()
        yield server


def activity_of(server: StandIn, folder: Path, *, is_new: bool = True) -> Activity:
    return Activity(SOURCES, url=server.url, published=LocalStore(folder), started_at=START, is_new=is_new)


def cursor_of(outcomes: dict[str, int], *, version_id: str = "7-abc") -> str:
    version = FeedVersion(
        environment="production",
        feed="vehicle_positions",
        version_id=version_id,
        content_digest="c",
        body_digest="b",
        body_bytes=1,
        fetched_at=START + timedelta(seconds=5),
    )
    memory = FeedMemory(version=version, outcomes=outcomes)
    return Cursor(feeds={"vehicle_positions": memory, "trip_updates": FeedMemory()}).to_json()


def test_runs_are_kept_by_id_and_take_their_newest_status(server: StandIn, tmp_path: Path) -> None:
    activity = activity_of(server, tmp_path)
    created = START.timestamp() + 1
    server.answer = answer(runs=[run("a", "STARTED", created=created)])
    activity.refresh()
    assert [found.run_id for found in activity.in_progress()] == ["a"]
    server.answer = answer(runs=[run("b", "FAILURE", created=created + 9), run("a", "SUCCESS", created=created)])
    activity.refresh()
    assert activity.in_progress() == []
    assert [(found.run_id, found.status) for found in activity.runs_of("realtime/production")] == [
        ("b", "FAILURE"),
        ("a", "SUCCESS"),
    ]


def test_every_query_asks_for_what_came_after_the_start_only(server: StandIn, tmp_path: Path) -> None:
    activity = activity_of(server, tmp_path)
    activity.refresh()
    activity.refresh()
    first, second = server.asked
    assert first["runs"] == {"createdAfter": START.timestamp(), "updatedAfter": START.timestamp()}
    assert second["runs"]["createdAfter"] == START.timestamp()
    assert second["runs"]["updatedAfter"] > START.timestamp()


def test_versions_are_those_reported_since_the_start_each_once_oldest_first(server: StandIn, tmp_path: Path) -> None:
    activity = activity_of(server, tmp_path)
    at = START.timestamp()
    server.answer = answer(versions={VEHICLES: [(at + 20, "two"), (at + 1, "one"), (at - 5, "before")]})
    activity.refresh()
    server.answer = answer(versions={VEHICLES: [(at + 40, "three"), (at + 20, "two")], "other/feed": [(at, "x")]})
    activity.refresh()
    assert list(activity.feeds[VEHICLES].versions) == ["one", "two", "three"]


def test_fetches_of_a_new_state_count_from_the_first(server: StandIn, tmp_path: Path) -> None:
    activity = activity_of(server, tmp_path)
    server.answer = answer(
        sensors=[sensor("realtime_production_sensor", cursor=cursor_of({"new": 2, "could_not_tell:timeout": 1}))]
    )
    activity.refresh()
    feed = activity.feeds[VEHICLES]
    assert feed.outcomes == Counter({"new": 2, "could_not_tell:timeout": 1})
    assert (feed.latest, feed.latest_at) == ("7-abc", START + timedelta(seconds=5))
    assert activity.feeds["qa/vehicle_positions"].outcomes == Counter()


def test_fetches_before_the_start_of_a_state_carried_on_do_not_count(server: StandIn, tmp_path: Path) -> None:
    activity = activity_of(server, tmp_path, is_new=False)
    for new in (10, 13):
        server.answer = answer(
            sensors=[sensor("realtime_production_sensor", cursor=cursor_of({"new": new, "unchanged": 5}))]
        )
        activity.refresh()
    assert activity.feeds[VEHICLES].outcomes == Counter({"new": 3})


def test_a_failed_tick_is_kept_once_with_its_last_line(server: StandIn, tmp_path: Path) -> None:
    activity = activity_of(server, tmp_path)
    server.answer = answer(sensors=[sensor("realtime_qa_sensor", failed={"1": "Traceback\n  ...\nqa: no token\n"})])
    activity.refresh()
    activity.refresh()
    assert activity.failed_ticks == {("realtime_qa_sensor", "1"): "qa: no token"}


def test_seconds_to_the_first_publication_are_those_of_the_first_one_after_the_start(
    server: StandIn, tmp_path: Path
) -> None:
    activity = activity_of(server, tmp_path)
    for after_s, expected in ((-60, None), (4, 4.0), (24, 4.0)):
        Publisher(LocalStore(tmp_path)).publish(
            "realtime/production/vehicle_positions",
            objects=(
                PublicationObject(extension="pb", data=str(after_s).encode(), content_type="x/y", cache_control=None),
            ),
            label=str(after_s),
            order=after_s,
            manifest={},
            now=START + timedelta(seconds=after_s),
            keep_versions=1,
        )
        activity.refresh_publications()
        assert activity.feeds[VEHICLES].first_publication_s == expected
    manifest = activity.feeds[VEHICLES].manifest
    assert manifest is not None
    assert manifest.label == "24"


def test_ages_are_those_of_every_publication_since_the_start_by_its_header_timestamp(
    server: StandIn, tmp_path: Path
) -> None:
    activity = activity_of(server, tmp_path)
    for after_s, age_s in ((-60, 1.0), (4, 2.0), (24, 3.5), (44, 0.5), (64, 0.25)):
        at = START + timedelta(seconds=after_s)
        Publisher(LocalStore(tmp_path)).publish(
            "realtime/production/vehicle_positions",
            objects=(PublicationObject(extension="pb", data=str(after_s).encode(), content_type="x/y"),),
            label=str(after_s),
            order=[int(at.timestamp()), at.isoformat()],
            manifest={},
            now=at + timedelta(seconds=age_s),
        )
        if after_s != 24:  # one that no look fell on is in the next manifest
            activity.refresh_publications()
    assert activity.feeds[VEHICLES].ages.seconds == [3.5, 0.5, 0.25]


def test_a_webserver_that_does_not_answer_is_a_reason_to_show_and_what_was_known_stays(
    server: StandIn, tmp_path: Path
) -> None:
    activity = activity_of(server, tmp_path)
    server.answer = answer(runs=[run("a", "SUCCESS", created=START.timestamp())])
    assert could_not_tell(activity.refresh) is None
    server.answer = b"not JSON"
    assert "graphql" in (could_not_tell(activity.refresh) or "")
    assert list(activity.runs) == ["a"]
