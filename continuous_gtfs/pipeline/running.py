"""Running one step or an ordered list of them, and holding each to what it declared."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from continuous_gtfs.errors import StepDefinitionError, StepFailedError
from continuous_gtfs.pipeline.results import RowChanges, StepResult
from continuous_gtfs.pipeline.step import STEP_NAME, Step, StepContext, Transformable

F = TypeVar("F", bound=Transformable)


def check_steps(steps: Iterable[object]) -> tuple[Step[Any], ...]:
    """The list as steps with unique names; a name that comes again gets a suffix ``_2``, ``_3``.

    Raises:
        StepDefinitionError: Something in the list is no step, or a step's name or files are not what they
            must be. The message says which position and what is missing.
    """
    checked: list[Step[Any]] = []
    taken: set[str] = set()
    for position, item in enumerate(steps, start=1):
        step = _check_step(item, position)
        name, number = step.name, 1
        while name in taken:
            number += 1
            name = f"{step.name}_{number}"
        taken.add(name)
        if name != step.name:
            step = copy.copy(step)
            # Built-in steps are frozen dataclasses; the copy is ours alone until it is returned.
            object.__setattr__(step, "name", name)
        checked.append(step)
    return tuple(checked)


def _check_step(item: object, position: int) -> Step[Any]:
    where = f"step {position} of the list"
    if isinstance(item, type) and issubclass(item, Step):
        raise StepDefinitionError(f"{where} is the class {item.__name__}; write {item.__name__}(...)")
    if not isinstance(item, Step):
        if callable(item):
            label = getattr(item, "__name__", repr(item))
            raise StepDefinitionError(f'{where} is the plain function {label}; put @step(files=["..."]) above it')
        raise StepDefinitionError(f"{where} is a {type(item).__name__}, which is no step: {item!r}")
    name = getattr(item, "name", None)
    if not isinstance(name, str) or not STEP_NAME.fullmatch(name):
        raise StepDefinitionError(f"{where} has the name {name!r}; a name is letters, digits and underscores")
    files = getattr(item, "files", "")
    if files is not None and not isinstance(files, frozenset):
        raise StepDefinitionError(
            f"{where}, {name}, does not declare its files: a frozenset of names, or None if it may change any"
        )
    return item


def run_step(
    step: Step[F], feed: F, *, now: datetime, inputs: Mapping[str, object] | None = None
) -> tuple[F, StepResult]:
    """Run one step on a fork of ``feed``; ``feed`` itself stays as it was, whatever happens.

    Returns:
        The changed fork and what the step did.

    Raises:
        StepFailedError: The step raised, reported a finding of severity ``error``, or changed a file that
            it did not declare. ``result`` holds everything it reported up to then.
    """
    if now.tzinfo is None:
        raise StepDefinitionError(f"step {step.name}: now must be timezone-aware")
    fork = feed.fork()
    context = StepContext(now=now, inputs=dict(inputs or {}))
    started = time.perf_counter()
    cause: Exception | None = None
    rows_before: dict[str, int] = {}
    rows_after: dict[str, int] = {}
    changes: dict[str, RowChanges] = {}
    try:
        step.apply(fork, context)
        changed = fork.changed_since(feed)
        counted = changed | step.counted_files
        rows_before, rows_after = _rows(feed, counted), _rows(fork, counted)
        changes = {
            file: found
            for file, found in sorted(fork.row_changes().items())
            if found.removed or found.added or found.changed
        }
        failure = _broken_promise(step, changed, context) or _unaccounted(rows_before, rows_after, changes)
    except Exception as error:
        cause, failure = error, f"{type(error).__name__}: {error}"
    result = StepResult(
        name=step.name,
        status="success" if failure is None else "failed",
        duration_s=time.perf_counter() - started,
        rows_before=rows_before,
        rows_after=rows_after,
        changes=changes,
        findings=tuple(context.findings),
        logs=tuple(context.logs),
        source_hash=step.source_hash(),
    )
    if failure is not None:
        raise StepFailedError(f"step {step.name} failed: {failure}", result=result) from cause
    return fork, result


def run_steps(
    steps: Iterable[Step[F]],
    feed: F,
    *,
    now: datetime,
    inputs: Mapping[str, object] | None = None,
    on_result: Callable[[StepResult], None] | None = None,
) -> tuple[F, list[StepResult]]:
    """Run a list of steps in its order, each on what the one before it made.

    Args:
        on_result: Called after each step, the failed one included, before the error is raised.

    Raises:
        StepDefinitionError: See ``check_steps``; nothing has run then.
        StepFailedError: See ``run_step``; no later step has run.
    """
    results: list[StepResult] = []
    for step in check_steps(steps):
        try:
            feed, result = run_step(step, feed, now=now, inputs=inputs)
        except StepFailedError as error:
            error.earlier = tuple(results)
            if on_result is not None:
                on_result(error.result)
            raise
        results.append(result)
        if on_result is not None:
            on_result(result)
    return feed, results


def _broken_promise(step: Step[Any], changed: frozenset[str], context: StepContext) -> str | None:
    """Why a step that came to its end has failed all the same; None if it has not."""
    undeclared = sorted(changed - step.files) if step.files is not None else []
    if undeclared:
        declared = ", ".join(sorted(step.files or ())) or "nothing"
        return f"it changed {', '.join(undeclared)} but declares {declared}; add them to its files"
    errors = [finding.message for finding in context.findings if finding.severity == "error"]
    return "; ".join(errors) or None


def _unaccounted(before: dict[str, int], after: dict[str, int], changes: dict[str, RowChanges]) -> str | None:
    """Why the rows do not add up; None if every one is accounted for."""
    for file in sorted(before.keys() | after.keys()):
        found = changes.get(file, RowChanges())
        if before.get(file, 0) - found.removed + found.added != after.get(file, 0):
            return (
                f"{file} had {before.get(file, 0)} rows and has {after.get(file, 0)}, which {found.removed} removed "
                f"and {found.added} added do not explain"
            )
    return None


def _rows(feed: Transformable, names: Iterable[str]) -> dict[str, int]:
    counts = feed.row_counts()
    return {name: counts[name] for name in sorted(names) if name in counts}
