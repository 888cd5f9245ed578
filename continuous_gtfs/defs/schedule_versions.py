"""Which feed versions a schedule run is about, and what is stored of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date
from zoneinfo import ZoneInfo

from dagster import DagsterInstance, DagsterRun

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.artifacts.manifest import Manifest, Order, is_older, normalized_order
from continuous_gtfs.artifacts.transformed import TransformedFeed
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.zipped import ACCEPTED_BEFORE
from continuous_gtfs.versions import FeedVersion

_PARTITION_TAG = "dagster/partition"
_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@dataclass(frozen=True, slots=True)
class TransformedVersion:
    """One version that has been transformed, as the stores know it."""

    record: TransformedFeed
    version: FeedVersion

    @property
    def order(self) -> Order:
        """Its place among the published ones."""
        return normalized_order(self.version.fetched_at.astimezone(UTC).isoformat(timespec="microseconds"))

    def service_date(self, agency: Agency) -> date:
        """The agency's day on which the version was fetched: a rerun next year judges it as it was judged then."""
        return self.version.fetched_at.astimezone(ZoneInfo(agency.timezone)).date()

    def is_older_than(self, live: Manifest | None) -> bool:
        """Whether something newer is live, which this version will not replace of itself."""
        return live is not None and is_older(self.order, live.order)


def version_ids_of_run(run: DagsterRun, instance: DagsterInstance, environment: str) -> tuple[str, ...]:
    """The partitions that a run is about: one, or those of a range.

    A check is not partitioned itself (in Dagster 1.13 that is a preview), so it asks the run.
    """
    if _PARTITION_TAG in run.tags:
        return (run.tags[_PARTITION_TAG],)
    first, last = (run.tags.get(tag) for tag in _RANGE_TAGS)
    known = instance.get_dynamic_partitions(keys.schedule_versions_name(environment))
    if first not in known or last not in known:
        raise ConfigurationError(
            f"this judges one version of the schedule: materialize "
            f"{keys.transformed_feed_key(environment).to_user_string()} for a partition, and it runs with it"
        )
    return tuple(known[known.index(first) : known.index(last) + 1])


def transformed_versions(
    artifacts: Artifacts, environment: str, version_ids: tuple[str, ...]
) -> Iterator[TransformedVersion]:
    """What is stored of each version, one after another."""
    for version_id in version_ids:
        record = artifacts.transformed().load(environment, version_id)
        version = artifacts.archive().find(environment, "schedule", version_id)
        if record is None or version is None:
            raise ConfigurationError(
                f"version {version_id} of {environment}/schedule has not been transformed: "
                f"materialize {keys.transformed_feed_key(environment).to_user_string()} for this partition first"
            )
        yield TransformedVersion(record, version)


def live_schedule(artifacts: Artifacts, environment: str) -> Manifest | None:
    """What is published now; None where nothing was ever."""
    return artifacts.publisher().current(names.schedule_publication(environment))


def published_zip(artifacts: Artifacts, live: Manifest) -> bytes:
    """The zip of what is published."""
    return artifacts.read_published(next(item for item in live.objects if item.extension == "zip"))


def published_schedule_feed(artifacts: Artifacts, live: Manifest) -> Feed:
    """The feed that is published."""
    return Feed.from_bytes(published_zip(artifacts, live), limits=ACCEPTED_BEFORE)
