from __future__ import annotations

from datetime import UTC, datetime

import pytest

from continuous_gtfs.errors import StepDefinitionError, StepFailedError
from continuous_gtfs.pipeline.results import Finding, StepResult
from continuous_gtfs.pipeline.running import check_steps, run_step, run_steps
from continuous_gtfs.pipeline.step import StepContext, step
from continuous_gtfs_tests.pipeline.word_feed import AddWord, WordFeed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_steps_run_in_the_order_of_the_list_each_on_what_the_last_made() -> None:
    feed, results = run_steps([AddWord("x"), AddWord("y")], WordFeed({"a": ("w",)}), now=NOW)
    assert feed.files == {"a": ("w", "x", "y")}
    assert [(r.name, r.rows_before, r.rows_after) for r in results] == [
        ("add_word", {"a": 1}, {"a": 2}),
        ("add_word_2", {"a": 2}, {"a": 3}),
    ]
    assert results[0].logs == ("added x at 12:00",)
    assert {r.status for r in results} == {"success"}


def test_the_feed_that_was_handed_in_stays_as_it_was() -> None:
    feed = WordFeed({"a": ("w",)})
    run_step(AddWord("x"), feed, now=NOW)
    assert feed.files == {"a": ("w",)}


def test_a_step_that_raises_fails_with_what_it_reported_and_nothing_after_it_runs() -> None:
    ran: list[str] = []

    @step(files=["a"])
    def breaks(feed: WordFeed, context: StepContext) -> None:
        context.log("began")
        feed.files["a"] = ()
        raise KeyError("word")

    @step(files=["a"])
    def never(feed: WordFeed) -> None:
        ran.append("never")

    seen: list[StepResult] = []
    feed = WordFeed({"a": ("w",)})
    with pytest.raises(StepFailedError, match="step breaks failed: KeyError: 'word'") as caught:
        run_steps([AddWord("x"), breaks, never], feed, now=NOW, on_result=seen.append)
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.result.logs == ("began",)
    assert [(r.name, r.status) for r in seen] == [("add_word", "success"), ("breaks", "failed")]
    assert [*caught.value.earlier, caught.value.result] == seen
    assert ran == []
    assert feed.files == {"a": ("w",)}


def test_a_step_that_changes_a_file_it_did_not_declare_fails() -> None:
    @step(files=["a"])
    def strays(feed: WordFeed) -> None:
        feed.files["b"] = ("new",)

    with pytest.raises(StepFailedError, match="it changed b but declares a"):
        run_step(strays, WordFeed({"a": ()}), now=NOW)


def test_a_step_that_removes_a_file_it_did_not_declare_fails() -> None:
    @step(files=[])
    def removes(feed: WordFeed) -> None:
        del feed.files["a"]

    with pytest.raises(StepFailedError, match="it changed a but declares nothing"):
        run_step(removes, WordFeed({"a": ("w",)}), now=NOW)


def test_a_step_that_may_change_any_file_is_counted_on_those_it_changed() -> None:
    @step(files=None)
    def anywhere(feed: WordFeed) -> None:
        feed.files["b"] = ("x", "y")

    _, result = run_step(anywhere, WordFeed({"a": ("w",), "b": ("x",)}), now=NOW)
    assert (result.rows_before, result.rows_after) == ({"b": 1}, {"b": 2})


def test_a_file_that_was_not_there_before_has_no_count_before() -> None:
    @step(files=["b"])
    def adds(feed: WordFeed) -> None:
        feed.files["b"] = ("x",)

    _, result = run_step(adds, WordFeed({"a": ("w",)}), now=NOW)
    assert (result.rows_before, result.rows_after) == ({}, {"b": 1})


def test_a_finding_of_severity_error_fails_the_step_and_a_warning_does_not() -> None:
    @step(files=[])
    def warns(feed: WordFeed, context: StepContext) -> None:
        context.find(Finding("warning", "odd", "odd"))

    @step(files=[])
    def objects(feed: WordFeed, context: StepContext) -> None:
        context.find(Finding("error", "wrong", "the word is wrong"))

    _, result = run_step(warns, WordFeed({}), now=NOW)
    assert (result.status, result.findings[0].code) == ("success", "odd")
    with pytest.raises(StepFailedError, match="the word is wrong") as caught:
        run_step(objects, WordFeed({}), now=NOW)
    assert caught.value.result.findings[0].code == "wrong"


def test_inputs_reach_the_step() -> None:
    seen: list[object] = []

    @step(files=[])
    def looks(feed: WordFeed, context: StepContext) -> None:
        seen.append(context.inputs["schedule_index"])

    run_step(looks, WordFeed({}), now=NOW, inputs={"schedule_index": "index"})
    assert seen == ["index"]


def test_a_naive_now_is_refused() -> None:
    with pytest.raises(StepDefinitionError, match="timezone-aware"):
        run_step(AddWord("x"), WordFeed({"a": ()}), now=datetime(2026, 3, 1))


def plain_function(feed: WordFeed) -> None: ...


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (plain_function, r"step 2 of the list is the plain function plain_function; put @step\(files="),
        (AddWord, r"is the class AddWord; write AddWord\(\.\.\.\)"),
        ("stops.txt", "is a str, which is no step"),
        (AddWord("x", name="add word"), "has the name 'add word'"),
        (AddWord("x", files=["a"]), "does not declare its files"),  # type: ignore[arg-type]
    ],
)
def test_a_list_with_something_that_is_no_step_says_where_and_what(item: object, said: str) -> None:
    with pytest.raises(StepDefinitionError, match=said):
        check_steps([AddWord("x"), item])


def test_repeated_names_get_a_number_and_the_listed_steps_keep_theirs() -> None:
    listed = [AddWord("x"), AddWord("y", name="add_word_2"), AddWord("z")]
    assert [s.name for s in check_steps(listed)] == ["add_word", "add_word_2", "add_word_3"]
    assert [s.name for s in listed] == ["add_word", "add_word_2", "add_word"]
