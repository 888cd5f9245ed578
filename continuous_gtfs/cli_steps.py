"""What the commands that run an agency's steps share: their inputs by name, their time, their errors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from continuous_gtfs.errors import ConfigurationError, StepFailedError

if TYPE_CHECKING:
    from continuous_gtfs.pipeline.step import Step


def named_paths(inputs: Sequence[str], *, example: str) -> dict[str, Path]:
    """The options ``--input NAME=PATH`` by name.

    Raises:
        ConfigurationError: One has another form, or a name comes twice.
    """
    paths: dict[str, Path] = {}
    for given in inputs:
        name, equals, path = given.partition("=")
        if not (name and equals and path):
            raise ConfigurationError(f"--input {given}: write NAME=PATH, e.g. --input {example}")
        if name in paths:
            raise ConfigurationError(f"--input {name} is given twice: {paths[name]} and {path}")
        paths[name] = Path(path)
    return paths


def parse_moment(text: str) -> datetime:
    """``--now`` as a time with its offset.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--now {text}: write an ISO time, e.g. 2026-06-01T12:00:00-07:00") from None
    if found.tzinfo is None:
        raise ConfigurationError(f"--now {text} has no offset; write e.g. {text}Z or {text}-07:00")
    return found


def steps_until(steps: tuple[Step[Any], ...], until: str | None) -> tuple[Step[Any], ...]:
    """The steps up to the one that ``--until`` names, it included; all where it is not given.

    Raises:
        ConfigurationError: There is no such step.
    """
    if until is None:
        return steps
    names = [step.name for step in steps]
    if until not in names:
        raise ConfigurationError(f"--until {until}: there is no such step; the steps are {', '.join(names) or 'none'}")
    return steps[: names.index(until) + 1]


def with_author_line(error: StepFailedError, agency: str, pipeline: str) -> str:
    """What is said of a failed step, with the line of the agency's own code that led to it."""
    from continuous_gtfs.agencies.loading import author_line

    line = author_line(error.__cause__, agency, pipeline) if error.__cause__ is not None else None
    return f"{error} ({line})" if line else str(error)
