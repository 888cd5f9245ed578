"""From our errors to Dagster's: a permanent one fails at once, a transient one is tried again; both say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Failure, RetryRequested, TableMetadataValue

from continuous_gtfs.defs.step_results import step_table
from continuous_gtfs.errors import ContinuousGtfsError, StepFailedError
from continuous_gtfs.pipeline.results import StepResult

# A store or a network that fails for seconds; what lasts longer fails the run.
MAX_RETRIES = 3
RETRY_AFTER_S = 2


@contextmanager
def failures_explained() -> Iterator[None]:
    """Explains an error of ours in one sentence; any other error is a bug, keeps its traceback and is not retried."""
    try:
        yield
    except ContinuousGtfsError as error:
        metadata: dict[str, str | TableMetadataValue] = {"error": type(error).__name__}
        if isinstance(error, StepFailedError) and isinstance(error.result, StepResult):
            metadata["steps"] = step_table([error.result])
        failure = Failure(description=str(error), metadata=metadata, allow_retries=False)
        if error.can_rerun_help:
            raise RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=RETRY_AFTER_S) from failure
        raise failure from error
