from __future__ import annotations

import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from continuous_gtfs.agencies.agency import DEFAULT_AGENCY, load_agency
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.manifest import Manifest, Release
from continuous_gtfs.artifacts.publication import PublicationObject, Publisher
from continuous_gtfs.demo.activity import Activity, FeedActivity, RunFacts
from continuous_gtfs.demo.ages import PublicationAges
from continuous_gtfs.demo.display import PlainProgress, build_table
from continuous_gtfs.demo.summary import age_lines, reasons, summarise

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = START + timedelta(seconds=60)


@pytest.fixture
def activity(tmp_path: Path) -> Activity:
    """Every feed published 10 s after the start."""
    agency = load_agency(DEFAULT_AGENCY)
    activity = Activity(agency.feeds, url="http://x", published=LocalStore(tmp_path), started_at=START, is_new=True)
    for feed in activity.feeds.values():
        publish(tmp_path, feed.publication, START + timedelta(seconds=10))
    activity.refresh_publications()
    return activity


def publish(folder: Path, name: str, at: datetime) -> None:
    item = PublicationObject(extension="bin", data=name.encode(), content_type="x/y", cache_control=None)
    Publisher(LocalStore(folder)).publish(
        name, objects=(item,), label="v1", order=1, manifest={}, now=at, keep_versions=1
    )


def a_run(run_id: str, status: str) -> RunFacts:
    return RunFacts(
        run_id=run_id,
        job="realtime_production",
        pipeline="realtime/production",
        status=status,
        created=START.timestamp() + 5,
        ended=START.timestamp() + 7.5 if status in ("SUCCESS", "FAILURE") else None,
    )


def test_all_published_and_nothing_failed_is_a_success(activity: Activity) -> None:
    activity.runs = {"a": a_run("a", "SUCCESS"), "b": a_run("b", "STARTED")}
    activity.feeds["qa/schedule"].outcomes = Counter({"could_not_tell:timeout": 1})
    assert reasons(activity, ran_s=60) == []


def test_a_failed_run_is_a_reason(activity: Activity) -> None:
    activity.runs = {"a": a_run("aaaaaaaa-bbbb", "FAILURE")}
    assert reasons(activity, ran_s=60) == ["run aaaaaaaa of realtime_production failed"]


def test_ticks_that_failed_alike_are_one_reason_with_their_number(activity: Activity) -> None:
    activity.failed_ticks = {("s", "1"): "no token", ("s", "2"): "no token", ("t", "1"): "no token"}
    assert reasons(activity, ran_s=60) == ["s: tick failed 2 times: no token", "t: tick failed: no token"]


def test_a_feed_that_was_never_published_is_a_reason_that_names_it(activity: Activity) -> None:
    activity.feeds["qa/schedule"].manifest = None
    (reason,) = reasons(activity, ran_s=12.4)
    assert "not published in 12 s: qa/schedule" in reason
    assert "--for" in reason


def test_on_a_state_carried_on_a_schedule_may_stay_and_realtime_may_not(activity: Activity) -> None:
    for feed in activity.feeds.values():
        feed.first_publication_s = None
    (reason,) = reasons(activity, ran_s=60)
    assert "schedule" not in reason
    assert reason.count("vehicle_positions") == reason.count("trip_updates") == 2


def test_the_summary_counts_runs_and_describes_each_feed(activity: Activity) -> None:
    activity.runs = {"a": a_run("a", "SUCCESS"), "b": a_run("b", "STARTED"), "c": a_run("c", "SUCCESS")}
    feed = activity.feeds["production/vehicle_positions"]
    feed.versions = {"v1": 1.0, "v2": 2.0}
    feed.outcomes = Counter({"new": 2, "unchanged": 5})
    summary = json.loads(json.dumps(summarise(activity, now=NOW, problems=["x failed"])))

    assert summary["succeeded"] is False
    assert summary["failures"] == ["x failed"]
    assert summary["runs"] == {"realtime_production": {"STARTED": 1, "SUCCESS": 2}}
    assert summary["runs_by_status"] == {"STARTED": 1, "SUCCESS": 2}
    assert summary["runs_in_progress"] == ["b"]
    told = summary["feeds"]["production/vehicle_positions"]
    assert told["versions_seen"] == ["v1", "v2"]
    assert told["fetch_outcomes"] == {"new": 2, "unchanged": 5}
    assert told["first_publication_s"] == 10.0
    assert told["published"]["age_s"] == 50.0
    (published,) = told["published"]["objects"]
    assert published["bytes"] == len(b"realtime/production/vehicle_positions")
    assert len(published["sha256"]) == 64


def test_the_table_shows_each_feed_with_version_run_and_digest(activity: Activity) -> None:
    activity.runs = {"a": a_run("a", "SUCCESS")}
    feed = activity.feeds["production/trip_updates"]
    feed.latest, feed.latest_at = "1767-abc", NOW - timedelta(seconds=12)
    console = Console(file=io.StringIO(), width=160)
    console.print(build_table(activity, now=NOW, note=None))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    (line,) = [line for line in lines if "production/trip_updates" in line]
    assert feed.manifest is not None
    for part in ("1767-abc", "12 s", "SUCCESS 2.5 s", feed.manifest.objects[0].sha256[:12], "50 s"):
        assert part in line
    assert sum("qa/" in line for line in lines) == 3


def publish_aged(feed: FeedActivity, *ages_s: float) -> None:
    """One publication every 20 s from 10 s after the start, each so old."""
    releases = []
    for number, age_s in enumerate(ages_s):
        at = START + timedelta(seconds=10 + 20 * number)
        order = (int(at.timestamp()), "fetched")
        published_at = at + timedelta(seconds=age_s)
        releases.append(Release(label=f"v{number}", order=order, published_at=published_at, objects=()))
    *previous, current = releases
    feed.ages = PublicationAges()
    feed.ages.take(Manifest(name="x", current=current, previous=tuple(reversed(previous))), since=START)


def test_ages_are_told_without_that_of_the_first_publication_which_waited_for_the_start(activity: Activity) -> None:
    publish_aged(activity.feeds["production/vehicle_positions"], 9.0, 1.25, 0.75, 3.0)
    summary = json.loads(json.dumps(summarise(activity, now=NOW, problems=[])))
    assert summary["feeds"]["production/vehicle_positions"]["age_at_publication"] == {
        "publications": 3,
        "median_s": 1.25,
        "max_s": 3.0,
        "last_s": 3.0,
    }
    assert summary["feeds"]["production/schedule"]["age_at_publication"] is None
    assert summary["age_at_publication"] == {"median_limit_s": 30.0, "holds": True}
    assert age_lines(activity) == [
        "production/vehicle_positions: age at publication median 1.2 s, at most 3.0 s, last 3.0 s, of 3 publications"
    ]
    assert reasons(activity, ran_s=60) == []


def test_feeds_that_are_too_old_when_they_go_out_are_a_reason(activity: Activity) -> None:
    publish_aged(activity.feeds["production/vehicle_positions"], 1, 1, 1, 80)
    publish_aged(activity.feeds["qa/vehicle_positions"], 1, 31, 80, 80)
    (reason,) = reasons(activity, ran_s=60)
    assert reason.startswith("qa/vehicle_positions was too old when it was published: median 80.0 s")
    assert summarise(activity, now=NOW, problems=[])["age_at_publication"]["holds"] is False


def test_two_old_publications_are_too_few_for_a_verdict(activity: Activity) -> None:
    publish_aged(activity.feeds["qa/vehicle_positions"], 1, 80, 80)
    assert reasons(activity, ran_s=60) == []
    assert summarise(activity, now=NOW, problems=[])["age_at_publication"]["holds"] is None


def test_the_table_shows_the_last_age_at_publication_the_median_and_the_highest(activity: Activity) -> None:
    publish_aged(activity.feeds["production/trip_updates"], 9, 1.5, 0.5, 2.5, 0.75)
    console = Console(file=io.StringIO(), width=160)
    console.print(build_table(activity, now=NOW, note=None))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    (line,) = [line for line in lines if "production/trip_updates" in line]
    assert "0.8  1.1  2.5" in line


def test_plain_progress_tells_each_thing_once(activity: Activity) -> None:
    activity.runs = {"a": a_run("a", "SUCCESS"), "b": a_run("b", "STARTED")}
    console = Console(file=io.StringIO(), width=160)
    progress = PlainProgress(console)
    for note in (None, "no answer", "no answer"):
        progress.show(activity, note)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("qa/schedule: first published after 10.0 s") == 1
    assert text.count("run a of realtime_production: SUCCESS") == 1
    assert text.count("no answer") == 1
    assert "run b" not in text
