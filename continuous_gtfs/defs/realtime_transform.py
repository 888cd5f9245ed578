"""What one realtime run makes of its feeds: the versions asked for, read from the archive, and the steps run on them.

Not here: whether the result is fit to be published (``realtime_guards``), and publishing it (``realtime_publication``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dagster import AssetExecutionContext
from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs import names
from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.together import together
from continuous_gtfs.defs.published_schedule import PublishedSchedule, read_published_schedule
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.guards.duplicates import Duplicates
from continuous_gtfs.realtime.making import make_feeds, published_feeds_wanted
from continuous_gtfs.realtime.messages import parse_feed
from continuous_gtfs.versions import FeedVersion


@dataclass(frozen=True, slots=True)
class Transformed:
    """What the steps made of one run's feeds, and the messages as the vendor sent them.

    Attributes:
        at: When the steps ran, by the clock they were given.
        versions: The feeds of this run and the versions they were made of.
        feeds: After the steps, each entity id once.
        results: One a step, in order.
        schedule: What the steps and the guards know of the published schedule.
        raw: As the vendor sent them.
        duplicates: By feed, what was dropped for a later entity of the same id.
        published: By feed, the label of what was live, where a step wanted it as an input.
    """

    at: datetime
    versions: dict[str, FeedVersion]
    feeds: RealtimeFeeds
    results: list[StepResult]
    schedule: PublishedSchedule
    raw: dict[str, FeedMessage]
    duplicates: dict[str, Duplicates]
    published: dict[str, str]


def transform(
    context: AssetExecutionContext,
    artifacts: Artifacts,
    environment: str,
    feeds: Sequence[str],
    steps: Sequence[Step[RealtimeFeeds]],
) -> Transformed:
    """Reads the versions that the run's tags name, or the newest ones, and runs the steps on them.

    Raises:
        ConfigurationError: The archive lacks a version that was asked for, or has none of any feed yet.
        UnreadableMessageError: A feed is no FeedMessage.
        StepFailedError: A step failed.
    """
    archive = artifacts.archive()
    # A run that a person starts names no version: it takes the newest.
    asked_for = {feed: context.run.tags.get(names.version_tag(feed)) for feed in feeds}
    wanted = published_feeds_wanted(steps)
    calls: list[Callable[[], Any]] = [
        *(partial(_fetched, archive, environment, feed, asked_for[feed]) for feed in feeds),
        *(partial(_live_feed, artifacts, environment, feed) for feed in wanted),
        partial(read_published_schedule, artifacts, environment),
    ]
    *found, schedule = together(open_store(artifacts.archive_url), calls)
    fetched = {feed: each for feed, each in zip(feeds, found[: len(feeds)], strict=True) if each is not None}
    if not fetched:
        raise ConfigurationError(
            f"no realtime feed of {environment} has been fetched yet: see the tick of "
            f"{names.sensor_name('realtime', environment)}"
        )
    versions = {feed: version for feed, (version, _) in fetched.items()}
    bodies = {feed: body for feed, (_, body) in fetched.items()}
    live = {feed: each for feed, each in zip(wanted, found[len(feeds) :], strict=True) if each is not None}
    at = datetime.now(UTC)
    made = make_feeds(
        environment,
        bodies,
        steps,
        now=at,
        index=schedule.index,
        published={feed: message for feed, (_, message) in live.items()},
    )
    labels = {feed: label for feed, (label, _) in live.items()}
    return Transformed(at, versions, made.feeds, made.results, schedule, made.raw, made.duplicates, labels)


def _fetched(archive: Archive, environment: str, feed: str, asked_for: str | None) -> tuple[FeedVersion, bytes] | None:
    """A version and its bytes; None where none was asked for and none has been fetched."""
    version = archive.find(environment, feed, asked_for) if asked_for else archive.latest(environment, feed)
    if version is None and asked_for:
        raise ConfigurationError(f"the archive has no version {asked_for} of {environment}/{feed}")
    return None if version is None else (version, archive.read(version))


def _live_feed(artifacts: Artifacts, environment: str, feed: str) -> tuple[str, FeedMessage] | None:
    """Label and message of what is live; None where nothing is."""
    name = names.realtime_publication(environment, feed)
    manifest = artifacts.publisher().current(name)
    if manifest is None:
        return None
    (published,) = (each for each in manifest.current.objects if each.extension == "pb")
    return manifest.label, parse_feed(artifacts.read_published(published), name=name)
