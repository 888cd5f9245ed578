"""What a version would change: the transformed feed against what is published, for a person to read.

Nothing is decided here. A comparison that fails is said loudly, and stops no publication.
"""

import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    BackfillPolicy,
    DynamicPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    asset,
)

from continuous_gtfs import __version__
from continuous_gtfs.agencies.agency import Agency
from continuous_gtfs.defs import keys
from continuous_gtfs.defs.beta import knowingly_beta
from continuous_gtfs.defs.failures import Retries, failures_explained
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.schedule_ops import SCHEDULE_POOL
from continuous_gtfs.defs.schedule_versions import (
    TransformedVersion,
    live_schedule,
    published_schedule_feed,
    transformed_versions,
)
from continuous_gtfs.errors import TransientError
from continuous_gtfs.gtfs.diff.feeds import diff_feeds
from continuous_gtfs.gtfs.diff.gtfs_diff_v2 import gtfs_diff_v2
from continuous_gtfs.gtfs.diff.markdown import markdown
from continuous_gtfs.gtfs.diff.pictures import stops_map_png, trips_by_date_png
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.zipped import ACCEPTED_BEFORE

COMPARED_CHECK = "is_compared_with_published"
# A store that fails longer is left to the publication to wait for.
_RETRIES = Retries(attempts=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the feeds compared.

    Attributes:
        source: What people call it.
        at: When it was published, or fetched.
    """

    feed: Feed
    source: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two feeds compared.

    Attributes:
        is_same: Nothing differs.
        summary: Lines for a person.
        markdown: For the asset's page, pictures included.
        documents: By the ending of its name, what to keep beside the version, and its content type.
    """

    is_same: bool
    summary: str
    markdown: str
    documents: Mapping[str, tuple[bytes, str]]


Compare = Callable[[Side, Side], Comparison]


def compare_feeds(before: Side, after: Side) -> Comparison:
    """The difference as JSON in our own form and that of GTFS Diff, as text, as Markdown and as pictures."""
    diff = diff_feeds(before.feed, after.feed)
    gtfs_diff = gtfs_diff_v2(
        diff,
        base_source=before.source,
        base_downloaded_at=before.at,
        new_source=after.source,
        new_downloaded_at=after.at,
        generated_at=datetime.now(UTC),
    )
    text = diff.to_text()
    documents = {
        "json": (json.dumps(diff.to_dict(), indent=1).encode(), "application/json"),
        "gtfs_diff_v2.json": (json.dumps(gtfs_diff, indent=1).encode(), "application/json"),
        "txt": (text.encode(), "text/plain; charset=utf-8"),
    }
    if not diff.is_same:
        documents["trips_by_date.png"] = (trips_by_date_png(diff), "image/png")
        documents["stops_map.png"] = (stops_map_png(diff), "image/png")
    return Comparison(is_same=diff.is_same, summary=text, markdown=markdown(diff), documents=documents)


@knowingly_beta()
def feed_diff_asset(
    agency: Agency, environment: str, partitions_def: DynamicPartitionsDefinition, compare: Compare
) -> AssetsDefinition:
    """``schedule/<environment>/feed_diff``: from what is published to the version's transformed feed."""
    key = keys.feed_diff_key(environment)

    @asset(
        key=key,
        group_name=f"schedule_{environment}",
        description=f"What differs between {agency.title}'s transformed feed and the one that is published.",
        kinds={"gtfs"},
        partitions_def=partitions_def,
        backfill_policy=BackfillPolicy.single_run(),
        deps=[keys.transformed_feed_key(environment)],
        check_specs=[
            AssetCheckSpec(
                COMPARED_CHECK,
                asset=key,
                description="The two feeds could be compared. A failure stops no publication.",
            )
        ],
        pool=SCHEDULE_POOL,
        code_version=__version__,
    )
    def feed_diff(context: AssetExecutionContext, artifacts: Artifacts) -> Iterator[MaterializeResult[None]]:
        compared: dict[str, dict[str, Any]] = {}
        failure = ""
        try:
            with failures_explained(_RETRIES, context.op_execution_context.retry_number):
                for subject in transformed_versions(artifacts, environment, tuple(context.partition_keys)):
                    compared[subject.version.version_id] = _compare(artifacts, subject, compare)
        except Exception as error:
            if (
                isinstance(error.__cause__, TransientError)
                and context.op_execution_context.retry_number < _RETRIES.attempts
            ):
                raise
            failure = _told(error)
            context.log.error(
                "the comparison with what is published failed; publication goes on without it:\n%s",
                traceback.format_exc(),
            )
        metadata = next(iter(compared.values())) if len(compared) == 1 else _outcomes(compared)
        if failure:
            metadata = {**metadata, "outcome": "failed", "error": failure}
        yield MaterializeResult(
            metadata=metadata,
            check_results=[
                AssetCheckResult(
                    check_name=COMPARED_CHECK,
                    passed=not failure,
                    description=f"no comparison: {failure}" if failure else "compared",
                )
            ],
        )

    return feed_diff


def _compare(artifacts: Artifacts, subject: TransformedVersion, compare: Compare) -> dict[str, Any]:
    version, transformed = subject.version, artifacts.transformed()
    live = live_schedule(artifacts, version.environment)
    if live is None:
        return {"outcome": "nothing is published yet", "version_id": version.version_id}
    comparison = compare(
        Side(feed=published_schedule_feed(artifacts, live), source=f"{live.name} {live.label}", at=live.published_at),
        Side(
            feed=Feed.from_bytes(transformed.read_bytes(subject.record.feed_digest), limits=ACCEPTED_BEFORE),
            source=f"{version.feed_id} {version.version_id}, transformed",
            at=version.fetched_at,
        ),
    )
    links = {}
    for ending, (data, content_type) in comparison.documents.items():
        key = transformed.save_report(
            version.environment, version.version_id, f"feed_diff.{ending}", data, content_type=content_type
        )
        links[f"feed_diff_{ending.replace('.', '_')}"] = artifacts.link(key)
    return {
        "outcome": "same" if comparison.is_same else "different",
        "version_id": version.version_id,
        "against": live.label,
        "summary": comparison.summary.partition("\n")[0],
        "diff": MetadataValue.md(comparison.markdown),
        **links,
    }


def _outcomes(compared: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    outcomes = {version_id: one["outcome"] for version_id, one in compared.items()}
    return {"outcomes": MetadataValue.json(outcomes)} if outcomes else {}


def _told(error: BaseException) -> str:
    """The error in one line, that of ours rather than Dagster's around it."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"
