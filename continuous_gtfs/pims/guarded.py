"""The network under the HTTP client: looks a name up once, judges each address, connects to one that was judged."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from continuous_gtfs.pims.targets import Targets

# An address that does not answer leaves the next one this much of the request's time, in seconds.
_NEXT_ADDRESS_AFTER_S = 2.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class RefusedTargetError(httpcore.ConnectError):
    """The request would go where none may go; the message says why. Reaches the caller as a cause."""


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends requests to allowed addresses only, through the environment's proxy where there is one.

    A proxy connects by itself: of a request through one, only the written host is judged here.

    Args:
        targets: What is allowed.
        verify: For TLS.
        keepalive_s: How long an idle connection is kept, in seconds.
    """

    def __init__(self, targets: Targets, *, verify: ssl.SSLContext, keepalive_s: float) -> None:
        self._targets = targets
        self._verify = verify
        self._limits = httpx.Limits(keepalive_expiry=keepalive_s)
        self._direct = httpx.AsyncHTTPTransport(verify=verify, limits=self._limits)
        # httpx has no argument for the network below it; the tests of this module fail if it stops looking here.
        self._direct._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify,
            max_connections=self._limits.max_connections,
            max_keepalive_connections=self._limits.max_keepalive_connections,
            keepalive_expiry=keepalive_s,
            network_backend=GuardedBackend(targets),
        )
        self._proxied: dict[str, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        reason = self._targets.refuses_name(host)
        if reason is not None:
            raise httpx.ConnectError(reason) from RefusedTargetError(reason)
        proxy = None if host in _LOOPBACK or proxy_bypass(host) else _proxy_for(request.url.scheme)
        return await (self._direct if proxy is None else self._through(proxy)).handle_async_request(request)

    async def aclose(self) -> None:
        for transport in (self._direct, *self._proxied.values()):
            await transport.aclose()

    def _through(self, proxy: str) -> httpx.AsyncHTTPTransport:
        if proxy not in self._proxied:
            try:
                transport = httpx.AsyncHTTPTransport(verify=self._verify, limits=self._limits, proxy=proxy)
            except (ImportError, ValueError, httpx.InvalidURL):
                # The proxy's URL is not shown: it may hold a password.
                raise httpx.ConnectError("the proxy that the environment names cannot be used") from None
            self._proxied[proxy] = transport
        return self._proxied[proxy]


def _proxy_for(scheme: str) -> str | None:
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that ``targets`` allows; TLS and the Host header keep the name.

    A name is looked up once for each connection, so a second answer of the name server cannot lead elsewhere.
    """

    def __init__(self, targets: Targets, inner: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._targets = targets
        self._inner = inner or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = self._allowed(host, await _look_up(host, port))
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(
                    address, port, _NEXT_ADDRESS_AFTER_S, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    def _allowed(self, host: str, addresses: list[str]) -> list[str]:
        reasons = [
            self._targets.refuses_address(ipaddress.ip_address(address.partition("%")[0]), name=host)
            for address in addresses
        ]
        allowed = [address for address, reason in zip(addresses, reasons, strict=True) if reason is None]
        if not allowed:
            raise RefusedTargetError(reasons[0])
        return allowed

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise RefusedTargetError("a socket of this machine is no vendor")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


async def _look_up(host: str, port: int) -> list[str]:
    """Every address of ``host``, in the resolver's order, each once."""
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
