from __future__ import annotations

import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from continuous_gtfs.demo.graphql import ACTIVITY, WebserverError, ask
from continuous_gtfs.demo.ports import Ports
from continuous_gtfs_tests.demo.webserver import stand_in


def test_the_query_fits_the_installed_dagster() -> None:
    assert validate(create_schema().graphql_schema, parse(ACTIVITY)) == []


def test_the_data_of_an_answer_comes_back_and_the_variables_arrive() -> None:
    with stand_in() as server:
        server.answer = {"data": {"version": "1"}}
        assert ask(server.url, "query", {"since": 1.5}) == {"version": "1"}
        assert server.asked == [{"since": 1.5}]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"errors": [{"message": "no such field"}], "data": None}, "no such field"),
        ({"data": None}, "no data"),
        (b"<html>", "Expecting value"),
    ],
)
def test_an_answer_that_is_none_is_an_error_and_not_an_empty_fact(answer: object, message: str) -> None:
    with stand_in() as server:
        server.answer = answer
        with pytest.raises(WebserverError, match=message):
            ask(server.url, "query", {})


def test_no_webserver_is_an_error_that_names_the_url() -> None:
    url = f"http://127.0.0.1:{Ports.free().webserver}"
    with pytest.raises(WebserverError, match=url):
        ask(url, "query", {})
