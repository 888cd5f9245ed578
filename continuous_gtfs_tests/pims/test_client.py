"""What a fetch asks and what it makes of each answer; bodies, redirects and secrets have files of their own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import httpx
import pytest

from continuous_gtfs.pims.client import Body, NotModified
from continuous_gtfs_tests.pims.fetching import client, could_not_tell, feed_source, fetch_from
from continuous_gtfs_tests.pims.raw_vendor import HANG, Piece, raw_vendor, response


def test_a_whole_body_comes_with_its_validators() -> None:
    outcome, requests = fetch_from([response(headers='ETag: "v1"\nLast-Modified: yesterday', body=b"feed")])
    assert outcome == Body(b"feed", '"v1"', "yesterday")
    assert requests[0].startswith("GET /feed HTTP/1.1\r\n")
    assert "If-None-Match" not in requests[0]
    assert "If-Modified-Since" not in requests[0]


def test_a_body_without_validators_is_a_body() -> None:
    assert fetch_from([response(body=b"feed")])[0] == Body(b"feed", None, None)


def test_the_validators_in_hand_are_sent_back_and_304_means_nothing_new() -> None:
    outcome, requests = fetch_from([response("304 Not Modified")], etag='W/"v1"', last_modified="yesterday")
    assert outcome == NotModified()
    assert 'If-None-Match: W/"v1"\r\n' in requests[0]
    assert "If-Modified-Since: yesterday\r\n" in requests[0]


def test_304_to_a_request_without_a_condition_is_not_nothing_new() -> None:
    outcome, _ = fetch_from([response("304 Not Modified")])
    assert could_not_tell(outcome).kind == "unexpected_not_modified"


@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
def test_a_validator_that_is_a_text_of_its_own_is_not_kept(name: str) -> None:
    outcome, _ = fetch_from([response(headers=f'{name}: "{"x" * 60_000}"', body=b"feed")])
    assert outcome == Body(b"feed")


def test_a_validator_that_no_header_can_carry_is_left_out() -> None:
    outcome, requests = fetch_from([response(body=b"feed")], etag='"é"', last_modified="a\r\nX-Other: b")
    assert isinstance(outcome, Body)
    assert "If-" not in requests[0]
    assert "X-Other" not in requests[0]


@pytest.mark.parametrize(
    ("status", "kind", "is_permanent", "named"),
    [
        ("401 Unauthorized", "unauthorized", True, "PIMS_QA_TOKEN"),
        ("403 Forbidden", "unauthorized", True, "PIMS_QA_TOKEN"),
        ("404 Not Found", "not_found", True, "PIMS_QA_URL"),
        ("410 Gone", "not_found", True, "PIMS_QA_URL"),
        ("400 Bad Request", "client_error", True, "400"),
        ("408 Request Timeout", "client_error", False, "408"),
        ("500 Internal Server Error", "server_error", False, "500"),
        ("503 Service Unavailable", "server_error", False, "503"),
        ("204 No Content", "unexpected_status", False, "204"),
        ("206 Partial Content", "unexpected_status", False, "206"),
        ("300 Multiple Choices", "unexpected_status", False, "300"),
    ],
)
def test_each_status_has_its_outcome(status: str, kind: str, is_permanent: bool, named: str) -> None:
    outcome = could_not_tell(fetch_from([response(status, body=b"" if status < "205" else b"sorry")])[0])
    assert (outcome.kind, outcome.is_permanent) == (kind, is_permanent)
    assert named in outcome.reason
    assert outcome.retry_after_s is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Mon, 02 Mar 2026 12:01:30 GMT", 90.0),
        ("Mon, 02 Mar 2026 11:00:00 GMT", 0.0),
        ("Monday, 02-Mar-26 12:00:10 GMT", 10.0),
        ("soon", None),
        ("-5", None),
        ("9" * 400, None),
        ("Mon, 02 Mar 2026 12:01:30 +9999999999999", None),
    ],
)
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_retry_after_is_seconds_or_a_date(status: str, value: str, seconds: float | None) -> None:
    outcome = could_not_tell(fetch_from([response(status, f"Retry-After: {value}")])[0])
    assert outcome.retry_after_s == seconds
    assert not outcome.is_permanent


@pytest.mark.parametrize(
    "script",
    [
        [HANG],
        [b"HTTP/1.1 200 OK\r\n", HANG],
        [response(length=10, body=b"feed"), HANG],
        [response(length=1000), *[piece for _ in range(100) for piece in (b"x", 0.05)]],
    ],
    ids=["silent", "status line only", "half a body", "a byte at a time"],
)
def test_one_deadline_holds_for_the_whole_request(script: Sequence[Piece]) -> None:
    outcome = could_not_tell(fetch_from(script, feed_source(timeout_s=0.2))[0])
    assert (outcome.kind, outcome.is_permanent) == ("timeout", False)
    assert "0.2 s" in outcome.reason


@pytest.mark.parametrize(
    "script",
    [
        [b"HTTP/1.1 200 OK\r\n" + b"X-Pad: " + b"x" * 200_000 + b"\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"X-Pad: xxxxxxxxxx\r\n" * 20_000 + b"\r\n"],
        [b"HTTP/1.1 200 " + b"x" * 200_000 + b"\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 200_000 + b"\r\na\r\n0\r\n\r\n"],
    ],
    ids=["header", "headers", "reason", "extension of a chunk"],
)
def test_a_head_without_end_is_no_answer(script: Sequence[Piece]) -> None:
    outcome = could_not_tell(fetch_from(script)[0])
    assert outcome.kind in ("bad_response", "truncated")
    assert len(outcome.reason) < 200


@pytest.mark.parametrize("name", ["../../etc/passwd", 'feed.zip"; filename="C:\\con', "=cmd|'/c calc'!A1.zip"])
def test_what_the_vendor_calls_the_file_is_of_no_account(name: str) -> None:
    outcome, _ = fetch_from([response(headers=f'Content-Disposition: attachment; filename="{name}"', body=b"feed")])
    assert outcome == Body(b"feed")


def test_a_vendor_that_hangs_up_is_unreachable() -> None:
    outcome = could_not_tell(fetch_from([])[0])
    assert (outcome.kind, outcome.is_permanent) == ("unreachable", False)


def test_an_answer_that_is_not_http_is_a_bad_response() -> None:
    assert could_not_tell(fetch_from([b"SSH-2.0-OpenSSH_9.6\r\n\r\n"])[0]).kind == "bad_response"


def test_a_port_nobody_listens_on_is_unreachable_and_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def main() -> None:
        async with client(f"http://user:pass@127.0.0.1:{port}") as pims:
            outcome = could_not_tell(await pims.fetch(feed_source("${config:PIMS_QA_URL}/feed?key=s3cret")))
        assert (outcome.kind, outcome.is_permanent) == ("unreachable", False)
        assert f"127.0.0.1:{port}" in outcome.reason
        assert "refused" in outcome.reason or "Connect call failed" in outcome.reason
        assert "pass" not in outcome.reason
        assert "s3cret" not in outcome.reason

    asyncio.run(main())


def test_a_vendor_without_tls_at_an_https_url_is_unreachable() -> None:
    async def main() -> None:
        async with (
            raw_vendor([b"HTTP/1.1 400 Bad Request\r\n\r\n"], speaks_first=True) as vendor,
            client(vendor.url.replace("http:", "https:")) as pims,
        ):
            outcome = could_not_tell(await pims.fetch(feed_source()))
        assert outcome.kind == "unreachable"
        assert str(vendor.port) in outcome.reason
        assert "SSL" in outcome.reason

    asyncio.run(main())


def test_a_name_that_does_not_resolve_is_unreachable_with_the_resolvers_words() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("All connection attempts failed") from socket.gaierror(-2, "Name not known")

    async def main() -> None:
        async with client("http://vendor.test", transport=httpx.MockTransport(handler)) as pims:
            outcome = could_not_tell(await pims.fetch(feed_source()))
        assert outcome.kind == "unreachable"
        assert "vendor.test:80" in outcome.reason
        assert "Name not known" in outcome.reason

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("", "PIMS_QA_URL is not set"),
        ("127.0.0.1:4010/qa", "PIMS_QA_URL"),
        ("ftp://vendor.test/qa", "PIMS_QA_URL"),
        ("http://", "PIMS_QA_URL"),
        ("http://vendor.test:99999", "PIMS_QA_URL"),
        ("http://vendor.test:port", "PIMS_QA_URL"),
        (f"http://{'v' * 64}.test", "PIMS_QA_URL"),
        ("http://vendor..test", "PIMS_QA_URL"),
    ],
)
def test_a_url_that_is_none_is_a_matter_of_configuration(url: str, named: str) -> None:
    async def main() -> None:
        async with client(url) as pims:
            outcome = could_not_tell(await pims.fetch(feed_source()))
        assert (outcome.kind, outcome.is_permanent) == ("not_configured", True)
        assert named in outcome.reason

    asyncio.run(main())


def test_a_missing_token_is_a_matter_of_configuration_and_nothing_is_sent() -> None:
    async def main() -> None:
        async with raw_vendor([response(body=b"feed")]) as vendor, client(vendor.url, secrets={}) as pims:
            outcome = could_not_tell(await pims.fetch(feed_source()))
        assert (outcome.kind, outcome.is_permanent) == ("not_configured", True)
        assert "PIMS_QA_TOKEN" in outcome.reason
        assert vendor.requests == []

    asyncio.run(main())


def test_a_header_name_that_is_none_is_a_matter_of_configuration() -> None:
    source = feed_source(headers={"X PIMS": "${secret:PIMS_QA_TOKEN}"})
    outcome = could_not_tell(fetch_from([response(body=b"feed")], source)[0])
    assert (outcome.kind, outcome.is_permanent) == ("not_configured", True)


def test_a_cancellation_passes_through() -> None:
    async def main() -> None:
        async with raw_vendor([HANG]) as vendor, client(vendor.url) as pims:
            task = asyncio.create_task(pims.fetch(feed_source()))
            while not vendor.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


def test_a_deadline_around_the_fetch_is_the_callers_and_not_an_outcome() -> None:
    async def main() -> None:
        async with raw_vendor([HANG]) as vendor, client(vendor.url) as pims:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await pims.fetch(feed_source())

    asyncio.run(main())


def test_the_connection_is_kept_and_the_vendors_cookies_are_not() -> None:
    async def main() -> None:
        answer = response(headers="Set-Cookie: session=1; Path=/", body=b"feed")
        async with raw_vendor([answer], keep_open=True) as vendor, client(vendor.url) as pims:
            for _ in range(2):
                assert isinstance(await pims.fetch(feed_source()), Body)
        assert len(vendor.requests) == 2
        assert "cookie" not in vendor.requests[1].lower()

    asyncio.run(main())


def test_the_loopback_vendor_is_asked_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(fetch_from([response(body=b"feed")])[0], Body)


def test_a_client_that_was_not_entered_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(client("http://127.0.0.1:9").fetch(feed_source()))
