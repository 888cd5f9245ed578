"""Step: one named transform of a feed, and what it is handed. Running a list of them is in ``running``."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, Self, TypeVar, cast

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.foreign_text import shown
from continuous_gtfs.pipeline.results import Finding, RowChanges

STEP_NAME = re.compile(r"[A-Za-z0-9_]+")


class Transformable(Protocol):
    """What a pipeline needs to know of a feed, whatever the feed is made of."""

    def fork(self) -> Self:
        """A cheap copy-on-write copy. Changing the fork never changes the original."""
        ...

    def row_counts(self) -> Mapping[str, int]:
        """Rows by file (schedule) or entities by feed name (realtime); may count only when asked."""
        ...

    def row_changes(self) -> Mapping[str, RowChanges]:
        """By file, rows removed and added since this fork was made; files without any may be left out."""
        ...

    def changed_since(self, other: Self) -> frozenset[str]:
        """Names of the files or feeds that were added, removed or rewritten since ``other`` was forked."""
        ...


F = TypeVar("F", bound=Transformable)


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step may know beyond the feed: the time of the run, other inputs, and where to report.

    Attributes:
        now: Timezone-aware; a step reads no clock of its own, so that a rerun can give the same bytes.
        inputs: Other inputs of the pipeline by name, e.g. ``{"schedule_index": ScheduleIndex}``.
    """

    now: datetime
    inputs: Mapping[str, object] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def log(self, message: str) -> None:
        """Add one line to the step's log; what is in it may be a feed's text."""
        self.logs.append(shown(message))

    def find(self, finding: Finding) -> None:
        """Report a finding. One of severity ``error`` fails the step once ``apply`` returns."""
        self.findings.append(finding)


class Step(ABC, Generic[F]):
    """One named transform. Built-ins are frozen dataclasses; an author's own are made with ``@step``.

    Attributes:
        name: Unique in a list, ``[A-Za-z0-9_]+``; it becomes the name of a Dagster op.
        files: The files (or realtime feeds) the step may change; touching another fails the step. None
            where it may change any.
    """

    name: str
    files: frozenset[str] | None

    @property
    def counted_files(self) -> frozenset[str]:
        """The files whose rows are counted even if the step leaves them as they are: those that it names."""
        return self.files or frozenset()

    @property
    def wanted_inputs(self) -> frozenset[str]:
        """Names of ``StepContext.inputs`` that are brought only where a step wants them, since they cost something."""
        return frozenset()

    @abstractmethod
    def apply(self, feed: F, context: StepContext) -> None:
        """Change ``feed`` in place. It is a fork, so nothing that the step does can reach another run."""

    def source_hash(self) -> str:
        """16 hex digits over the step's code and parameters, its name left out: see ``pipeline.hashing``."""
        from continuous_gtfs.pipeline.hashing import source_hash

        return source_hash(self)


class FunctionStep(Step[F]):
    """A step made of one function ``f(feed)`` or ``f(feed, context)``; see ``step``."""

    def __init__(self, function: Callable[..., None], files: frozenset[str] | None, name: str) -> None:
        parameters = inspect.signature(function).parameters
        if not 1 <= len(parameters) <= 2:
            raise StepDefinitionError(
                f"step {name}: {function.__qualname__} takes {len(parameters)} arguments; "
                "a step function takes (feed) or (feed, context)"
            )
        if inspect.iscoroutinefunction(function):
            raise StepDefinitionError(f"step {name}: {function.__qualname__} is async; a step is a plain function")
        self.function = function
        self.files = files
        self.name = name
        self._takes_context = len(parameters) == 2
        self.__doc__ = function.__doc__

    def apply(self, feed: F, context: StepContext) -> None:
        returned = self.function(feed, context) if self._takes_context else cast(Any, self.function)(feed)
        if returned is not None:
            raise StepDefinitionError(
                f"step {self.name} returned a {type(returned).__name__}; a step changes the feed it is "
                "handed (feed.set_table(...)) and returns nothing, so what it returned would be lost"
            )

    def __repr__(self) -> str:
        return f"<step {self.name}>"


def step(
    *unexpected: object, files: Iterable[str] | str | None = "", name: str | None = None
) -> Callable[[Callable[..., None]], FunctionStep[Any]]:
    """Make a step of the function below it: ``@step(files=["stops.txt"])``.

    Args:
        files: The files the function may change; None says, on purpose, that it may change any.
        name: The function's name if not given.

    Raises:
        StepDefinitionError: Bare ``@step``, ``files`` left out or a single string, or a function whose
            arguments are not (feed) or (feed, context).
    """
    if unexpected:
        if not callable(unexpected[0]):
            raise StepDefinitionError(
                f'@step({unexpected[0]!r}): name the files as files=, e.g. @step(files=["stops.txt"])'
            )
        label = getattr(unexpected[0], "__name__", repr(unexpected[0]))
        raise StepDefinitionError(
            f'bare @step on {label}: say which files it may change, e.g. @step(files=["stops.txt"])'
        )
    if isinstance(files, str):
        said = f"files={files!r}" if files else "no files="
        raise StepDefinitionError(
            f'@step with {said}: give a list of the files it may change, e.g. @step(files=["stops.txt"]), '
            "or files=None if it may change any"
        )
    declared = None if files is None else frozenset(files)

    def decorate(function: Callable[..., None]) -> FunctionStep[Any]:
        return FunctionStep(function, declared, name or function.__name__)

    return decorate
