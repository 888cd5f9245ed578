"""Metrics of what is live, read from the manifests in the published store, and whether the archive can be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from continuous_gtfs import names
from continuous_gtfs.agencies.agency import Agency, Freshness
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.opening import open_store
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.metrics import catalogue as metrics
from continuous_gtfs.metrics.samples import Sample, sample
from continuous_gtfs.pims.catalog import FeedKind

_PROBED = "metrics/probe"


def published_samples(agencies: Sequence[Agency], published_url: str) -> list[Sample]:
    """What is live of every feed that is published.

    Raises:
        ContinuousGtfsError: The store cannot be read.
    """
    publisher = Publisher(open_store(published_url))
    found: list[Sample] = []
    for agency in agencies:
        for environment in agency.environments:
            for feed, publication, freshness in _publications(agency, environment):
                labels = (agency.name, environment, feed)
                found += _samples(publisher.current(publication), labels, freshness)
    return found


def archive_samples(archive_url: str) -> list[Sample]:
    """Nothing but whether the archive answers: it is asked for an object that is not there.

    Raises:
        ContinuousGtfsError: It does not.
    """
    open_store(archive_url).stat(_PROBED)
    return []


def _publications(agency: Agency, environment: str) -> Iterator[tuple[str, str, Freshness]]:
    if agency.sources(environment, FeedKind.SCHEDULE):
        yield "schedule", names.schedule_publication(environment), agency.schedule_freshness
    for source in agency.sources(environment, FeedKind.REALTIME):
        if source.is_published:
            yield source.feed, names.realtime_publication(environment, source.feed), agency.realtime_freshness


def _samples(manifest: Manifest | None, labels: tuple[str, str, str], freshness: Freshness) -> Iterator[Sample]:
    yield sample(metrics.PUBLISHED, *labels, value=manifest is not None)
    yield sample(metrics.OLD_AFTER, *labels, value=freshness.warn_after.total_seconds())
    yield sample(metrics.STALE_AFTER, *labels, value=freshness.fail_after.total_seconds())
    if manifest is None:
        return
    feed, told = labels[-1], manifest.facts
    yield sample(metrics.PUBLISHED_AT, *labels, value=manifest.published_at.timestamp())
    yield sample(metrics.BYTES, *labels, value=manifest.objects[0].bytes)
    fetched = [datetime.fromisoformat(one["fetched_at"]).timestamp() for one in (told.get("inputs") or {}).values()]
    if fetched:
        yield sample(metrics.FETCHED_AT, *labels, value=max(fetched))
    for metric, fact in ((metrics.HEADER_AT, "header_timestamps"), (metrics.ENTITIES, "entities")):
        value = (told.get(fact) or {}).get(feed)
        if value is not None:
            yield sample(metric, *labels, value=value)
