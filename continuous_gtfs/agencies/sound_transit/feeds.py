"""Sound Transit's feeds at the vendor, and the numbers by which they are judged."""

from __future__ import annotations

from datetime import timedelta

from continuous_gtfs.agencies.agency import Agency, Freshness, RealtimeThresholds, ScheduleThresholds
from continuous_gtfs.pims.catalog import FeedKind, FeedSource


def _edition(environment: str) -> tuple[FeedSource, ...]:
    setting = f"PIMS_{environment.upper()}"
    base_url = f"${{config:{setting}_URL}}"
    headers = {"X-PIMS-Token": f"${{secret:{setting}_TOKEN}}"}
    schedule = FeedSource(
        environment=environment,
        feed="schedule",
        kind=FeedKind.SCHEDULE,
        url=f"{base_url}/gtfs/schedule.zip",
        headers=headers,
        poll_every_s=10,
        timeout_s=25,
        max_bytes=200_000_000,
    )
    realtime = tuple(
        FeedSource(
            environment=environment,
            feed=feed,
            kind=FeedKind.REALTIME,
            url=f"{base_url}/gtfs-rt/{feed}.pb",
            headers=headers,
            poll_every_s=5,
            timeout_s=8,
            max_bytes=5_000_000,
        )
        for feed in ("vehicle_positions", "trip_updates")
    )
    return (schedule, *realtime)


AGENCY = Agency(
    name="sound_transit",
    title="Sound Transit",
    timezone="America/Los_Angeles",
    country_code="US",
    feeds=_edition("production") + _edition("qa"),
    schedule_freshness=Freshness(warn_after=timedelta(days=45), fail_after=timedelta(days=90)),
    realtime_freshness=Freshness(warn_after=timedelta(minutes=2), fail_after=timedelta(minutes=5)),
    schedule=ScheduleThresholds(
        covers_next_days=7,
        # What the steps leave of the trains rests on Saturdays, Sundays and holidays.
        days_without_trips=3,
        stop_times_fall_percent=20,
        trips_fall_percent=20,
        day_fall_percent=20,
        compared_days=14,
    ),
    realtime=RealtimeThresholds(
        header_age_s=90,
        header_ahead_s=30,
        entities_fall_percent=50,
        entities_fall_held_s=300,
        duplicate_ids_percent=10,
        unknown_trips_percent=50,
        unknown_stops_percent=50,
    ),
)
