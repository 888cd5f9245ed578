"""What a version would change: the transformed feed against what is published, for a person to read.

Nothing is decided here. A comparison that fails is said loudly, and stops no publication.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
from continuous_gtfs.gtfs.feed import Feed

COMPARED_CHECK = "is_compared_with_published"
# A store that fails longer is left to the publication to wait for.
_RETRIES = Retries(attempts=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two feeds compared.

    Attributes:
        is_same: Nothing differs.
        markdown: For the asset's page.
        documents: By the ending of its name, a text to keep and its content type.
    """

    is_same: bool
    markdown: str
    documents: Mapping[str, tuple[str, str]]


Compare = Callable[[Feed, Feed], Comparison]


def compare_feeds(before: Feed, after: Feed) -> Comparison:
    """The files that differ."""
    names = sorted(set(before.files) | set(after.files))
    different = [
        name
        for name in names
        if name not in before or name not in after or before.member_bytes(name) != after.member_bytes(name)
    ]
    text = "\n".join(different)
    return Comparison(is_same=not different, markdown=text, documents={"txt": (text, "text/plain")})


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
    after = Feed.from_bytes(transformed.read_bytes(subject.record.feed_digest))
    comparison = compare(published_schedule_feed(artifacts, live), after)
    links = {}
    for ending, (text, content_type) in comparison.documents.items():
        key = transformed.save_report(
            version.environment, version.version_id, f"feed_diff.{ending}", text, content_type=content_type
        )
        links[f"feed_diff_{ending.replace('.', '_')}"] = artifacts.link(key)
    return {
        "outcome": "same" if comparison.is_same else "different",
        "version_id": version.version_id,
        "against": live.label,
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
