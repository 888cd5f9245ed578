"""Which feeds Capital Transit has at its vendor, and the numbers by which they are judged."""

from __future__ import annotations

from datetime import timedelta

from continuous_gtfs.agencies.agency import Agency, Freshness, RealtimeThresholds, ScheduleThresholds
from continuous_gtfs.pims.catalog import FeedKind, FeedSource

# Names of settings, not their values: those are in .env, or in Secret Manager.
BASE_URL = "${config:PIMS_PRODUCTION_URL}"
HEADERS = {"X-PIMS-Token": "${secret:PIMS_PRODUCTION_TOKEN}"}

AGENCY = Agency(
    name="capital_transit",
    title="Capital Transit",
    timezone="America/Los_Angeles",
    country_code="US",
    feeds=(
        FeedSource(
            environment="production",
            feed="schedule",
            kind=FeedKind.SCHEDULE,
            url=f"{BASE_URL}/gtfs/schedule.zip",
            headers=HEADERS,
            poll_every_s=10,
            timeout_s=25,
            max_bytes=50_000_000,
        ),
        *(
            FeedSource(
                environment="production",
                feed=feed,
                kind=FeedKind.REALTIME,
                url=f"{BASE_URL}/gtfs-rt/{feed}.pb",
                headers=HEADERS,
                poll_every_s=5,
                timeout_s=8,
                max_bytes=5_000_000,
            )
            for feed in ("vehicle_positions", "trip_updates")
        ),
    ),
    schedule_freshness=Freshness(warn_after=timedelta(days=45), fail_after=timedelta(days=90)),
    realtime_freshness=Freshness(warn_after=timedelta(minutes=2), fail_after=timedelta(minutes=5)),
    schedule=ScheduleThresholds(covers_next_days=7, days_without_trips=3),
    realtime=RealtimeThresholds(header_age_s=90),
)
