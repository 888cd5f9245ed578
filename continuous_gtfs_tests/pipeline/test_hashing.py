from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.hashing import steps_hash
from continuous_gtfs.pipeline.running import check_steps
from continuous_gtfs.pipeline.step import FunctionStep, Step, StepContext, step
from continuous_gtfs_tests.pipeline.word_feed import AddWord, WordFeed

MODULE = """
from continuous_gtfs.pipeline.step import step

LIMIT = 3
UNUSED = 1

def helper(word):
    return word[:LIMIT]

@step(files=["a"])
def shorten(feed):
    feed.files["a"] = tuple(helper(word) for word in feed.files["a"])
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], ModuleType]:
    """Import a module from its text, each time as another file, so that its source can be read."""
    count = iter(range(100))

    def load_module(text: str) -> ModuleType:
        path = tmp_path / f"steps_{next(count)}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("steps_under_test", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_module


def test_the_same_code_and_parameters_give_the_same_hash_of_16_hex_digits() -> None:
    assert AddWord("x").source_hash() == AddWord("x").source_hash()
    assert re.fullmatch(r"[0-9a-f]{16}", AddWord("x").source_hash())


def test_another_parameter_is_another_hash_and_another_name_is_not() -> None:
    assert AddWord("x").source_hash() != AddWord("y").source_hash()
    assert AddWord("x").source_hash() == AddWord("x", name="renamed").source_hash()


def test_a_suffix_for_a_repeated_name_changes_no_hash() -> None:
    first, second = check_steps([AddWord("x"), AddWord("x")])
    assert first.source_hash() == second.source_hash()


def test_the_order_of_steps_is_part_of_their_hash() -> None:
    assert steps_hash([AddWord("x"), AddWord("y")]) != steps_hash([AddWord("y"), AddWord("x")])


@pytest.mark.parametrize(
    ("old", "new", "is_changed"),
    [
        ("UNUSED = 1", "UNUSED = 2", False),
        ("LIMIT = 3", "LIMIT = 4", True),
        ("word[:LIMIT]", "word[LIMIT:]", True),
        ("tuple(helper(word)", "tuple(helper(word.lower())", True),
        ('files=["a"]', 'files=["a", "b"]', True),
    ],
)
def test_a_function_hash_covers_its_source_and_what_it_names_of_its_module(
    load: Callable[[str], ModuleType], old: str, new: str, is_changed: bool
) -> None:
    assert old in MODULE
    before, after = load(MODULE).shorten, load(MODULE.replace(old, new)).shorten
    assert (before.source_hash() != after.source_hash()) is is_changed


def test_a_function_made_by_another_is_hashed_with_what_it_closes_over() -> None:
    def make(word: str) -> FunctionStep[Any]:
        @step(files=["a"])
        def add(feed: WordFeed) -> None:
            feed.files["a"] = (word,)

        return add

    assert make("x").source_hash() == make("x").source_hash()
    assert make("x").source_hash() != make("y").source_hash()


@dataclass(frozen=True)
class Parametrized(Step[WordFeed]):
    value: object
    name: str = "parametrized"
    files: frozenset[str] = frozenset()

    def apply(self, feed: WordFeed, context: StepContext) -> None: ...


@pytest.mark.parametrize(
    "value",
    [
        frozenset({"b", "a"}),
        {"k": ("v", 1, None, 2.5, True)},
        date(2026, 1, 1),
        timedelta(seconds=90),
        re.compile("x", re.IGNORECASE),
        b"\x00",
        AddWord("nested"),
    ],
)
def test_a_parameter_of_every_stable_kind_is_part_of_the_hash(value: object) -> None:
    assert Parametrized(value).source_hash() == Parametrized(value).source_hash()
    assert Parametrized(value).source_hash() != Parametrized("other").source_hash()


def test_a_parameter_without_a_stable_text_form_is_refused_by_name() -> None:
    with pytest.raises(StepDefinitionError, match="value is a object, which has no stable"):
        Parametrized(object()).source_hash()


CLASSES = """
from collections import namedtuple
from enum import Enum
from functools import cache

from continuous_gtfs.pipeline.step import step

Point = namedtuple("Point", "lat lon")
Kind = Enum("Kind", {"A": 1})

class Words:
    prefix = "AAA"

@cache
def cached():
    return "BBB"

@step(files=["a"])
def use(feed):
    return Point(Kind.A, Words.prefix + cached())
"""


@pytest.mark.parametrize(
    ("was", "becomes"), [("lat lon", "lat lng"), ('"A": 1', '"A": 2'), ("AAA", "AAB"), ("BBB", "BBC"), ("None", "None")]
)
def test_classes_and_cached_functions_of_the_steps_module_are_part_of_its_hash(
    tmp_path: Path, was: str, becomes: str
) -> None:
    before = hash_of(tmp_path, "before", CLASSES)
    assert (hash_of(tmp_path, "after", CLASSES.replace(was, becomes)) == before) == (was == becomes)


def hash_of(folder: Path, name: str, source: str) -> str:
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        digest: str = module.use.source_hash()
    finally:
        del sys.modules[name]
    return digest
