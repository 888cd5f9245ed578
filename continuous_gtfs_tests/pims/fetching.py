"""Short ways to a FeedSource and to one fetch, for the tests of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from continuous_gtfs.pims.catalog import FeedKind, FeedSource
from continuous_gtfs.pims.client import CouldNotTell, FetchOutcome, PimsClient
from continuous_gtfs.pims.secrets import EnvironmentSecrets
from continuous_gtfs.pims.targets import ALLOW_SETTING
from continuous_gtfs_tests.pims.raw_vendor import Piece, RawVendor, raw_vendor

NOW = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
TOKEN = "t0k3n&with/odd+chars"
SECRETS = {"PIMS_QA_TOKEN": TOKEN}


def feed_source(url: str = "${config:PIMS_QA_URL}/feed", **changes: Any) -> FeedSource:
    fields: dict[str, Any] = {
        "environment": "qa",
        "feed": "trip_updates",
        "kind": FeedKind.REALTIME,
        "url": url,
        "headers": {"X-PIMS-Token": "${secret:PIMS_QA_TOKEN}"},
        "poll_every_s": 1.0,
        "timeout_s": 5.0,
        "max_bytes": 10_000,
    }
    return FeedSource(**(fields | changes))


def client(
    url: str = "",
    *,
    config: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] = SECRETS,
    transport: httpx.AsyncBaseTransport | None = None,
) -> PimsClient:
    return PimsClient(
        config={"PIMS_QA_URL": url, ALLOW_SETTING: "127.0.0.1"} if config is None else config,
        secrets=EnvironmentSecrets(secrets),
        transport=transport,
        now=lambda: NOW,
    )


def fetch_from(
    script: Sequence[Piece] | Callable[[str], Sequence[Piece]],
    source: FeedSource | None = None,
    **validators: str | None,
) -> tuple[FetchOutcome, list[str]]:
    """The outcome of one fetch from a raw vendor, and the request heads that the vendor saw."""

    async def main() -> tuple[FetchOutcome, list[str]]:
        async with raw_vendor(script) as vendor, client(vendor.url) as pims:
            return await pims.fetch(source or feed_source(), **validators), vendor.requests

    return asyncio.run(main())


def with_vendors(
    scripts: Sequence[Sequence[Piece] | Callable[[str], Sequence[Piece]]],
    body: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """Runs ``body`` with as many raw vendors as there are scripts."""

    async def main() -> None:
        running: list[RawVendor] = []

        async def enter(rest: Sequence[Any]) -> None:
            if not rest:
                await body(*running)
                return
            async with raw_vendor(rest[0]) as vendor:
                running.append(vendor)
                await enter(rest[1:])

        await enter(scripts)

    asyncio.run(main())


def could_not_tell(outcome: FetchOutcome) -> CouldNotTell:
    assert isinstance(outcome, CouldNotTell), outcome
    assert outcome.reason.startswith("qa/trip_updates: ")
    return outcome
