"""What the steps on cancellations share: which runs of trips a run's feeds mention, which cancellations we made.

The steps themselves: ``expired_cancellations``, ``missing_cancellations``.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.transit.gtfs_realtime_pb2 import FeedEntity, FeedMessage, TripDescriptor

from continuous_gtfs.gtfs.times import time_of_day_s
from continuous_gtfs.gtfs.trip_runs import TripRun, clock_time, may_mean
from continuous_gtfs.realtime.builtin.entities import trip_descriptors

CANCELLED = frozenset({TripDescriptor.CANCELED, TripDescriptor.DELETED})


def inserted_id(run: TripRun) -> str:
    """The entity id of a cancellation that we made, the same for the same run in every run of the pipeline."""
    start = f"-{clock_time(run.start_s)}" if run.repeats else ""
    return f"canceled-{run.service_date:%Y%m%d}-{run.trip_id}{start}"


def is_inserted(entity: FeedEntity) -> bool:
    """Whether a cancellation was made by us: no vendor has ever said that this trip does not run."""
    trip = entity.trip_update.trip
    # Protobuf hands out bytes in place of text that is not UTF-8.
    return str(entity.id).startswith(f"canceled-{trip.start_date}-{trip.trip_id}")


def only_cancels(message: FeedMessage) -> bool:
    """Whether a feed has nothing but cancellations: what is left where the vendor's feed is empty and earlier ones are
    carried on. An empty feed is one too.
    """
    return all(
        entity.HasField("trip_update") and entity.trip_update.trip.schedule_relationship in CANCELLED
        for entity in message.entity
    )


class Mentions:
    """The trips that feeds mention in any way: as running, cancelled, duplicated or modified.

    A mention that leaves out a date or a start may mean any run of the trip, so it stands for all: a trip that
    may be running is never told to be cancelled.
    """

    def __init__(self, messages: Iterable[FeedMessage]) -> None:
        self._by_trip: dict[str, list[tuple[str, str]]] = {}
        self._by_route: dict[tuple[str, int], list[str]] = {}
        for message in messages:
            for entity in message.entity:
                for trip in trip_descriptors(entity):
                    self._add(trip)

    def __len__(self) -> int:
        """Different trips."""
        return len(self._by_trip) + len(self._by_route)

    def include(self, run: TripRun, route_id: str) -> bool:
        """Whether one of them may mean this run."""
        if any(may_mean(run, *named) for named in self._by_trip.get(run.trip_id, ())):
            return True
        dates = self._by_route.get((route_id, run.start_s), ())
        return any(may_mean(run, start_date, "") for start_date in dates)

    def _add(self, trip: TripDescriptor) -> None:
        if trip.trip_id:
            self._by_trip.setdefault(trip.trip_id, []).append((trip.start_date, trip.start_time))
        elif trip.route_id and (start_s := time_of_day_s(trip.start_time)) is not None:
            # Without a trip_id, route, start and date tell a trip.
            self._by_route.setdefault((trip.route_id, start_s), []).append(trip.start_date)
        if trip.HasField("modified_trip") and trip.modified_trip.affected_trip_id:
            modified = trip.modified_trip
            self._by_trip.setdefault(modified.affected_trip_id, []).append((modified.start_date, modified.start_time))
