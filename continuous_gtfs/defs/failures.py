"""From our errors to Dagster's: a permanent error is never retried, a transient one is, both say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Backoff, Failure, RetryPolicy

from continuous_gtfs.defs.step_results import step_table
from continuous_gtfs.errors import ContinuousGtfsError, StepFailedError
from continuous_gtfs.pipeline.results import StepResult

# A store or a network that fails for seconds; what lasts longer fails the run.
RETRY_TRANSIENT = RetryPolicy(max_retries=3, delay=1, backoff=Backoff.EXPONENTIAL)


@contextmanager
def failures_explained() -> Iterator[None]:
    """Turns an error of ours into a Dagster Failure with the message alone; any other error is a bug and stays one."""
    try:
        yield
    except ContinuousGtfsError as error:
        metadata = {"error": type(error).__name__, "a_rerun_can_help": error.can_rerun_help}
        result = getattr(error, "result", None)
        if isinstance(error, StepFailedError) and isinstance(result, StepResult):
            metadata |= {"steps": step_table([result])}
        raise Failure(description=str(error), metadata=metadata, allow_retries=error.can_rerun_help) from error
