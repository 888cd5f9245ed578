"""Looks for the secrets of a fetch in everything it leaves behind, at the most talkative log level."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Sequence
from urllib.parse import quote

import httpx
import pytest

from continuous_gtfs.pims.client import CouldNotTell, FetchOutcome
from continuous_gtfs_tests.pims.fetching import client, feed_source
from continuous_gtfs_tests.pims.raw_vendor import RESET, Piece, raw_vendor, response

KEY = "url/k3y+secret-2026"
TOKEN = "h3ader-Secret-2026"
ENDS = 8
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
        [response("302 Found", f"Location: http://{TOKEN}.test/")],
        [response("302 Found", f"Location: /{quote(KEY, safe='')}")],
        [response("302 Found", f"Location: http://{TOKEN}:99999:1/")],
        [response(body=f"<html><title>{ECHO}</title>".encode())],
        [response(body=f"<html><title>{b64encode(f'u:{TOKEN}'.encode()).decode()}</title>".encode())],
        *([response(body=f"<html><title>{'x' * n} {TOKEN} </title>".encode())] for n in range(60, 80, 3)),
        *([response(body=b"<html>" + b" " * n + f"<title>{TOKEN}</title>".encode())] for n in range(4066, 4096, 4)),
        [response(body=b"\n\x03feed " + TOKEN.encode())],
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
        for part in (secret, secret[:ENDS], secret[-ENDS:]):
            assert part.lower() not in left.lower()
    assert not any(form in left for form in forms_in_base64(TOKEN))


def forms_in_base64(secret: str) -> list[str]:
    return [b64encode(bytes(n) + secret.encode()).decode()[4:-4] for n in range(3)]


def test_a_body_that_repeats_a_secret_is_not_kept() -> None:
    async def main() -> FetchOutcome:
        secrets = {"PIMS_QA_KEY": KEY, "PIMS_QA_TOKEN": TOKEN}
        script = [response(body=b"\n\x03feed " + TOKEN.encode())]
        async with raw_vendor(script) as vendor, client(vendor.url, secrets=secrets) as pims:
            return await pims.fetch(SOURCE)

    outcome = asyncio.run(main())
    assert isinstance(outcome, CouldNotTell)
    assert (outcome.kind, outcome.is_permanent) == ("repeats_secret", False)


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
