"""InsertMissingCancellations: a trip that should be under way and that no vendor mentions is told to be cancelled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta

from google.transit.gtfs_realtime_pb2 import FeedMessage, TripDescriptor

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.trip_runs import TripRun, clock_time, runs_under_way, service_day
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import Step, StepContext
from continuous_gtfs.realtime.builtin.cancellations import Mentions, inserted_id, is_inserted, only_cancels
from continuous_gtfs.realtime.builtin.entities import (
    PUBLISHED_TRIP_UPDATES,
    nothing_matched,
    report,
    report_unknown_routes,
    require_duration,
    require_limits,
    schedule_index,
    unique_texts,
    unused,
)
from continuous_gtfs.realtime.feeds import TRIP_UPDATES, VEHICLE_POSITIONS, RealtimeFeeds
from continuous_gtfs.realtime.messages import header_timestamp


@dataclass(frozen=True)
class InsertMissingCancellations(Step[RealtimeFeeds]):
    """Appends a ``CANCELED`` trip update for each trip that has begun by the schedule and that no source mentions.

    A trip counts from ``delay`` after its start until ``until_end`` before its end, on the service days of the agency's
    timezone; one of frequencies.txt at exact times run by run, one by headway not at all, since none of its runs can be
    told. Any mention will do, and one without a date or a start stands for every run of its trip. A cancellation that
    is live already stays until the trip's end (input ``published_trip_updates``), or the trip would be said to run
    again for its last minutes.

    At its place in the list the trips must have the ids of the published schedule and still be there: after
    ``RewriteTripIds``, before ``ConvertScheduledToNew`` and before what drops vehicles or trips.

    That a vendor says nothing is no reason to cancel a network. Nothing is inserted, with a warning, if there is no
    schedule or it does not cover today; if a source is missing, too old, or empty but for cancellations, which may be
    carried on from what is published; if too large a share would go.

    Attributes:
        delay: Time for a vehicle to log on to its trip. A trip that has begun less long ago is not looked at.
        until_end: A trip that ends within this time is not newly cancelled: vehicles arrive early, and vendors drop a
            trip as soon as its vehicle is through with it.
        route_ids: Routes that the vendor reports on; None for all. Name them where others are run by somebody else.
        sources: The feeds that mention trips. Each must be there.
        max_share: Share of the trips under way, 0 to 1, that may be missing.
        always_allowed: So many may be missing whatever share they are: of two trips at night, one is half.
        max_source_age: A source whose header is older by the clock of the run says nothing of what runs now.
    """

    _: KW_ONLY
    delay: timedelta = timedelta(minutes=10)
    until_end: timedelta = timedelta(minutes=10)
    route_ids: Collection[str] | None = None
    sources: Collection[str] = (TRIP_UPDATES, VEHICLE_POSITIONS)
    max_share: float = 0.25
    always_allowed: int = 3
    max_source_age: timedelta = timedelta(minutes=5)
    name: str = "InsertMissingCancellations"
    files: frozenset[str] | None = frozenset({TRIP_UPDATES})

    def __post_init__(self) -> None:
        kind = "InsertMissingCancellations"
        require_duration(kind, "delay", self.delay, may_be_zero=True)
        require_duration(kind, "until_end", self.until_end, may_be_zero=True)
        require_duration(kind, "max_source_age", self.max_source_age)
        if self.route_ids is not None:
            object.__setattr__(self, "route_ids", frozenset(unique_texts(kind, "route_ids", self.route_ids)))
        object.__setattr__(self, "sources", unique_texts(kind, "sources", self.sources))
        if TRIP_UPDATES not in self.sources:
            raise StepDefinitionError(f"{kind}: sources must name {TRIP_UPDATES}, where cancellations are")
        require_limits(kind, self.max_share, self.always_allowed)

    @property
    def wanted_inputs(self) -> frozenset[str]:
        return frozenset({PUBLISHED_TRIP_UPDATES})

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        index = schedule_index("InsertMissingCancellations", context)
        if index is None or not self._may_judge(feed, index, context):
            return
        report_unknown_routes(context, self.route_ids, index)
        runs, inexact = runs_under_way(index, context.now, started_for=self.delay)
        if inexact:
            message = f"{inexact:,} trips by headway are under way, of which no run can be told"
            context.find(Finding("info", "trips_by_headway", message, TRIP_UPDATES, inexact))
        if self.route_ids is not None:
            runs = [run for run in runs if index.trips[run.trip_id].route_id in self.route_ids]
        runs = self._not_about_to_end(runs, index, context)
        mentions = Mentions(feed.message(source) for source in self.sources)
        missing = [run for run in runs if not mentions.include(run, index.trips[run.trip_id].route_id)]
        if not missing:
            nothing_matched(context, f"of {len(runs):,} trips under way each is mentioned")
        elif len(missing) > max(self.max_share * len(runs), self.always_allowed):
            what = (
                f"of {len(runs):,} trips under way are in none of {', '.join(self.sources)}, more than may be "
                f"({self.max_share:.0%}, at least {self.always_allowed}): none was cancelled"
            )
            report(context, "warning", "too_many_trips_missing", what, TRIP_UPDATES, map(_named, missing))
        else:
            edited = feed.edit(TRIP_UPDATES)
            taken = {entity.id for entity in edited.entity}
            for run in missing:
                entity = edited.entity.add(id=unused(inserted_id(run), taken))
                taken.add(entity.id)
                _describe(entity.trip_update.trip, run, index)
            what = f"of {len(runs):,} trips under way cancelled, since nothing mentions them"
            report(context, "warning", "cancellations_inserted", what, TRIP_UPDATES, map(_named, missing))

    def _not_about_to_end(self, runs: list[TripRun], index: ScheduleIndex, context: StepContext) -> list[TripRun]:
        """The runs that are not over soon, and those of the others that we have cancelled already."""
        published = context.inputs.get(PUBLISHED_TRIP_UPDATES)
        entities = published.entity if isinstance(published, FeedMessage) else ()
        trips = [entity.trip_update.trip for entity in entities if is_inserted(entity)]
        cancelled = {(trip.trip_id, trip.start_date, trip.start_time) for trip in trips}
        seconds = dict(index.service_days_reaching(context.now))
        margin_s = self.until_end.total_seconds()
        return [
            run for run in runs if run.end_s - seconds[run.service_date] > margin_s or _told_apart(run) in cancelled
        ]

    def _may_judge(self, feed: RealtimeFeeds, index: ScheduleIndex, context: StepContext) -> bool:
        """Whether schedule and sources can tell that a trip is missing; if not, each reason is a warning."""
        reasons: list[tuple[str, str, str | None]] = []
        today = service_day(index, context.now)
        if index.first_date is None or index.last_date is None or not index.first_date <= today <= index.last_date:
            covered = f"{index.first_date} to {index.last_date}" if index.first_date else "no day"
            reasons.append(("schedule_does_not_cover_today", f"the schedule covers {covered}, not {today}", None))
        for source in self.sources:
            if source not in feed:
                reasons.append(("source_missing", f"this run has no {source}", source))
                continue
            timestamp = header_timestamp(feed.message(source))
            if only_cancels(feed.message(source)):
                reasons.append(("source_empty", f"{source} has no entity that is not a cancellation", source))
            elif timestamp is None:
                reasons.append(("source_too_old", f"{source} does not say how old it is", source))
            elif (age_s := context.now.timestamp() - timestamp) > self.max_source_age.total_seconds():
                limit_s = self.max_source_age.total_seconds()
                reasons.append(("source_too_old", f"{source} is {age_s:.0f} s old, more than {limit_s:g} s", source))
        for code, told, about in reasons:
            context.find(Finding("warning", code, f"{told}: no trip was cancelled", about))
        return not reasons


def _describe(trip: TripDescriptor, run: TripRun, index: ScheduleIndex) -> None:
    """Says that a run is cancelled, the same in each run of the pipeline: its trip update has no timestamp."""
    indexed = index.trips[run.trip_id]
    trip.trip_id, trip.start_date, start_time = _told_apart(run)
    trip.schedule_relationship = TripDescriptor.CANCELED
    if indexed.route_id:
        trip.route_id = indexed.route_id
    if indexed.direction_id is not None:
        trip.direction_id = indexed.direction_id
    if start_time:
        trip.start_time = start_time


def _told_apart(run: TripRun) -> tuple[str, str, str]:
    """What tells a run from others in a feed: trip_id, start_date and start_time."""
    return run.trip_id, f"{run.service_date:%Y%m%d}", clock_time(run.start_s) if run.repeats else ""


def _named(run: TripRun) -> str:
    return " ".join(_told_apart(run)).rstrip()
