"""ExpireCancelledTrips: a cancellation is news for as long as its trip would have run, no longer and no shorter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from datetime import datetime

from google.transit.gtfs_realtime_pb2 import FeedEntity, FeedMessage, TripDescriptor

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.gtfs.schedule_index import ScheduleIndex
from continuous_gtfs.gtfs.times import parse_service_date, time_of_day_s
from continuous_gtfs.gtfs.trip_runs import TripRun, ends_at, service_date_of
from continuous_gtfs.pipeline.results import Finding
from continuous_gtfs.pipeline.step import Step, StepContext
from continuous_gtfs.realtime.builtin.cancellations import CANCELLED, Mentions, is_inserted
from continuous_gtfs.realtime.builtin.entities import (
    PUBLISHED_TRIP_UPDATES,
    as_text,
    drop_parts,
    named,
    nothing_matched,
    report,
    schedule_index,
    unused,
)
from continuous_gtfs.realtime.feeds import TRIP_UPDATES, VEHICLE_POSITIONS, RealtimeFeeds


@dataclass(frozen=True)
class ExpireCancelledTrips(Step[RealtimeFeeds]):
    """Drops cancellations (``CANCELED``, ``DELETED``) of trips that are over by the published schedule.

    A trip is over when the last time of its schedule has passed on its ``start_date``; one of frequencies.txt when the
    run that its ``start_time`` names would be. Without ``start_date`` the service day that began at 04:00 by the
    agency's clock is meant. A cancellation of a trip that the schedule does not know, or gives no times, stays and is
    counted. Without a schedule nothing is dropped. At its place in the list the trips must have the
    ids of the published schedule: after ``RewriteTripIds``.

    Attributes:
        keep_from_published: Cancellations that are live in the published ``trip_updates`` and that the vendor has
            left out are carried on until their trips are over, unless one of the feeds mentions the trip; one without
            a date gets the one that was meant. For a vendor who names a cancellation once and forgets it; with one
            who takes cancellations back by leaving them out it would keep what is no longer true. Those that
            ``InsertMissingCancellations`` made are not carried on. It reads the input ``published_trip_updates``.
    """

    _: KW_ONLY
    keep_from_published: bool = False
    name: str = "ExpireCancelledTrips"
    files: frozenset[str] | None = frozenset({TRIP_UPDATES})

    def __post_init__(self) -> None:
        if not isinstance(self.keep_from_published, bool):
            raise StepDefinitionError(
                f"ExpireCancelledTrips: keep_from_published={self.keep_from_published!r}; say True or False"
            )

    @property
    def wanted_inputs(self) -> frozenset[str]:
        return frozenset({PUBLISHED_TRIP_UPDATES}) if self.keep_from_published else frozenset()

    def apply(self, feed: RealtimeFeeds, context: StepContext) -> None:
        index = schedule_index("ExpireCancelledTrips", context)
        if index is None:
            return
        if TRIP_UPDATES not in feed:
            nothing_matched(context, f"this run has no {TRIP_UPDATES}")
            return
        message = feed.message(TRIP_UPDATES)
        kept = self._carried_on(feed, index, context) if self.keep_from_published else []
        over: dict[int, str] = {}
        unknown: list[str] = []
        for position, entity in _cancellations(message):
            trip = entity.trip_update.trip
            end = _end(index, trip, context.now)
            if end is None:
                unknown.append(named(trip, entity))
            elif end <= context.now:
                over[position] = named(trip, entity)
        report(
            context, "info", "cancellations_expired", "cancellations dropped, of trips that are over", TRIP_UPDATES,
            over.values(),
        )  # fmt: skip
        what = "cancellations kept though the schedule does not say when their trips are over"
        report(context, "info", "cancellations_of_unknown_trips", what, TRIP_UPDATES, unknown)
        if not over and not kept:
            nothing_matched(context, "no cancellation is of a trip that is over")
            return
        edited = feed.edit(TRIP_UPDATES)
        drop_parts(edited, over, "trip_update")
        taken = {entity.id for entity in edited.entity}
        for entity, start_date in kept:
            added = edited.entity.add(id=unused(as_text(entity.id), taken))
            taken.add(added.id)
            # No more than which trip it is: the steps after this one have been over the rest, and would be again.
            added.trip_update.trip.CopyFrom(entity.trip_update.trip)
            # Said once which day is meant, or it would be taken for the next day's from 04:00 on, and for ever.
            added.trip_update.trip.start_date = start_date

    def _carried_on(
        self, feed: RealtimeFeeds, index: ScheduleIndex, context: StepContext
    ) -> list[tuple[FeedEntity, str]]:
        """Published cancellations to keep, each with the service date that is meant."""
        published = context.inputs.get(PUBLISHED_TRIP_UPDATES)
        if not isinstance(published, FeedMessage):
            message = f"{TRIP_UPDATES} has never been published, as far as this run knows: nothing to carry on"
            context.find(Finding("info", "nothing_published", message, TRIP_UPDATES))
            return []
        present = (feed_name for feed_name in (TRIP_UPDATES, VEHICLE_POSITIONS) if feed_name in feed)
        mentions = Mentions(feed.message(feed_name) for feed_name in present)
        kept: list[tuple[FeedEntity, str]] = []
        names: list[str] = []
        for _, entity in _cancellations(published):
            trip = entity.trip_update.trip
            end = _end(index, trip, context.now)
            # What InsertMissingCancellations made is its own to make again: carried on, each run's few would add up
            # to a network, past its max_share.
            if end is None or end <= context.now or entity.is_deleted or is_inserted(entity):
                continue
            run, route_id = _run(index, trip, context.now)
            if not mentions.include(run, route_id):
                kept.append((entity, f"{run.service_date:%Y%m%d}"))
                names.append(named(trip, entity))
        what = "cancellations carried on from what is published, of trips that are not over"
        report(context, "info", "cancellations_carried_on", what, TRIP_UPDATES, names)
        return kept


def _cancellations(message: FeedMessage) -> Iterator[tuple[int, FeedEntity]]:
    for position, entity in enumerate(message.entity):
        if entity.HasField("trip_update") and entity.trip_update.trip.schedule_relationship in CANCELLED:
            yield position, entity


def _end(index: ScheduleIndex, trip: TripDescriptor, now: datetime) -> datetime | None:
    """When a trip of a feed is over; None where that cannot be told."""
    if not index.is_known_trip(trip.trip_id):
        return None
    if not trip.start_date:
        return ends_at(index, trip.trip_id, service_date_of(index, trip.trip_id, now), trip.start_time)
    service_date = parse_service_date(trip.start_date)
    return None if service_date is None else ends_at(index, trip.trip_id, service_date, trip.start_time)


def _run(index: ScheduleIndex, trip: TripDescriptor, now: datetime) -> tuple[TripRun, str]:
    """The run that a known trip of a feed means, and its route."""
    indexed = index.trips[trip.trip_id]
    service_date = parse_service_date(trip.start_date) or service_date_of(index, trip.trip_id, now)
    start_s = time_of_day_s(trip.start_time) if trip.trip_id in index.repeated_trips else None
    run = TripRun(
        trip.trip_id,
        service_date,
        start_s if start_s is not None else indexed.start_s or 0,
        indexed.end_s or 0,
        repeats=start_s is not None,
    )
    return run, indexed.route_id
