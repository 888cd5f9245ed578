"""What the platform has done since a moment: versions, runs, fetches, publications. Gathers; does not judge.

One fact has one source: runs, versions and fetch outcomes are Dagster's, asked through GraphQL; what is live
is what the manifests in the published store say.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.demo.ages import PublicationAges
from continuous_gtfs.demo.graphql import ACTIVITY, ask
from continuous_gtfs.errors import TransientError
from continuous_gtfs.names import (
    PIPELINE_TAG,
    pipeline_name,
    realtime_publication,
    schedule_publication,
    sensor_name,
)
from continuous_gtfs.pims.catalog import FeedKind, FeedSource

VERSION_TAG = "dagster/data_version"
IN_PROGRESS = frozenset({"NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING", "MANAGED"})
# Events of one moment may become visible a little after those of the next: look back this far again.
OVERLAP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run: times are POSIX seconds."""

    run_id: str
    job: str
    pipeline: str
    status: str
    created: float
    ended: float | None


@dataclass(kw_only=True)
class FeedActivity:
    """One feed: what the vendor gave and what is live of it.

    Attributes:
        source: The feed as the agency declares it.
        versions: Version ids seen since the start, oldest first, with the POSIX seconds of their report.
        latest: The newest version known, also from before the start.
        latest_at: When the vendor was seen to switch to it.
        outcomes: Fetches since the start, by what they gave.
        manifest: What is live.
        first_publication_s: Seconds from the start to the first publication since; None before it.
        ages: Of a realtime feed, how old it was at each publication since the start.
    """

    source: FeedSource
    versions: dict[str, float] = field(default_factory=dict)
    latest: str | None = None
    latest_at: datetime | None = None
    outcomes: Counter[str] = field(default_factory=Counter)
    manifest: Manifest | None = None
    first_publication_s: float | None = None
    ages: PublicationAges = field(default_factory=PublicationAges)

    @property
    def pipeline(self) -> str:
        """As in the run tag: ``schedule/production``."""
        return pipeline_name(self.source.kind.value, self.source.environment)

    @property
    def sensor(self) -> str:
        """The sensor that polls the feed."""
        return sensor_name(self.source.kind.value, self.source.environment)

    @property
    def publication(self) -> str:
        """The name of the feed's publication in the published store."""
        if self.source.kind is FeedKind.SCHEDULE:
            return schedule_publication(self.source.environment)
        return realtime_publication(self.source.environment, self.source.feed)


class Activity:
    """Keeps up with a running platform: call ``refresh`` now and then.

    Args:
        sources: The feeds of the agency.
        url: Of the webserver.
        published: The published store.
        started_at: What counts is what came after it.
        is_new: The state folder was made for this start: every fetch that sensors remember came after it.
    """

    def __init__(
        self, sources: tuple[FeedSource, ...], *, url: str, published: Store, started_at: datetime, is_new: bool
    ) -> None:
        self.feeds = {source.feed_id: FeedActivity(source=source) for source in sources}
        self.runs: dict[str, RunFacts] = {}
        self.failed_ticks: dict[tuple[str, str], str] = {}
        self.started_at = started_at
        self._url = url
        self._publisher = Publisher(published)
        self._asked_until = started_at.timestamp()
        self._outcomes_before: dict[str, Counter[str]] = {key: Counter() for key in self.feeds} if is_new else {}

    def refresh(self) -> None:
        """Look again at everything.

        Raises:
            TransientError: The webserver or the store could not tell; what was known stays.
        """
        self.refresh_publications()
        started = self.started_at.timestamp()
        now = datetime.now(UTC).timestamp()
        since = max(started, self._asked_until - OVERLAP_S)
        answer = ask(
            self._url,
            ACTIVITY,
            {
                "runs": {"createdAfter": started, "updatedAfter": since},
                "since": started,
                "sinceMillis": str(int(since * 1000)),
            },
        )
        self._take_runs(answer["runsOrError"])
        self._take_sensors(answer["repositoriesOrError"])
        self._take_versions(answer["assetsOrError"])
        self._asked_until = now

    def refresh_publications(self) -> None:
        """Look again at what is live only: files, no query."""
        for feed in self.feeds.values():
            feed.manifest = self._publisher.current(feed.publication)
            if feed.first_publication_s is None and feed.manifest is not None:
                after_s = (feed.manifest.published_at - self.started_at).total_seconds()
                feed.first_publication_s = after_s if after_s >= 0 else None
            if feed.manifest is not None and feed.source.kind is FeedKind.REALTIME:
                feed.ages.take(feed.manifest, since=self.started_at)

    def runs_of(self, pipeline: str) -> list[RunFacts]:
        """Runs of one pipeline since the start, newest first."""
        runs = [run for run in self.runs.values() if run.pipeline == pipeline]
        return sorted(runs, key=lambda run: run.created, reverse=True)

    def in_progress(self) -> list[RunFacts]:
        return [run for run in self.runs.values() if run.status in IN_PROGRESS]

    def _take_runs(self, answer: dict[str, Any]) -> None:
        for run in answer.get("results", []):
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            self.runs[run["runId"]] = RunFacts(
                run_id=run["runId"],
                job=run["jobName"],
                pipeline=tags.get(PIPELINE_TAG, ""),
                status=run["status"],
                created=run["creationTime"],
                ended=run["endTime"],
            )

    def _take_sensors(self, answer: dict[str, Any]) -> None:
        remembered = {key: Counter[str]() for key in self.feeds}
        for node in answer.get("nodes", []):
            for sensor in node["sensors"]:
                state = sensor["sensorState"]
                for tick in state["ticks"]:
                    self.failed_ticks[sensor["name"], tick["tickId"]] = _innermost_message(tick["error"] or {})
                remembered |= self._take_cursor(sensor["name"], (state["typeSpecificData"] or {}).get("lastCursor"))
        if not self._outcomes_before:
            self._outcomes_before = remembered
        for feed_id, outcomes in remembered.items():
            if outcomes:
                self.feeds[feed_id].outcomes = outcomes - self._outcomes_before[feed_id]

    def _take_cursor(self, sensor: str, cursor: str | None) -> dict[str, Counter[str]]:
        """The outcomes by feed in one sensor's cursor; takes its newest versions on the way."""
        remembered: dict[str, Counter[str]] = {}
        if not cursor:
            return remembered
        for feed in self.feeds.values():
            if sensor != feed.sensor:
                continue
            memory = json.loads(cursor)["feeds"].get(feed.source.feed)
            if memory is None:
                continue
            remembered[feed.source.feed_id] = Counter(memory["outcomes"])
            if memory["version"] is not None:
                feed.latest = memory["version"]["version_id"]
                feed.latest_at = datetime.fromisoformat(memory["version"]["fetched_at"])
        return remembered

    def _take_versions(self, answer: dict[str, Any]) -> None:
        for node in answer.get("nodes", []):
            feed = self.feeds.get("/".join(node["key"]["path"][1:]))
            if feed is None:
                continue
            for event in reversed(node["assetMaterializations"]):  # newest first, as answered
                seconds = int(event["timestamp"]) / 1000
                version = next((tag["value"] for tag in event["tags"] if tag["key"] == VERSION_TAG), None)
                if version is not None and seconds >= self.started_at.timestamp():
                    feed.versions.setdefault(version, seconds)


def could_not_tell(look: Callable[[], None]) -> str | None:
    """Look; gives the reason where something could not tell, for showing in place of the news."""
    try:
        look()
    except TransientError as error:
        return str(error)
    return None


def _innermost_message(error: dict[str, Any]) -> str:
    """What a failed tick died of: Dagster's own words around it say only that something did."""
    chain = [error, *(error.get("causes") or [])]
    return (chain[-1].get("message") or "no message").strip().splitlines()[-1]
