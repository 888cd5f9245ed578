"""Running today's steps on a snapshot of the past, and what would have been published differently.

Pure: reading the archive and choosing the schedule that was live then is the asset's business (``defs``); adding up
many snapshots is in ``replay_report``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from continuous_gtfs.errors import StepFailedError, UnreadableMessageError
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.realtime.builtin.combining import sources_of
from continuous_gtfs.realtime.compare.feeds import compare_feeds
from continuous_gtfs.realtime.compare.report import Comparison, Level
from continuous_gtfs.realtime.compare.tolerances import EXACT
from continuous_gtfs.realtime.feeds import RealtimeFeeds
from continuous_gtfs.realtime.guards.entities import entity_count
from continuous_gtfs.realtime.guards.judging import LiveFeed, judge_feed
from continuous_gtfs.realtime.guards.thresholds import RealtimeThresholds
from continuous_gtfs.realtime.making import Made, make_feeds, published_feeds_wanted
from continuous_gtfs.realtime.messages import header_timestamp, parse_feed

Outcome = Literal["same", "different", "refused", "failed", "passes_today", "still_not_published"]
"""What becomes today of a snapshot.

Of one that was published: ``same`` content, ``different``, ``refused`` by a guard, or a step ``failed``. Of one that
was not (a guard refused it then, or a newer one overtook it): ``passes_today`` if no step and no guard stands against
it, else ``still_not_published``.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One feed of one run of the past.

    Attributes:
        feed: ``vehicle_positions``.
        version_id: Of its input.
        at: When it was published; when it was fetched, if it was not.
        steps_at: The time the steps were given then.
        bodies: What the run had as input, by feed.
        published: What went out; None where nothing did.
        accepted: Guards whose failure an operator accepted then.
        schedule: Label of the schedule that ``index`` is of.
        index: None where there was none.
    """

    feed: str
    version_id: str
    at: datetime
    steps_at: datetime
    bodies: Mapping[str, bytes]
    published: bytes | None
    accepted: frozenset[str]
    schedule: str
    index: ScheduleIndex | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What today's code makes of a moment.

    Attributes:
        comparison: From what went out to what would; None where one of them is missing.
        reason: Why it would not be published; blank where it would.
    """

    feed: str
    version_id: str
    at: datetime
    outcome: Outcome
    comparison: Comparison | None = None
    reason: str = ""


class Replay:
    """Replays moments in the order of time; each is held against the one that went out before it, as the guards do.

    Args:
        environment: For errors.
        steps: Today's.
        thresholds: Today's, by feed.
        went_out: By feed, what was live before the first moment. Steps that want what was live get what went out then,
            not what would go out today: so each snapshot shows the rules alone, and no difference breeds the next.
    """

    def __init__(
        self,
        environment: str,
        steps: Sequence[Step[RealtimeFeeds]],
        thresholds: Mapping[str, RealtimeThresholds],
        went_out: Mapping[str, bytes] | None = None,
    ) -> None:
        self._wanted = published_feeds_wanted(steps)
        self._went_out = dict(went_out or {})
        self._environment = environment
        self._steps = steps
        self._thresholds = thresholds
        self._live: dict[str, LiveFeed] = {}
        self._run: tuple[tuple[object, ...], Made | str] | None = None

    def replay(self, moment: Moment) -> Replayed:
        """What would become of the moment's feed today."""
        replayed = self._replay(moment)
        if moment.published is not None:
            self._went_out[moment.feed] = moment.published
        return replayed

    def _replay(self, moment: Moment) -> Replayed:
        made = self._make(moment)
        if isinstance(made, str):
            return self._replayed(moment, made, is_failure=True)
        feed = moment.feed
        message = made.feeds.message(feed)
        guards = judge_feed(
            feed,
            message,
            raw=made.raw[feed],
            sources=[made.raw[source] for source in sources_of(self._steps, feed) if source in made.raw],
            duplicates=made.duplicates[feed],
            live=self._live.get(feed),
            index=moment.index,
            thresholds=self._thresholds[feed],
            now=moment.at,
        )
        failed = [guard for guard in guards if not guard.passed and guard.guard not in moment.accepted]
        if told := "; ".join(f"{guard.guard}: {guard.message}" for guard in failed):
            return self._replayed(moment, told, is_failure=False)
        if moment.published is None:
            # It never went out, so what came after it must not be held against it.
            return self._replayed(moment, "", is_failure=False)
        self._live[feed] = LiveFeed(
            header_timestamp=header_timestamp(made.raw[feed]),
            entities=entity_count(message),
            made_timestamp=header_timestamp(message),
        )
        after = made.feeds.to_bytes(feed)
        if after == moment.published:
            return _as(moment, "same")
        comparison = compare_feeds(
            parse_feed(moment.published, name=feed),
            parse_feed(after, name=feed),
            tolerances=EXACT,
            bodies=(moment.published, after),
        )
        return _as(moment, "same" if comparison.level <= Level.CONTENT else "different", comparison=comparison)

    def _make(self, moment: Moment) -> Made | str:
        """The feeds of the moment's run, or why there are none; made once for all feeds of a run."""
        run = (tuple(moment.bodies.items()), moment.steps_at, moment.schedule)
        if self._run is None or self._run[0] != run:
            try:
                made: Made | str = make_feeds(
                    self._environment,
                    moment.bodies,
                    self._steps,
                    now=moment.steps_at,
                    index=moment.index,
                    published={
                        feed: parse_feed(self._went_out[feed], name=feed)
                        for feed in self._wanted
                        if feed in self._went_out
                    },
                )
            except (StepFailedError, UnreadableMessageError) as error:
                made = str(error)
            self._run = run, made
        return self._run[1]

    def _replayed(self, moment: Moment, reason: str, *, is_failure: bool) -> Replayed:
        if moment.published is None:
            return _as(moment, "still_not_published" if reason else "passes_today", reason=reason)
        return _as(moment, "failed" if is_failure else "refused", reason=reason)


def _as(moment: Moment, outcome: Outcome, *, comparison: Comparison | None = None, reason: str = "") -> Replayed:
    return Replayed(
        feed=moment.feed,
        version_id=moment.version_id,
        at=moment.at,
        outcome=outcome,
        comparison=comparison,
        reason=reason,
    )
