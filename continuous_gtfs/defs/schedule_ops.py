"""The ops of a transformed schedule: read the version, one op a step, store what they made.

Environments share the step ops: which version and environment a run is about travels with the feed.

A run over a range of partitions has the same ops. There the last one does the work, one version after another, so
that one feed at a time is in memory.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagster import Failure, In, MetadataValue, Nothing, OpDefinition, OpExecutionContext, Out, ResourceParam, op
from dagster._core.definitions.utils import DISALLOWED_NAMES

from continuous_gtfs import __version__, names
from continuous_gtfs.artifacts.archive import Archive
from continuous_gtfs.artifacts.transformed import TransformedFeed, TransformedFeeds
from continuous_gtfs.defs.asked_partitions import asked_partitions
from continuous_gtfs.defs.failures import SCHEDULE_RETRIES, failures_explained
from continuous_gtfs.defs.feeds_in_memory import FEEDS_IN_MEMORY, FeedsInMemory
from continuous_gtfs.defs.resources import Artifacts
from continuous_gtfs.defs.step_results import step_summary, step_tables
from continuous_gtfs.errors import ConfigurationError, StepDefinitionError
from continuous_gtfs.gtfs.feed import Feed
from continuous_gtfs.gtfs.schedule_index_builder import build_schedule_index
from continuous_gtfs.gtfs.zip_writing import ZIP_WRITER
from continuous_gtfs.gtfs.zipped import ACCEPTED_BEFORE
from continuous_gtfs.pipeline.hashing import code_version
from continuous_gtfs.pipeline.results import StepResult
from continuous_gtfs.pipeline.running import run_step, run_steps
from continuous_gtfs.pipeline.step import Step
from continuous_gtfs.versions import FeedVersion

# Schedule work takes turns on the cores; see concurrency.pools in dagster.yaml.
SCHEDULE_POOL = "schedule"
STORE_OP = "store_transformed_feed"
READ_OP = re.compile(r"read_\w+_version")


class InProgress:
    """What goes from op to op."""


@dataclass(frozen=True, slots=True)
class FeedInProgress(InProgress):
    """The one version of a run: the feed as it stands, and what the steps so far did."""

    version: FeedVersion
    feed: Feed
    results: tuple[StepResult, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionsInProgress(InProgress):
    """The versions of a run over a range of partitions, none of them read yet."""

    versions: tuple[FeedVersion, ...]


def read_version_op(environment: str) -> OpDefinition:
    """The archived bytes of the partition's version, as a feed."""

    @op(
        name=f"read_{environment}_version",
        ins={"vendor_feed": In(Nothing)},
        out=Out(io_manager_key=FEEDS_IN_MEMORY),
    )
    def read_version(context: OpExecutionContext, artifacts: Artifacts) -> InProgress:
        with failures_explained(SCHEDULE_RETRIES, context.retry_number):
            archive = artifacts.archive()
            asked_for = asked_partitions(context.partition_keys)
            versions = [_find(archive, environment, version_id) for version_id in asked_for]
            if len(versions) > 1:
                context.add_output_metadata({"version_ids": [version.version_id for version in versions]})
                return VersionsInProgress(tuple(versions))
            (version,) = versions
            feed = Feed.from_bytes(archive.read(version), limits=ACCEPTED_BEFORE)
        context.add_output_metadata(
            {
                "version_id": version.version_id,
                "fetched_at": version.fetched_at.isoformat(),
                "feed_bytes": version.body_bytes,
                "files": len(feed.files),
            }
        )
        return FeedInProgress(version, feed)

    return read_version


def step_op(step: Step[Feed]) -> OpDefinition:
    """One step as an op: its log lines are the op's, its result a table on the op's output.

    Raises:
        StepDefinitionError: No op can have the step's name.
    """
    if step.name == STORE_OP or READ_OP.fullmatch(step.name) or step.name in DISALLOWED_NAMES:
        raise StepDefinitionError(
            f"a step of the schedule cannot be named {step.name}: the pipeline or Dagster has that name; "
            'give it another with name="..."'
        )

    @op(
        name=step.name,
        description=(step.__doc__ or step.name).strip().splitlines()[0],
        out=Out(io_manager_key=FEEDS_IN_MEMORY),
        code_version=step.source_hash(),
    )
    def run_one_step(context: OpExecutionContext, progress: InProgress) -> InProgress:
        if not isinstance(progress, FeedInProgress):
            context.log.info("left to %s: the run is about several versions", STORE_OP)
            return progress
        try:
            with failures_explained(SCHEDULE_RETRIES, context.retry_number):
                # A rerun of a version must give the same bytes, so a step's "now" is the version's, not the clock's.
                feed, result = run_step(step, progress.feed, now=progress.version.fetched_at)
        except Failure:
            summary = f"{step_summary(progress.results)}, {step.name} failed"
            context.instance.add_run_tags(context.run_id, {names.STEPS_TAG: summary})
            raise
        _log(context, result)
        context.add_output_metadata(step_tables([result]))
        return FeedInProgress(progress.version, feed, (*progress.results, result))

    return run_one_step


def store_transformed_op(steps: Sequence[Step[Feed]]) -> OpDefinition:
    """The transformed zip and its schedule index into the store, then the record that names them."""

    @op(name=STORE_OP, out=Out(Nothing), pool=SCHEDULE_POOL)
    def store_transformed_feed(
        context: OpExecutionContext,
        artifacts: Artifacts,
        feeds_in_memory: ResourceParam[FeedsInMemory],
        progress: InProgress,
    ) -> None:
        results: list[StepResult] = []
        described: dict[str, Mapping[str, Any]] = {}
        with failures_explained(SCHEDULE_RETRIES, context.retry_number):
            for finished in _finished(context, artifacts, steps, progress):
                record = _store(artifacts.transformed(), finished, steps, context.run_id)
                results.extend(finished.results)
                described[record.version_id] = {
                    "version_id": record.version_id,
                    "fetched_at": finished.version.fetched_at.isoformat(),
                    "feed_digest": record.feed_digest,
                    "feed_bytes": record.feed_bytes,
                    "code_version": record.code_version,
                    "rows": MetadataValue.json(dict(finished.feed.row_counts())),
                }
        context.instance.add_run_tags(context.run_id, {names.STEPS_TAG: step_summary(results)})
        context.add_output_metadata(step_tables(results))
        if len(described) == 1:
            (metadata,) = described.values()
            context.add_output_metadata(metadata)
        else:
            context.add_output_metadata({"version_ids": list(described)})
        # The gates come next and need the memory.
        feeds_in_memory.clear()

    return store_transformed_feed


def _finished(
    context: OpExecutionContext, artifacts: Artifacts, steps: Sequence[Step[Feed]], progress: InProgress
) -> Iterator[FeedInProgress]:
    """What the steps made: of the one version in the ops before, of several here and now."""
    if isinstance(progress, FeedInProgress):
        yield progress
    elif isinstance(progress, VersionsInProgress):
        for version in progress.versions:
            context.log.info("version %s", version.version_id)
            feed, results = run_steps(
                steps,
                Feed.from_bytes(artifacts.archive().read(version), limits=ACCEPTED_BEFORE),
                now=version.fetched_at,
                on_result=lambda result: _log(context, result),
            )
            yield FeedInProgress(version, feed, tuple(results))


def _store(
    transformed: TransformedFeeds, progress: FeedInProgress, steps: Sequence[Step[Feed]], run_id: str
) -> TransformedFeed:
    version = progress.version
    data, index = progress.feed.to_bytes(), build_schedule_index(progress.feed)
    earlier = transformed.load(version.environment, version.version_id)
    record = TransformedFeed(
        environment=version.environment,
        version_id=version.version_id,
        feed_digest=transformed.save_bytes(data),
        feed_bytes=len(data),
        zip_writer=ZIP_WRITER,
        index_digest=transformed.save_bytes(index),
        code_version=code_version(steps, __version__),
        step_hashes={step.name: step.source_hash() for step in steps},
        step_results=[result.to_dict() for result in progress.results],
        run_id=run_id,
        accepted_errors=_accepted_errors(earlier),
    )
    transformed.save(record)
    # Bytes that were there already may have been removed, as used by nothing, before there was a record.
    for each in (data, index):
        transformed.save_bytes(each)
    return record


def _log(context: OpExecutionContext, result: StepResult) -> None:
    for line in result.logs:
        context.log.info(line)
    for finding in result.findings:
        context.log.info("%s: %s", finding.severity, finding.message)


def _find(archive: Archive, environment: str, version_id: str) -> FeedVersion:
    version = archive.find(environment, "schedule", version_id)
    if version is None:
        raise ConfigurationError(
            f"the archive has no version {version_id} of {environment}/schedule: "
            "choose a partition whose version was fetched here"
        )
    return version


def _accepted_errors(earlier: TransformedFeed | None) -> dict[str, int]:
    """The notices with which a version passed the gate once stay accepted when the version is run again."""
    if earlier is None:
        return {}
    validation = earlier.validation
    if validation is not None and validation["is_passed"]:
        # An agency can make warnings block too, so they are remembered with the errors.
        return {**validation.get("infos", {}), **validation["warnings"], **validation["errors"]}
    return earlier.accepted_errors
