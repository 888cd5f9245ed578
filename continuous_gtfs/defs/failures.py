"""From our errors to Dagster's: a permanent one fails at once, a transient one is tried again; both say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dagster import Failure, RetryRequested, TableMetadataValue

from continuous_gtfs.defs.step_results import step_tables
from continuous_gtfs.errors import ContinuousGtfsError, StepFailedError
from continuous_gtfs.pipeline.results import StepResult


@dataclass(frozen=True, slots=True)
class Retries:
    """How a store or network that fails is waited for: 2 s, then twice as long each time.

    Attributes:
        attempts: After so many the run fails.
    """

    attempts: int


# A realtime version is overtaken in seconds; a schedule version that is given up is missing for weeks.
REALTIME_RETRIES = Retries(attempts=2)
SCHEDULE_RETRIES = Retries(attempts=8)


@contextmanager
def failures_explained(retries: Retries, retry_number: int) -> Iterator[None]:
    """Explains an error of ours in one sentence; any other error is a bug, keeps its traceback and is not retried.

    Args:
        retries: For transient errors.
        retry_number: How often this op has been retried in this run.
    """
    try:
        yield
    except ContinuousGtfsError as error:
        failure = failure_of(error)
        if error.can_rerun_help:
            raise RetryRequested(max_retries=retries.attempts, seconds_to_wait=2 * 2**retry_number) from failure
        raise failure from error


def failure_of(error: ContinuousGtfsError) -> Failure:
    """The error as Dagster shows it."""
    metadata: dict[str, str | TableMetadataValue] = {"error": type(error).__name__}
    if isinstance(error, StepFailedError) and isinstance(error.result, StepResult):
        metadata.update(step_tables([*error.earlier, error.result]))
    return Failure(description=str(error), metadata=metadata, allow_retries=False)
