"""Looks for the secrets of a fetch in everything it leaves behind, at the most talkative log level."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from urllib.parse import quote

import httpx
import pytest

from continuous_gtfs_tests.pims.fetching import client, feed_source
from continuous_gtfs_tests.pims.raw_vendor import RESET, Piece, raw_vendor, response

KEY = "url/k3y+secret"
TOKEN = "h3ader-secret"
ECHO = f"{TOKEN} {KEY} {quote(KEY, safe='')}"
SOURCE = feed_source(
    "${config:PIMS_QA_URL}/feed/${secret:PIMS_QA_KEY}?key=${secret:PIMS_QA_KEY}",
    headers={"Authorization": "Bearer ${secret:PIMS_QA_TOKEN}"},
    timeout_s=0.3,
)


@pytest.mark.parametrize(
    "script",
    [
        [response(headers=f"ETag: {ECHO}\nLast-Modified: {TOKEN}\nX-Echo: {ECHO}", body=b"feed")],
        [response("304 Not Modified", f"X-Echo: {ECHO}")],
        [response("401 Unauthorized", f"WWW-Authenticate: {ECHO}")],
        [response("404 Not Found")],
        [response(f"500 {TOKEN}", f"Retry-After: {ECHO}")],
        [response("302 Found", f"Location: http://{TOKEN}.test/{quote(KEY, safe='')}")],
        [response("302 Found", f"Location: /{quote(KEY, safe='')}")],
        [response("302 Found", f"Location: http://{TOKEN}:99999:1/")],
        [response(body=f"<html><title>{ECHO}</title>".encode())],
        [response(headers=f"Content-Encoding: {TOKEN}", body=b"feed")],
        [response(headers=f"Content-Length: {TOKEN}", body=b"feed")],
        [f"{ECHO}\r\n\r\n".encode()],
        [response(length=100, body=b"feed"), RESET],
        [0.5],
        [],
    ],
)
def test_no_secret_is_in_the_outcome_the_logs_or_a_repr(
    script: Sequence[Piece], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> str:
        secrets = {"PIMS_QA_KEY": KEY, "PIMS_QA_TOKEN": TOKEN}
        async with raw_vendor(script) as vendor, client(vendor.url, secrets=secrets) as pims:
            outcome = await pims.fetch(SOURCE, etag='"v1"')
            assert f"key={quote(KEY, safe='')}" in vendor.requests[0], "the secret was to be sent"
            assert TOKEN in vendor.requests[0], "the secret was to be sent"
            return f"{pims!r}{outcome!r}"

    left = asyncio.run(main()) + "".join(f"{record.getMessage()}{record.args}" for record in caplog.records)
    assert "qa/trip_updates: " in left, "the fetch itself is to be logged"
    for secret in (KEY, TOKEN, quote(KEY, safe=""), quote(KEY)):
        assert secret not in left


def test_a_vendor_out_of_reach_leaves_no_secret_either(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> str:
        secrets = {"PIMS_QA_KEY": KEY, "PIMS_QA_TOKEN": TOKEN}
        async with client(f"http://{TOKEN}:{TOKEN}@127.0.0.1:9", secrets=secrets) as pims:
            return repr(await pims.fetch(SOURCE))

    left = asyncio.run(main()) + caplog.text
    assert "unreachable" in left
    for secret in (KEY, TOKEN, quote(KEY, safe="")):
        assert secret not in left


def test_a_secret_that_cannot_be_sent_is_not_quoted_by_the_http_library(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> str:
        secrets = {"PIMS_QA_KEY": KEY, "PIMS_QA_TOKEN": f"{TOKEN}\x00\n{TOKEN}"}
        async with client("http://127.0.0.1:9", secrets=secrets) as pims:
            return repr(await pims.fetch(SOURCE))

    left = asyncio.run(main()) + caplog.text
    assert "PIMS_QA_TOKEN" in left
    assert TOKEN not in left


def test_the_http_librarys_records_of_others_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> str:
        async with raw_vendor([response(body=b"feed")], keep_open=True) as vendor:
            async with client(vendor.url) as pims:
                await pims.fetch(feed_source())
            assert not [r for r in caplog.records if r.name.startswith("http") and "feed" in r.getMessage()]
            async with httpx.AsyncClient(trust_env=False) as other:
                await other.get(f"{vendor.url}/other")
        return caplog.text

    left = asyncio.run(main())
    assert "/other" in left
    assert "httpcore" in left
