"""Which addresses are asked: by their spelling, by what a name resolves to, and over a redirect."""

from __future__ import annotations

import asyncio
import ipaddress

import httpcore
import pytest

from continuous_gtfs.errors import ConfigurationError
from continuous_gtfs.pims.client import Body
from continuous_gtfs.pims.guarded import GuardedBackend, RefusedTargetError
from continuous_gtfs.pims.targets import ALLOW_SETTING, Targets
from continuous_gtfs_tests.pims.fetching import client, could_not_tell, feed_source
from continuous_gtfs_tests.pims.raw_vendor import raw_vendor, response

FEED = response(body=b"feed")
INNER = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "10.0.0.8",
    "172.16.3.4",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:169.254.169.254",
    "::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "fe80::1",
    "fd00::1",
    "ff02::1",
    "metadata.google.internal",
    "METADATA.google.internal.",
]


@pytest.mark.parametrize("host", INNER)
def test_an_inner_host_is_refused_however_it_is_written(host: str) -> None:
    assert Targets().refuses_name(host)


@pytest.mark.parametrize("host", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "pims.test"])
def test_a_public_host_is_not(host: str) -> None:
    assert Targets().refuses_name(host) is None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "169.254.169.254", "localhost", "[::ffff:7f00:1]"]
)
def test_no_connection_is_made_to_an_inner_host(host: str) -> None:
    async def main() -> None:
        async with raw_vendor([FEED]) as vendor:
            url = f"http://{host}:{vendor.port}"
            async with client(config={"PIMS_QA_URL": url}) as pims:
                outcome = could_not_tell(await pims.fetch(feed_source()))
            assert vendor.requests == []
        assert (outcome.kind, outcome.is_permanent) == ("target_refused", True)
        assert ALLOW_SETTING in outcome.reason

    asyncio.run(main())


@pytest.mark.parametrize("allowed", ["127.0.0.1", "localhost", "127.0.0.0/8", "pims.test, LOCALHOST,::1/128"])
def test_what_an_operator_names_is_asked(allowed: str) -> None:
    host = "127.0.0.1" if allowed[0].isdigit() else "localhost"

    async def main() -> None:
        async with raw_vendor([FEED]) as vendor:
            config = {"PIMS_QA_URL": f"http://{host}:{vendor.port}", ALLOW_SETTING: allowed}
            async with client(config=config) as pims:
                assert await pims.fetch(feed_source()) == Body(b"feed")

    asyncio.run(main())


def test_a_redirect_to_an_inner_host_is_refused_though_the_feed_allows_the_host() -> None:
    async def main() -> None:
        answer = response("302 Found", "Location: http://169.254.169.254/token")
        async with raw_vendor([answer]) as vendor, client(vendor.url) as pims:
            source = feed_source(redirect_hosts=frozenset({"169.254.169.254"}))
            assert could_not_tell(await pims.fetch(source)).kind == "target_refused"

    asyncio.run(main())


def test_a_setting_that_is_no_network_is_a_matter_of_configuration() -> None:
    async def main() -> None:
        async with client(config={"PIMS_QA_URL": "http://pims.test", ALLOW_SETTING: "10.0.0.0/99"}) as pims:
            outcome = could_not_tell(await pims.fetch(feed_source()))
        assert outcome.kind == "not_configured"
        assert "10.0.0.0/99" in outcome.reason

    asyncio.run(main())
    with pytest.raises(ConfigurationError, match=ALLOW_SETTING):
        Targets.from_settings({ALLOW_SETTING: "10.0.0"})


class Recorder(httpcore.AsyncMockBackend):
    """Stands for the network; keeps what was connected to."""

    def __init__(self) -> None:
        super().__init__([])
        self.asked: list[str] = []

    async def connect_tcp(self, host: str, *args: object, **others: object) -> httpcore.AsyncNetworkStream:
        self.asked.append(host)
        return await super().connect_tcp(host, 80)


def test_a_name_is_judged_by_its_address_and_the_judged_address_is_connected_to() -> None:
    # localhost resolves without a name server.
    network = Recorder()
    with pytest.raises(RefusedTargetError, match="this machine"):
        asyncio.run(GuardedBackend(Targets(), network).connect_tcp("localhost", 80))
    assert network.asked == []
    allowed = Targets.from_settings({ALLOW_SETTING: "127.0.0.0/8"})
    asyncio.run(GuardedBackend(allowed, network).connect_tcp("localhost", 80))
    assert [ipaddress.ip_address(host).is_loopback for host in network.asked] == [True]


@pytest.mark.parametrize("host", ["169.254.169.254", "metadata.google.internal"])
def test_a_proxy_is_not_asked_for_an_inner_host_either(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with raw_vendor([FEED]) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            async with client(config={"PIMS_QA_URL": f"http://{host}"}) as pims:
                assert could_not_tell(await pims.fetch(feed_source())).kind == "target_refused"
            assert proxy.requests == []
            async with client(config={"PIMS_QA_URL": "http://pims.test"}) as pims:
                assert await pims.fetch(feed_source()) == Body(b"feed")
            assert proxy.requests[0].startswith("GET http://pims.test/feed ")

    asyncio.run(main())


def test_an_unusable_proxy_is_unreachable_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "ftp://user:hidden@proxy.test")

    async def main() -> None:
        async with client(config={"PIMS_QA_URL": "http://pims.test"}) as pims:
            outcome = could_not_tell(await pims.fetch(feed_source()))
        assert outcome.kind == "unreachable"
        assert "hidden" not in outcome.reason

    asyncio.run(main())
