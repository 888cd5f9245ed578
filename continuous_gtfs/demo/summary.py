"""The verdict on a demo and its summary as JSON: pure functions of what was gathered."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from statistics import median
from typing import Any

from continuous_gtfs.demo.activity import IN_PROGRESS, Activity, FeedActivity
from continuous_gtfs.demo.ages import AGE_LIMIT_S, PublicationAges, all_hold
from continuous_gtfs.pims.catalog import FeedKind

FAILED = "FAILURE"


def failures(activity: Activity) -> list[str]:
    """Everything that failed since the start, each as one line; empty when nothing did."""
    found = [
        f"run {run.run_id[:8]} of {run.job} failed"
        for run in sorted(activity.runs.values(), key=lambda run: run.created)
        if run.status == FAILED
    ]
    messages = Counter((sensor, message) for (sensor, _), message in activity.failed_ticks.items())
    found += [
        f"{sensor}: tick failed{f' {times} times' if times > 1 else ''}: {message}"
        for (sensor, message), times in messages.items()
    ]
    return found


def unpublished(activity: Activity) -> list[str]:
    """Feeds that the pipelines have not published: nothing is live, or, for realtime, nothing since the start."""
    return [feed_id for feed_id, feed in activity.feeds.items() if not is_published(feed)]


def is_published(feed: FeedActivity) -> bool:
    """A schedule that was live before and has not changed needs no new publication; realtime always does."""
    if feed.manifest is None:
        return False
    return feed.source.kind is FeedKind.SCHEDULE or feed.first_publication_s is not None


def too_old(activity: Activity) -> list[str]:
    """Realtime feeds that were too old when they went out, each as one line."""
    return [
        f"{feed_id} was too old when it was published: {feed.ages.text()}; the median may be {AGE_LIMIT_S:g} s"
        for feed_id, feed in activity.feeds.items()
        if feed.ages.holds is False
    ]


def age_lines(activity: Activity) -> list[str]:
    """How old each realtime feed was when it was published, a line each."""
    return [
        f"{feed_id}: age at publication {told}"
        for feed_id, feed in activity.feeds.items()
        if (told := feed.ages.text())
    ]


def reasons(activity: Activity, *, ran_s: float) -> list[str]:
    """Why the demo is no success, each as one line; empty when every pipeline published in time and nothing failed."""
    found = failures(activity)
    missing = unpublished(activity)
    if missing:
        found.append(
            f"not published in {ran_s:.0f} s: {', '.join(missing)} (a longer --for may do; see the logs otherwise)"
        )
    return found + too_old(activity)


def summarise(activity: Activity, *, now: datetime, problems: list[str]) -> dict[str, Any]:
    """The summary that ``--json`` writes."""
    by_job: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for run in activity.runs.values():
        by_job[run.job][run.status] += 1
    return {
        "started_at": activity.started_at.isoformat(timespec="milliseconds"),
        "ended_at": now.isoformat(timespec="milliseconds"),
        "succeeded": not problems,
        "failures": problems,
        "age_at_publication": {
            "median_limit_s": AGE_LIMIT_S,
            "holds": all_hold(feed.ages for feed in activity.feeds.values()),
        },
        "feeds": {feed_id: _feed(feed, now) for feed_id, feed in activity.feeds.items()},
        "runs": {job: dict(sorted(counts.items())) for job, counts in sorted(by_job.items())},
        "runs_by_status": dict(sorted(Counter(run.status for run in activity.runs.values()).items())),
        "runs_in_progress": sorted(run.run_id for run in activity.runs.values() if run.status in IN_PROGRESS),
    }


def _feed(feed: FeedActivity, now: datetime) -> dict[str, Any]:
    manifest = feed.manifest
    return {
        "pipeline": feed.pipeline,
        "latest_version": feed.latest,
        "versions_seen": list(feed.versions),
        "fetch_outcomes": dict(sorted(feed.outcomes.items())),
        "first_publication_s": None if feed.first_publication_s is None else round(feed.first_publication_s, 3),
        "age_at_publication": _ages(feed.ages),
        "published": None
        if manifest is None
        else {
            "label": manifest.label,
            "published_at": manifest.published_at.isoformat(timespec="milliseconds"),
            "age_s": round((now - manifest.published_at).total_seconds(), 3),
            "objects": [
                {"path": item.path, "sha256": item.sha256, "bytes": item.bytes, "content_type": item.content_type}
                for item in manifest.objects
            ],
        },
    }


def _ages(ages: PublicationAges) -> dict[str, Any] | None:
    seconds = ages.seconds
    if not seconds:
        return None
    return {
        "publications": len(seconds),
        "median_s": round(median(seconds), 3),
        "max_s": round(max(seconds), 3),
        "last_s": round(seconds[-1], 3),
    }
