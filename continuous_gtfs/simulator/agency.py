"""The generated agency: a deterministic stand-in for a vendor's schedule and realtime system.

This is the door to the generator; the parts behind it are ``network`` (where), ``service_days`` and
``timetable`` (when), ``schedule_zip`` (the schedule feed), ``movement`` and ``snapshots`` (the realtime
feeds).
"""

from __future__ import annotations

from datetime import date, datetime
from functools import cached_property, lru_cache

from continuous_gtfs.simulator import snapshots
from continuous_gtfs.simulator.movement import VehicleState, vehicle_states
from continuous_gtfs.simulator.network import Network, build_network
from continuous_gtfs.simulator.schedule_zip import build_schedule_zip
from continuous_gtfs.simulator.timetable import Timetable, build_timetable


class GeneratedAgency:
    """An invented agency on Puget Sound whose feeds are functions of their arguments alone.

    The same arguments give the same bytes in every process; no clock is read. Days are service days of
    America/Los_Angeles. Any two feeds made with the same ``revision`` agree with each other: every trip and
    stop of a snapshot is in the schedule, on the service date it names.

    Args:
        seed: Draws the bus network, the delays and the entity ids.
        scale: Multiplies the express bus routes, and with them their trips and vehicles.
    """

    def __init__(self, *, seed: int = 1, scale: int = 1) -> None:
        if scale < 1:
            raise ValueError(f"scale must be at least 1, not {scale}")
        self.seed = seed
        self.scale = scale
        self._timetable = lru_cache(maxsize=4)(self._build_timetable)

    def __repr__(self) -> str:
        return f"GeneratedAgency(seed={self.seed}, scale={self.scale})"

    @cached_property
    def network(self) -> Network:
        """Stops, routes and patterns."""
        return build_network(seed=self.seed, scale=self.scale)

    def timetable(self, *, revision: int = 0) -> Timetable:
        """All trips of a revision; the last few revisions are kept."""
        return self._timetable(revision)

    def schedule_zip(self, *, revision: int, service_start: date) -> bytes:
        """The GTFS Schedule zip of a revision, valid from a week before ``service_start`` to 90 days after."""
        return build_schedule_zip(
            self.network, self.timetable(revision=revision), revision=revision, service_start=service_start
        )

    def states(self, now: datetime, *, revision: int = 0) -> tuple[VehicleState, ...]:
        """Every vehicle on a trip at ``now``; never fewer than four.

        Raises:
            ValueError: ``now`` has no timezone, so it names no instant.
        """
        if now.tzinfo is None:
            raise ValueError(f"now must be timezone-aware: {now.isoformat()}")
        return tuple(vehicle_states(self.timetable(revision=revision), seed=self.seed, now=now))

    def vehicle_positions(self, now: datetime, edition: str, *, revision: int = 0) -> bytes:
        """The VehiclePositions feed at ``now``; ``qa`` has one test vehicle more, without a trip."""
        states, timestamp = self.states(now, revision=revision), int(now.timestamp())
        return snapshots.vehicle_positions(
            states,
            timestamp=timestamp,
            ids=snapshots.EntityIds(self.seed, edition, "vehicle_positions", timestamp),
            has_test_vehicle=edition == "qa",
        )

    def trip_updates(self, now: datetime, edition: str, *, revision: int = 0) -> bytes:
        """The TripUpdates feed at ``now``, one entity for each vehicle on a trip."""
        states, timestamp = self.states(now, revision=revision), int(now.timestamp())
        return snapshots.trip_updates(
            states,
            timestamp=timestamp,
            ids=snapshots.EntityIds(self.seed, edition, "trip_updates", timestamp),
        )

    def _build_timetable(self, revision: int) -> Timetable:
        return build_timetable(self.network, revision=revision)
