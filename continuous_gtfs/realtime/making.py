"""From a run's bytes to what would be published: parsed, through the steps, each entity id once.

The one way from input to output: what a run publishes, a replay of it makes again. Whether it is fit to be published
is for the ``guards``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from google.transit.gtfs_realtime_pb2 import FeedMessage

from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.pipeline.running import run_steps
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.guards.duplicates import Duplicates, drop_duplicate_entities
from continuous_gtfs.realtime.messages import parse_feed

_PUBLISHED = "published_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What the steps made of one run's feeds.

    Attributes:
        feeds: After the steps, each entity id once.
        results: One a step, in order.
        raw: By feed, as the vendor sent it.
        duplicates: By feed, what was dropped for a later entity of the same id.
    """

    feeds: RealtimeFeeds
    results: list[StepResult]
    raw: dict[str, FeedMessage]
    duplicates: dict[str, Duplicates]


def published_feeds_wanted(steps: Iterable[Step[RealtimeFeeds]]) -> tuple[str, ...]:
    """The feeds of which steps want what is live: they name the input ``published_<feed>``."""
    wanted = {name for step in steps for name in step.wanted_inputs if name.startswith(_PUBLISHED)}
    return tuple(name.removeprefix(_PUBLISHED) for name in sorted(wanted))


def make_feeds(
    environment: str,
    bodies: Mapping[str, bytes],
    steps: Sequence[Step[RealtimeFeeds]],
    *,
    now: datetime,
    index: ScheduleIndex | None,
    published: Mapping[str, FeedMessage] | None = None,
) -> Made:
    """Runs the steps on feeds as fetched.

    Args:
        environment: For errors.
        bodies: By feed, in the order in which steps see them.
        now: For the steps.
        index: Of the published schedule; None where there is none.
        published: By feed, what is live, of those in ``published_feeds_wanted``.

    Raises:
        UnreadableMessageError: A feed is no FeedMessage.
        StepFailedError: A step failed.
    """
    raw = {feed: parse_feed(body, name=f"{environment}/{feed}") for feed, body in bodies.items()}
    inputs: dict[str, object] = {}
    for feed, message in (published or {}).items():
        # A step of an agency that changes it changes what its own run sees, and nobody else's.
        inputs[f"{_PUBLISHED}{feed}"] = own = FeedMessage()
        own.CopyFrom(message)
    if index is not None:
        inputs["schedule_index"] = index
    feeds, results = run_steps(steps, RealtimeFeeds(raw, bodies=bodies), now=now, inputs=inputs)
    duplicates = {feed: drop_duplicate_entities(feeds, feed) for feed in bodies}
    return Made(feeds=feeds, results=results, raw=raw, duplicates=duplicates)
