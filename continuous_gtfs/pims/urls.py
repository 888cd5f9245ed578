"""Judges URLs of requests and redirects: usable, the same host, allowed to follow, safe to show. Asks nothing."""

from __future__ import annotations

import httpx

_DEFAULT_PORTS = {"http": 80, "https": 443}


def redirect_target(url: httpx.URL, location: str | None) -> httpx.URL | None:
    """Where a Location header of an answer from ``url`` leads; None if it is missing or leads nowhere."""
    if location is None:
        return None
    try:
        target = url.join(location)
    except httpx.InvalidURL:
        return None
    return target if is_usable(target) else None


def is_usable(url: httpx.URL) -> bool:
    """Whether a connection can be tried; the socket module raises ValueErrors for a bad port or label."""
    try:
        url.host  # noqa: B018 - reading it decodes a label of the form xn--..., which may be none
    except UnicodeError:
        return False
    labels = url.raw_host.removesuffix(b".").split(b".")
    return (
        url.scheme in _DEFAULT_PORTS
        and all(0 < len(label) < 64 for label in labels)
        and (url.port is None or 0 < url.port < 65536)
    )


def may_follow(asked: httpx.URL, target: httpx.URL, allowed: frozenset[str]) -> bool:
    """Whether a redirect may lead to ``target``: the origin that was asked, or an allowed host.

    A bare name allows the scheme's default port only, for another port is another service. A redirect from
    https to http is never followed: the token would travel in the clear.
    """
    if asked.scheme == "https" and target.scheme != "https":
        return False
    if _origin(target) == _origin(asked):
        return True
    return shown_host(target) in allowed or (target.port is None and target.host in allowed)


def is_same_host(asked: httpx.URL, url: httpx.URL) -> bool:
    """Whether the feed's headers may go to ``url``: where they were meant to go, or the same host by https."""
    upgraded = asked.copy_with(scheme="https") if asked.port is None and asked.scheme == "http" else asked
    return _origin(url) in (_origin(asked), _origin(upgraded))


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or _DEFAULT_PORTS[url.scheme]


def shown_host(url: httpx.URL) -> str:
    """``host:port``, and nothing else of a URL that may hold a secret."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port or _DEFAULT_PORTS.get(url.scheme, 0)}"
