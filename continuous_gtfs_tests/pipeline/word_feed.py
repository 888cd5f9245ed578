"""A feed of words, for tests of pipelines: files are tuples of words, nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from continuous_gtfs.pipeline.results import RowChanges
from continuous_gtfs.pipeline.step import Step, StepContext


class WordFeed:
    def __init__(self, files: Mapping[str, tuple[str, ...]]) -> None:
        self.files = dict(files)
        self._origin = dict(files)

    def fork(self) -> Self:
        return type(self)(self.files)

    def row_counts(self) -> Mapping[str, int]:
        return {name: len(words) for name, words in self.files.items()}

    def row_changes(self) -> Mapping[str, RowChanges]:
        before = {name: len(words) for name, words in self._origin.items()}
        after = {name: len(words) for name, words in self.files.items()}
        gained = {name: after.get(name, 0) - before.get(name, 0) for name in before | after}
        return {name: RowChanges(removed=max(-n, 0), added=max(n, 0)) for name, n in gained.items()}

    def changed_since(self, other: Self) -> frozenset[str]:
        names = self.files.keys() | other.files.keys()
        return frozenset(name for name in names if self.files.get(name) is not other.files.get(name))


@dataclass(frozen=True)
class AddWord(Step[WordFeed]):
    word: str
    name: str = "add_word"
    files: frozenset[str] = frozenset({"a"})

    def apply(self, feed: WordFeed, context: StepContext) -> None:
        feed.files["a"] = (*feed.files["a"], self.word)
        context.log(f"added {self.word} at {context.now:%H:%M}")
