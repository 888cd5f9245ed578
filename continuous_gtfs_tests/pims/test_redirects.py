"""Where a redirect may lead, and that no credential goes anywhere else."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from continuous_gtfs.pims.client import MAX_REDIRECTS, Body
from continuous_gtfs_tests.pims.fetching import TOKEN, client, could_not_tell, feed_source, fetch_from, with_vendors
from continuous_gtfs_tests.pims.raw_vendor import RawVendor, raw_vendor, response

FEED = response(body=b"feed")


def redirect(location: str, status: str = "302 Found") -> bytes:
    return response(status, f"Location: {location}")


def test_another_host_is_refused_and_only_its_host_is_named() -> None:
    async def body(elsewhere: RawVendor) -> None:
        location = f"{elsewhere.url}/path?signature=abc"
        async with raw_vendor([redirect(location)]) as vendor, client(vendor.url) as pims:
            outcome = could_not_tell(await pims.fetch(feed_source()))
        assert (outcome.kind, outcome.is_permanent) == ("redirect_refused", True)
        assert f"127.0.0.1:{elsewhere.port}" in outcome.reason
        assert "signature" not in outcome.reason
        assert "path" not in outcome.reason
        assert "redirect_hosts" in outcome.reason
        assert elsewhere.requests == []

    with_vendors([[FEED]], body)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_an_allowed_host_is_followed_and_gets_no_header_of_the_feed(status: str) -> None:
    async def body(elsewhere: RawVendor) -> None:
        async with raw_vendor([redirect(f"{elsewhere.url}/feed", status)]) as vendor, client(vendor.url) as pims:
            source = feed_source(redirect_hosts=frozenset({f"127.0.0.1:{elsewhere.port}"}))
            assert await pims.fetch(source, etag='"v1"') == Body(b"feed")
        assert "X-PIMS-Token" not in elsewhere.requests[0]
        assert TOKEN not in elsewhere.requests[0]
        assert 'If-None-Match: "v1"\r\n' in elsewhere.requests[0]

    with_vendors([[FEED]], body)


def test_the_host_that_was_asked_may_redirect_to_itself() -> None:
    outcome, requests = fetch_from(lambda head: [FEED if "/new" in head else redirect("/new")])
    assert outcome == Body(b"feed")
    assert requests[1].startswith("GET /new ")


def test_an_allowed_host_may_not_lead_on_to_another() -> None:
    async def body(stranger: RawVendor) -> None:
        async with (
            raw_vendor([redirect(f"{stranger.url}/feed")]) as friend,
            raw_vendor([redirect(f"{friend.url}/feed")]) as vendor,
            client(vendor.url) as pims,
        ):
            source = feed_source(redirect_hosts=frozenset({f"127.0.0.1:{friend.port}"}))
            assert could_not_tell(await pims.fetch(source)).kind == "redirect_refused"
        assert len(friend.requests) == 1
        assert stranger.requests == []

    with_vendors([[FEED]], body)


def test_redirects_are_followed_three_times_and_no_more() -> None:
    def hops(number: int) -> tuple[object, int]:
        def answer(head: str) -> list[bytes]:
            step = int(head.split("/n")[1].split(" ")[0]) if "/n" in head else 0
            return [FEED if step == number else redirect(f"/n{step + 1}")]

        outcome, requests = fetch_from(answer)
        return outcome, len(requests)

    assert hops(MAX_REDIRECTS) == (Body(b"feed"), MAX_REDIRECTS + 1)
    outcome, requests = hops(MAX_REDIRECTS + 1)
    assert getattr(outcome, "kind", None) == "redirect_refused"
    assert requests == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "headers", ["", "Location: ", "Location: ftp://127.0.0.1/x", "Location: http://:80:80/", "Location: http://xn--a/"]
)
def test_a_redirect_to_nowhere_is_refused(headers: str) -> None:
    # An empty Location is the same document again: a loop, cut by the limit.
    assert could_not_tell(fetch_from([response("302 Found", headers)])[0]).kind == "redirect_refused"


@pytest.mark.parametrize(
    ("location", "allowed", "is_followed"),
    [
        ("https://files.test/feed", "files.test", True),
        ("https://files.test/feed", "files.test:443", True),
        ("https://files.test:8443/feed", "files.test:8443", True),
        ("https://files.test:8443/feed", "files.test", False),
        ("https://files.test.evil.test/feed", "files.test", False),
        ("https://files.test@evil.test/feed", "files.test", False),
        ("http://files.test/feed", "files.test", False),
        ("http://vendor.test/feed", "vendor.test", False),
        ("https://vendor.test:443/other", "", True),
        ("//vendor.test/other", "", True),
    ],
)
def test_a_host_is_allowed_by_name_or_name_and_port_and_never_out_of_https(
    location: str, allowed: str, is_followed: bool
) -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return (
            httpx.Response(200, stream=httpx.ByteStream(b"feed"))
            if len(asked) > 1
            else httpx.Response(302, headers={"Location": location})
        )

    async def main() -> None:
        async with client("https://vendor.test", transport=httpx.MockTransport(handler)) as pims:
            outcome = await pims.fetch(feed_source(redirect_hosts=frozenset({allowed} - {""})))
        if is_followed:
            assert outcome == Body(b"feed")
        else:
            assert could_not_tell(outcome).kind == "redirect_refused"
            assert len(asked) == 1

    asyncio.run(main())


def test_the_deadline_holds_over_all_redirects_together() -> None:
    outcome, requests = fetch_from(lambda head: [0.15, redirect("/again")], feed_source(timeout_s=0.2))
    assert could_not_tell(outcome).kind == "timeout"
    assert len(requests) == 2
