"""Bodies that are cut, oversized, compressed or no feed at all, each through a real connection."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from continuous_gtfs.pims.client import Body
from continuous_gtfs_tests.pims.fetching import could_not_tell, feed_source, fetch_from
from continuous_gtfs_tests.pims.raw_vendor import RESET, Piece, chunked, response

FEED = b"\n\x10\n\x032.0" + bytes(range(256)) * 4
GZIP = "Content-Encoding: gzip"


@pytest.mark.parametrize(
    "script",
    [
        [response(length=100, body=FEED[:50])],
        [response(length=100, body=FEED[:50]), 0.05, RESET],
        [chunked(FEED[:50], is_ended=False)],
        [response(headers=GZIP, body=gzip.compress(FEED)[:50])],
        [response(headers=GZIP, body=gzip.compress(FEED) + gzip.compress(FEED)[:20])],
        [response(headers=GZIP, body=gzip.compress(FEED)[:50], length=100)],
    ],
    ids=["length", "reset", "chunked", "gzip", "second gzip member", "gzip by length"],
)
def test_a_body_that_was_cut_off_is_never_a_body(script: list[Piece]) -> None:
    outcome = could_not_tell(fetch_from(script)[0])
    assert (outcome.kind, outcome.is_permanent) == ("truncated", False)
    assert "cut off after" in outcome.reason


def test_a_chunked_body_is_put_together() -> None:
    assert fetch_from([chunked(FEED[:3], FEED[3:])])[0] == Body(FEED)


def test_a_body_may_end_where_the_connection_does_when_no_length_was_given() -> None:
    assert fetch_from([b"HTTP/1.0 200 OK\r\n\r\n" + FEED])[0] == Body(FEED)


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    source = feed_source(max_bytes=len(FEED))
    assert fetch_from([response(body=FEED)], source)[0] == Body(FEED)
    assert fetch_from([response(headers=GZIP, body=gzip.compress(FEED))], source)[0] == Body(FEED)


def test_a_body_over_the_limit_is_refused_by_its_announced_length_before_it_is_read() -> None:
    # Only the head is sent: reading the body would run into the time limit.
    outcome = could_not_tell(fetch_from([response(length=10_001), 5.0])[0])
    assert (outcome.kind, outcome.is_permanent) == ("too_large", True)
    assert "10000" in outcome.reason
    assert "10001" in outcome.reason


def test_a_body_that_goes_on_past_the_limit_is_refused_without_its_end() -> None:
    outcome = could_not_tell(fetch_from([chunked(b"x" * 10_001, is_ended=False), 5.0])[0])
    assert outcome.kind == "too_large"


def test_the_limit_is_on_the_decompressed_bytes() -> None:
    bomb = gzip.compress(bytes(9_000_000))
    assert len(bomb) < 10_000
    outcome = could_not_tell(fetch_from([response(headers=GZIP, body=bomb)])[0])
    assert outcome.kind == "too_large"
    assert "decompressed" in outcome.reason


def test_a_body_that_inflates_without_end_does_not_fill_the_memory() -> None:
    bomb = gzip.compress(bytes(40_000_000))
    tracemalloc.start()
    try:
        outcome = could_not_tell(fetch_from([response(headers=GZIP, body=bomb)], feed_source(max_bytes=50_000))[0])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.kind == "too_large"
    assert peak < 5_000_000


def test_gzip_is_asked_for_and_undone() -> None:
    outcome, requests = fetch_from([response(headers=GZIP, body=gzip.compress(FEED))])
    assert outcome == Body(FEED)
    assert "Accept-Encoding: gzip\r\n" in requests[0]


def test_gzip_members_one_after_the_other_are_one_body() -> None:
    members = gzip.compress(FEED[:9]) + gzip.compress(FEED[9:])
    assert fetch_from([response(headers=GZIP, body=members)])[0] == Body(FEED)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", b"not gzip at all"), ("br", FEED), ("gzip, gzip", gzip.compress(gzip.compress(FEED)))],
)
def test_an_encoding_that_was_not_asked_for_or_is_not_true_is_refused(encoding: str, body: bytes) -> None:
    outcome = could_not_tell(fetch_from([response(headers=f"Content-Encoding: {encoding}", body=body)])[0])
    assert outcome.kind == "bad_encoding"


@pytest.mark.parametrize("script", [[response()], [chunked()], [response(headers=GZIP, body=gzip.compress(b""))]])
def test_an_empty_body_is_not_an_empty_feed(script: list[Piece]) -> None:
    assert could_not_tell(fetch_from(script)[0]).kind == "empty_body"


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html></html>",
        b"\xef\xbb\xbf\r\n  <HTML><body>x</body></HTML>",
        b"<!-- proxy --><p>error</p>",
        b"<?xml version='1.0'?><Error/>",
        b"<head></head>",
    ],
)
def test_a_web_page_with_status_200_is_not_a_feed(page: bytes) -> None:
    assert could_not_tell(fetch_from([response(body=page)])[0]).kind == "html_instead_of_feed"


def test_the_pages_title_is_told_without_what_could_forge_a_log_line() -> None:
    page = b"<html><title>\nDown for\r\n\x1b[31mmaintenance " + b"x" * 500 + b"</title>"
    reason = could_not_tell(fetch_from([response(body=page)])[0]).reason
    assert "Down for" in reason
    assert "maintenance" in reason
    assert reason.isprintable()
    assert len(reason) < 250


@pytest.mark.parametrize("feed", [b"\n<\n\x032.0(\x01", b"PK\x03\x04<html>", b"{}", b"<"])
def test_what_is_no_web_page_is_left_to_the_feeds_reader(feed: bytes) -> None:
    assert fetch_from([response(body=feed)])[0] == Body(feed)
