"""Asset keys and partitions, by a written grammar.

pims/<environment>/<feed>                       external: what the vendor serves
schedule/<environment>/transformed_feed         partitioned by feed version
schedule/<environment>/feed_diff                partitioned by feed version
schedule/<environment>/published_feed           partitioned by feed version
realtime/<environment>/published_<feed>         one for each realtime feed
realtime/<environment>/archive_<feed>           partitioned by hour
realtime/<environment>/replay                   partitioned by hour
realtime/<environment>/validation               a sample of what is live
"""

from __future__ import annotations

from dagster import AssetKey, DynamicPartitionsDefinition, HourlyPartitionsDefinition

HOUR_PARTITION = "%Y-%m-%d-%H:%M"
"""How an hour's partition is named, in UTC."""

ARCHIVE_BEGINS = "2026-01-01-00:00"
"""The first hour that can be packed or replayed; what was fetched before stays in small files."""


def pims_key(environment: str, feed: str) -> AssetKey:
    return AssetKey(["pims", environment, feed])


def transformed_feed_key(environment: str) -> AssetKey:
    return AssetKey(["schedule", environment, "transformed_feed"])


def feed_diff_key(environment: str) -> AssetKey:
    return AssetKey(["schedule", environment, "feed_diff"])


def published_schedule_key(environment: str) -> AssetKey:
    return AssetKey(["schedule", environment, "published_feed"])


def published_realtime_key(environment: str, feed: str) -> AssetKey:
    return AssetKey(["realtime", environment, f"published_{feed}"])


def archive_key(environment: str, feed: str) -> AssetKey:
    return AssetKey(["realtime", environment, f"archive_{feed}"])


def replay_key(environment: str) -> AssetKey:
    return AssetKey(["realtime", environment, "replay"])


def realtime_validation_key(environment: str) -> AssetKey:
    return AssetKey(["realtime", environment, "validation"])


def archive_hours(begins: str = ARCHIVE_BEGINS) -> HourlyPartitionsDefinition:
    """One partition for each complete hour in UTC, from ``begins`` on: the current hour is none yet."""
    return HourlyPartitionsDefinition(start_date=begins, fmt=HOUR_PARTITION, timezone="UTC")


def schedule_versions(environment: str) -> DynamicPartitionsDefinition:
    """One partition for each schedule version; the key is its version_id."""
    return DynamicPartitionsDefinition(name=schedule_versions_name(environment))


def schedule_versions_name(environment: str) -> str:
    """The name under which Dagster keeps the partitions."""
    return f"schedule_{environment}_versions"
