"""The hash of a step: which code with which parameters. Answers "has the code changed since the last run?".

The hash covers a built-in's class source and its parameters, or a ``@step`` function's source with the
constants and helper functions of its own module that it names. It does not cover other modules: the
package's version, which every run also records, stands for those. A step's name is left out, since it
changes nothing in the output.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.step import FunctionStep, Step

HASH_DIGITS = 16


class _NoStableFormError(Exception):
    """A value whose text would differ from one process to the next."""


def source_hash(step: Step[Any]) -> str:
    """16 hex digits over the code and the parameters of one step.

    Raises:
        StepDefinitionError: A parameter has no stable text form, or the source cannot be read.
    """
    try:
        if isinstance(step, FunctionStep):
            described: Any = {"function": _function_form(step.function), "files": _stable(step.files)}
        else:
            described = {"classes": _class_sources(type(step)), "parameters": _parameters(step)}
    except _NoStableFormError as error:
        raise StepDefinitionError(f"step {step.name}: {error}") from None
    return _digest(described)


def steps_hash(steps: Iterable[Step[Any]]) -> str:
    """16 hex digits over a list of steps; another order is another hash."""
    return _digest([step.source_hash() for step in steps])


def code_version(steps: Iterable[Step[Any]], package_version: str) -> str:
    """16 hex digits over the steps and the version of the package that runs them: what a rerun would do otherwise."""
    return _digest([steps_hash(steps), package_version])


def _digest(described: Any) -> str:
    text = json.dumps(described, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def _source(thing: Callable[..., Any] | type) -> str:
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):
        raise _NoStableFormError(f"the source of {thing.__qualname__} cannot be read; define it in a module") from None


@cache
def _class_sources(cls: type) -> tuple[str, ...]:
    """Kept, since a list has many steps of one class."""
    return tuple(_class_source(base) for base in cls.__mro__ if issubclass(base, Step) and base is not Step)


def _class_source(cls: type) -> str:
    """The text of a class. ``inspect`` parses the whole module for each class, so it is asked last."""
    try:
        source = inspect.getsource(sys.modules[cls.__module__])
    except (OSError, TypeError, KeyError):
        return _source(cls)
    span = _class_spans(source).get(cls.__qualname__)
    if span is None:
        return _source(cls)
    return textwrap.dedent("".join(source.splitlines(keepends=True)[span[0] - 1 : span[1]]))


@cache
def _class_spans(source: str) -> dict[str, tuple[int, int]]:
    """First and last line, decorators included, of each class at the top of a module, by name."""
    return {
        node.name: (min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]), node.end_lineno or 0)
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
    }


def _parameters(step: Step[Any]) -> dict[str, Any]:
    values = {f.name: getattr(step, f.name) for f in fields(step)} if is_dataclass(step) else vars(step)
    return {name: _stable(value, name) for name, value in values.items() if name != "name"}


def _stable(value: Any, path: str = "parameter") -> Any:
    """A JSON form of a parameter that is the same in every process; anything else is refused, not guessed."""
    match value:
        case Enum():
            return {"enum": [type(value).__qualname__, value.name]}
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return {"bytes": value.hex()}
        case datetime() | date() | time():
            return {type(value).__name__: value.isoformat()}
        case timedelta():
            return {"timedelta": [value.days, value.seconds, value.microseconds]}
        case re.Pattern():
            return {"pattern": [_stable(value.pattern), value.flags]}
        case list() | tuple():
            return [_stable(item, path) for item in value]
        case set() | frozenset():
            return {"set": sorted((_stable(item, path) for item in value), key=json.dumps)}
        case Mapping():
            return {"mapping": [[_stable(k, path), _stable(v, path)] for k, v in value.items()]}
        case FunctionType():
            return {"function": _function_form(value)}
        case type():
            return {"class": f"{value.__module__}.{value.__qualname__}"}
    if is_dataclass(value):
        members = {f.name: _stable(getattr(value, f.name), f"{path}.{f.name}") for f in fields(value)}
        return {"class": type(value).__qualname__, "fields": members}
    raise _NoStableFormError(
        f"{path} is a {type(value).__name__}, which has no stable text form; use text, numbers, dates, "
        "collections of them or dataclasses"
    )


def _function_form(function: Any, seen: frozenset[str] = frozenset()) -> Any:
    """Source, defaults and closure of a function, and what it names of its own module."""
    seen = seen | {function.__qualname__}
    form: dict[str, Any] = {
        "source": _source(function),
        "defaults": _stable(list(function.__defaults__ or ()), "a default value"),
        "keyword_defaults": _stable(function.__kwdefaults__ or {}, "a default value"),
        "closure": {},
        "module": {},
    }
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        content = cell.cell_contents
        if isinstance(content, FunctionType):
            form["closure"][name] = _helper_form(content, seen)
        else:
            form["closure"][name] = _stable(content, f"{name}, which the function closes over,")
    for name in sorted(set(_names(function.__code__))):
        value = inspect.unwrap(found) if callable(found := function.__globals__.get(name)) else found
        if isinstance(value, type) and value.__module__ == function.__module__:
            form["module"][name] = _class_form(value)
        elif isinstance(value, FunctionType) and value.__module__ == function.__module__:
            form["module"][name] = _helper_form(value, seen)
        elif value is not None and not callable(value) and not inspect.ismodule(value):
            try:
                form["module"][name] = _stable(value)
            except _NoStableFormError:
                # A logger, say: nothing that the output depends on through its value.
                continue
    return form


def _class_form(cls: type) -> Any:
    """The text of a class; of one made by a call (``namedtuple``, ``Enum``), which has none, its stable members."""
    try:
        return _source(cls)
    except _NoStableFormError:
        members = {}
        for name, value in vars(cls).items():
            if not name.startswith("__"):
                with suppress(_NoStableFormError):
                    members[name] = _stable(value)
        return members


def _helper_form(function: FunctionType, seen: frozenset[str]) -> Any:
    return function.__qualname__ if function.__qualname__ in seen else _function_form(function, seen)


def _names(code: CodeType) -> Iterator[str]:
    """Every global name that a function or a function nested in it mentions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
