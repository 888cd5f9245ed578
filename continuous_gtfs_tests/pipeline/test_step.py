from __future__ import annotations

from datetime import UTC, datetime

import pytest

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.pipeline.step import StepContext, step
from continuous_gtfs_tests.pipeline.word_feed import WordFeed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_bare_step_says_which_function_and_what_to_write() -> None:
    with pytest.raises(StepDefinitionError, match=r'bare @step on rename: .*@step\(files=\["stops.txt"\]\)'):

        @step
        def rename(feed: WordFeed) -> None: ...


@pytest.mark.parametrize("arguments", [{}, {"files": "stops.txt"}])
def test_files_left_out_or_one_text_is_refused(arguments: dict[str, str]) -> None:
    with pytest.raises(StepDefinitionError, match="give a list of the files"):
        step(**arguments)


def test_files_given_by_position_are_refused_with_the_right_hint() -> None:
    with pytest.raises(StepDefinitionError, match="name the files as files="):
        step(["stops.txt"])


def test_a_function_with_other_arguments_is_refused() -> None:
    with pytest.raises(StepDefinitionError, match=r"takes 3 arguments; a step function takes \(feed\) or"):

        @step(files=["a"])
        def too_many(feed: WordFeed, context: StepContext, extra: str) -> None: ...


def test_an_async_function_is_refused() -> None:
    with pytest.raises(StepDefinitionError, match="is async"):

        @step(files=["a"])  # type: ignore[arg-type]
        async def later(feed: WordFeed) -> None: ...


def test_a_function_that_returns_a_feed_is_told_that_it_would_be_lost() -> None:
    @step(files=["a"])  # type: ignore[arg-type]
    def returns(feed: WordFeed) -> WordFeed:
        return feed

    with pytest.raises(StepDefinitionError, match="returned a WordFeed"):
        returns.apply(WordFeed({}), StepContext(now=NOW))


def test_a_step_of_a_function_is_named_and_described_by_it() -> None:
    @step(files=["a", "b"])
    def shorten(feed: WordFeed) -> None:
        """Shorter."""

    assert (shorten.name, shorten.files, shorten.__doc__) == ("shorten", frozenset({"a", "b"}), "Shorter.")


def test_a_function_gets_the_context_only_if_it_asks() -> None:
    seen: list[object] = []

    @step(files=None)
    def without(feed: WordFeed) -> None:
        seen.append("without")

    @step(files=None, name="other_name")
    def with_context(feed: WordFeed, context: StepContext) -> None:
        seen.append(context.now)

    for one in (without, with_context):
        one.apply(WordFeed({}), StepContext(now=NOW))
    assert seen == ["without", NOW]
    assert with_context.name == "other_name"
    assert with_context.files is None
