from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuous_gtfs.errors import StepDefinitionError
from continuous_gtfs.gtfs.csv_tables import TEXT
from continuous_gtfs.gtfs.where import Where, where

TABLE = pd.DataFrame({"id": list("abcd"), "route": ["1", "2", "", "10"], "block": ["", "x", "", "y"]}, dtype=TEXT)


def matching(condition: Where) -> str:
    return "".join(TABLE.loc[condition.matches(TABLE), "id"])


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        (where("route", equals="1"), "a"),
        (where("route", equals=" 1 "), "a"),
        (where("route", one_of=["1", "10", "99"]), "ad"),
        (where("route", matches="1"), "ad"),
        (where("route", matches="^1$"), "a"),
        (where("route", is_blank=True), "c"),
        (where("route", is_blank=False), "abd"),
        (where("route", equals="1") | where("block", equals="x"), "ab"),
        (where("route", matches="1") & where("block", equals="y"), "d"),
        (where("route", matches="1") & ~where("block", is_blank=True), "d"),
    ],
)
def test_a_condition_matches_these_rows(condition: Where, ids: str) -> None:
    assert matching(condition) == ids


@pytest.mark.parametrize("condition", [where("route", matches=".*"), where("route", matches="^$")])
def test_a_blank_cell_never_matches_an_expression(condition: Where) -> None:
    assert "c" not in matching(condition)


def test_a_blank_cell_does_not_match_a_negation_either() -> None:
    assert matching(~where("route", equals="1")) == "bd"
    assert matching(~where("route", equals="1") | where("route", is_blank=True)) == "bcd"
    assert matching(~(where("route", equals="1") | where("block", equals="x"))) == "d"
    assert matching(~(where("route", equals="1") & where("block", equals="x"))) == "bd"


conditions = st.recursive(
    st.sampled_from(
        [
            where("route", equals="1"),
            where("route", matches="0"),
            where("block", one_of=["x", "y"]),
            where("block", is_blank=True),
            where("route", is_blank=False),
        ]
    ),
    lambda inner: st.builds(lambda a, b: a & b, inner, inner) | st.builds(lambda a, b: a | b, inner, inner),
    max_leaves=5,
)


@given(conditions, conditions)
def test_the_laws_of_negation_hold(one: Where, other: Where) -> None:
    assert matching(~~one) == matching(one)
    assert matching(~(one & other)) == matching(~one | ~other)
    assert matching(~(one | other)) == matching(~one & ~other)


def test_a_condition_names_its_fields() -> None:
    assert (where("a", equals="1") & ~where("b", is_blank=True) | where("c", matches="x")).fields == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "it has nothing"),
        ({"equals": "1", "matches": "2"}, "it has equals and matches"),
        ({"equals": ""}, "a blank never matches; ask with is_blank=True"),
        ({"one_of": ["1", ""]}, "a blank never matches"),
        ({"one_of": []}, "nothing could ever match"),
        ({"one_of": "12"}, "one_of='12' is one text"),
        ({"equals": 1}, "1 is no text"),
        ({"matches": "("}, r"'\(' is no regular expression"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused_when_it_is_written(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(StepDefinitionError, match=said):
        where("route", **arguments)  # type: ignore[arg-type]


def test_and_in_place_of_an_ampersand_is_refused_since_it_would_drop_a_condition() -> None:
    with pytest.raises(StepDefinitionError, match="combine conditions with &"):
        _ = where("a", equals="1") and where("b", equals="2")
