"""Where the stand-in's feeds come from: the protocol of a source, and the generated agency as one."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Protocol

from continuous_gtfs.simulator.agency import GeneratedAgency
from continuous_gtfs.simulator.feeds_clock import FeedTick

EDITIONS = ("production", "qa")
REALTIME_FEEDS = ("vehicle_positions", "trip_updates")
FEEDS = ("schedule", *REALTIME_FEEDS)


class FeedsSource(Protocol):
    """Gives the bytes of each version. The same arguments give the same bytes."""

    @property
    def feeds(self) -> frozenset[str]:
        """The feeds it has; the others are not found."""

    @property
    def has_schedule_versions(self) -> bool:
        """Whether ``schedule`` differs by revision."""

    def schedule(self, edition: str, revision: int) -> bytes:
        """The schedule zip of the ``revision``-th version, counted from 0."""

    def realtime(self, edition: str, feed: str, tick: FeedTick, revision: int) -> bytes:
        """The snapshot of a realtime feed at ``tick``, matching the schedule's ``revision``."""


class GeneratedSource:
    """The generated agency as a source.

    Args:
        seed: Of the agency.
        scale: Of the agency.
        started_at: The service dates are laid around it once, so that the zip changes with its revision only.
    """

    feeds = frozenset(FEEDS)
    has_schedule_versions = True

    def __init__(self, *, seed: int, scale: int, started_at: datetime) -> None:
        self._agency = GeneratedAgency(seed=seed, scale=scale)
        self._service_start = _monday_of_the_week_before(started_at.date())

    def schedule(self, edition: str, revision: int) -> bytes:
        return self._agency.schedule_zip(revision=revision, service_start=self._service_start)

    def realtime(self, edition: str, feed: str, tick: FeedTick, revision: int) -> bytes:
        if feed == "vehicle_positions":
            return self._agency.vehicle_positions(tick.at, edition, revision=revision)
        return self._agency.trip_updates(tick.at, edition, revision=revision)


def _monday_of_the_week_before(day: date) -> date:
    return day - timedelta(days=day.weekday() + 7)
