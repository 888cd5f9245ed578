"""Feeds on their way from one step op to the next: in the memory of the run's one process."""

from typing import Any

from dagster import Failure, InitResourceContext, InputContext, IOManager, OutputContext, io_manager

FEEDS_IN_MEMORY = "feeds_in_memory"


class FeedsInMemory(IOManager):
    """Hands a feed from op to op without copying it.

    A schedule run executes in one process, so nothing else is needed; a feed written to disk between steps
    would cost more than the steps. A re-execution that starts in the middle finds nothing here and says so.

    One feed is kept at a time, that of the step last done, which the next one may have to load again.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, ...], Any] = {}

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        self._values = {tuple(context.get_identifier()): obj}

    def clear(self) -> None:
        """Let go of the feed: the last op has stored what it needs."""
        self._values = {}

    def load_input(self, context: InputContext) -> Any:
        output = context.upstream_output
        key = tuple(output.get_identifier()) if output else ()
        if key not in self._values:
            raise Failure(
                description=(
                    "the feed that the step before made is gone with the run that made it: re-execute all steps, "
                    "not from the failure on"
                ),
                allow_retries=False,
            )
        return self._values[key]


@io_manager(description="Feeds between step ops, in the memory of one run.")
def feeds_in_memory(_context: InitResourceContext) -> FeedsInMemory:
    return FeedsInMemory()
