"""Asks the vendor for one feed and tells what came of it. Every fetch is an outcome; nothing is raised.

What a body *means* is not judged here: a body that is no zip or no FeedMessage is for the feed's reader.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self

import httpx

from continuous_gtfs import __version__
from continuous_gtfs.errors import ConfigurationError, SecretsUnavailableError
from continuous_gtfs.pims.bodies import UnusableBodyError, read_body
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pims.guarded import GuardedTransport, RefusedTargetError
from continuous_gtfs.pims.outcomes import Body, CouldNotTell, FetchOutcome, NotModified
from continuous_gtfs.pims.quiet import no_http_records
from continuous_gtfs.pims.secrets import RememberingSecrets, SecretSource
from continuous_gtfs.pims.targets import ALLOW_SETTING, Targets
from continuous_gtfs.pims.templates import placeholders, render_header, render_url

__all__ = ["MAX_REDIRECTS", "Body", "CouldNotTell", "FetchOutcome", "NotModified", "PimsClient"]

MAX_REDIRECTS = 3
# A connection is used again for the requests around a due version and for no longer: common servers close idle ones
# after 2 or 5 s, and a request that is sent just then gets no answer.
KEPT_OPEN_S = 1.5
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_USUAL_HEADERS = {"Accept-Encoding": "gzip", "User-Agent": f"continuous-gtfs/{__version__}"}
_log = logging.getLogger(__name__)


class PimsClient:
    """Fetches feeds; an async context manager that keeps its connections open between fetches.

    One client belongs to one event loop. Redirects are followed only to the host that was asked and to the
    hosts that the feed's source allows, and its headers (the token among them) go to the first alone; cookies are
    neither kept nor sent; a proxy from the environment is used, but not for the loopback host. Only public addresses
    are asked, and those that ``CONTINUOUS_GTFS_ALLOW_PRIVATE_HOSTS`` among the settings names.

    Args:
        config: Settings for ``${config:NAME}``, usually ``os.environ``; read anew at each ``async with``.
        secrets: Where ``${secret:NAME}`` comes from; asked at each fetch, so a rotated token is seen.
        transport: The seam for the network; it judges no address.
        now: The clock that a ``Retry-After`` date is compared with.
    """

    def __init__(
        self,
        *,
        config: Mapping[str, str],
        secrets: SecretSource,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._secrets = secrets
        self._transport = transport
        self._now = now
        self._http: httpx.AsyncClient | None = None
        self._fault: ConfigurationError | None = None

    def __repr__(self) -> str:
        return f"PimsClient(is_open={self._http is not None})"

    async def __aenter__(self) -> Self:
        targets, self._fault = Targets(), None
        try:
            targets = Targets.from_settings(self._config)
        except ConfigurationError as error:
            self._fault = error
        self._http = httpx.AsyncClient(
            transport=self._transport or GuardedTransport(targets, verify=_ssl_context(), keepalive_s=KEPT_OPEN_S),
            timeout=None,  # one deadline for the whole request, in fetch
            follow_redirects=False,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def fetch(
        self, source: FeedSource, *, etag: str | None = None, last_modified: str | None = None
    ) -> FetchOutcome:
        """Asks for ``source`` once.

        Args:
            source: The feed.
            etag: Of the version in hand; with it the vendor may answer that nothing is new.
            last_modified: Of the version in hand, likewise.

        Raises:
            asyncio.CancelledError: The caller gave up; nothing else is raised for what the vendor,
                the network or the configuration does.
        """
        if self._http is None:
            raise RuntimeError("PimsClient is used outside its `async with` block")
        secrets = RememberingSecrets(self._secrets)
        with no_http_records():
            outcome = await self._outcome(self._http, source, secrets, etag, last_modified)
            if isinstance(outcome, CouldNotTell) and outcome.kind == "unauthorized":
                outcome = await self._again_if_rotated(outcome, source, secrets, etag, last_modified)
        if isinstance(outcome, CouldNotTell):
            outcome = CouldNotTell(
                kind=outcome.kind,
                reason=secrets.redact(f"{source.feed_id}: {outcome.reason}"),
                is_permanent=outcome.is_permanent,
                retry_after_s=outcome.retry_after_s,
            )
        elif isinstance(outcome, Body):
            # Validators are kept in cursors and records; one that repeats a secret is not worth keeping.
            etag, last_modified = (
                value if value is None or secrets.redact(value) == value else None
                for value in (outcome.etag, outcome.last_modified)
            )
            outcome = Body(outcome.body, etag, last_modified)
        _log.debug("%s: %s", source.feed_id, secrets.redact(repr(outcome)))
        return outcome

    async def _again_if_rotated(
        self,
        refused: CouldNotTell,
        source: FeedSource,
        secrets: RememberingSecrets,
        etag: str | None,
        last_modified: str | None,
    ) -> FetchOutcome:
        """Asks once more where a secret was rotated since it was read; an operator then notices nothing."""
        secrets.reject_all()
        try:
            if not await asyncio.to_thread(secrets.are_rotated):
                return refused
        except (ConfigurationError, SecretsUnavailableError):
            return refused
        assert self._http is not None
        return await self._outcome(self._http, source, secrets, etag, last_modified)

    async def _outcome(
        self,
        http: httpx.AsyncClient,
        source: FeedSource,
        secrets: SecretSource,
        etag: str | None,
        last_modified: str | None,
    ) -> FetchOutcome:
        try:
            if self._fault is not None:
                raise self._fault
            # In a thread: a secret may come from a service, and the sibling feeds must not wait for it.
            url, headers = await asyncio.to_thread(lambda: (self._url(source, secrets), self._headers(source, secrets)))
        except ConfigurationError as error:
            return CouldNotTell("not_configured", str(error), is_permanent=True)
        except SecretsUnavailableError as error:
            return CouldNotTell("secrets_unavailable", str(error))
        try:
            async with asyncio.timeout(source.timeout_s):
                return await self._ask(http, source, url, headers, _conditions(etag, last_modified))
        except TimeoutError:
            return CouldNotTell("timeout", f"no whole answer from {_host(url)} in {source.timeout_s:g} s")

    async def _ask(
        self,
        http: httpx.AsyncClient,
        source: FeedSource,
        url: httpx.URL,
        headers: dict[str, str],
        conditions: dict[str, str],
    ) -> FetchOutcome:
        asked = url
        for _ in range(MAX_REDIRECTS + 1):
            own = headers if _is_same_host(asked, url) else {}
            try:
                request = http.build_request("GET", url, headers=_USUAL_HEADERS | own | conditions)
                response = await http.send(request, stream=True)
            except httpx.HTTPError as error:
                return _without_answer(error, url)
            try:
                if response.status_code not in _REDIRECT_STATUSES:
                    return await self._answer(source, response, url, is_conditional=bool(conditions))
            except UnusableBodyError as error:
                return CouldNotTell(error.kind, f"{_host(url)} sent {error}", is_permanent=error.is_permanent)
            except httpx.HTTPError as error:
                return _without_answer(error, url)
            finally:
                await response.aclose()
            target = _target(response, url)
            if target is None:
                return _refused(f"{_host(url)} redirects without a usable Location")
            if not _may_follow(asked, target, source.redirect_hosts):
                return _refused(
                    f"{_host(url)} redirects to {target.scheme}://{_host(target)}, which is not allowed "
                    "for this feed; if it is right, add it to redirect_hosts of its FeedSource"
                )
            url = target
        return _refused(f"{_host(asked)} redirects more than {MAX_REDIRECTS} times")

    async def _answer(
        self, source: FeedSource, response: httpx.Response, url: httpx.URL, *, is_conditional: bool
    ) -> FetchOutcome:
        status, host = response.status_code, _host(url)
        if status == 200:
            body = await read_body(response, max_bytes=source.max_bytes)
            return Body(body, response.headers.get("etag"), response.headers.get("last-modified"))
        if status == 304:
            if is_conditional:
                return NotModified()
            return CouldNotTell("unexpected_not_modified", f"{host} answers 304 to a request without a condition")
        retry_after_s = _retry_after_s(response.headers.get("retry-after", ""), self._now())
        if status in (401, 403):
            return CouldNotTell(
                "unauthorized",
                f"{host} answers {status}: check {_named(source, 'secret')}",
                is_permanent=True,
            )
        if status in (404, 410):
            return CouldNotTell(
                "not_found", f"{host} answers {status}: check {_named(source, 'config')}", is_permanent=True
            )
        if status == 429:
            return CouldNotTell("too_many_requests", f"{host} answers 429", retry_after_s=retry_after_s)
        if status >= 500:
            return CouldNotTell("server_error", f"{host} answers {status}", retry_after_s=retry_after_s)
        if status >= 400:
            # 408 Request Timeout, 423 Locked and 425 Too Early pass by themselves.
            is_permanent = status not in (408, 423, 425)
            return CouldNotTell("client_error", f"{host} answers {status}", is_permanent, retry_after_s)
        return CouldNotTell("unexpected_status", f"{host} answers {status} where 200 or 304 was expected")

    def _url(self, source: FeedSource, secrets: SecretSource) -> httpx.URL:
        try:
            url = httpx.URL(render_url(source.url, config=self._config, secrets=secrets))
        except httpx.InvalidURL:
            url = httpx.URL("")
        if not _is_usable(url):
            # The URL itself is not shown: it may hold a secret.
            raise ConfigurationError(
                "the feed's URL is not one: it must be http:// or https:// with a host and a valid port; "
                f"check {_named(source, 'config')}"
            )
        return url

    def _headers(self, source: FeedSource, secrets: SecretSource) -> dict[str, str]:
        return {
            name: render_header(template, config=self._config, secrets=secrets)
            for name, template in source.headers.items()
        }


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    """Loading the certificates costs tens of milliseconds, and a client is made in every sensor tick."""
    return httpx.create_ssl_context()


def _conditions(etag: str | None, last_modified: str | None) -> dict[str, str]:
    """The conditional headers; a validator that no header can carry is left out, and the whole body comes."""
    given = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    return {name: value for name, value in given.items() if value and value.isascii() and value.isprintable()}


def _without_answer(error: httpx.HTTPError, url: httpx.URL) -> CouldNotTell:
    """The outcome of a request that got no usable answer. Only the operating system's words are passed on."""
    host = _host(url)
    refusal = _refusal(error)
    if refusal is not None:
        return CouldNotTell(
            "target_refused",
            f"{host} is not asked: {refusal}; if it is the vendor, name it in {ALLOW_SETTING}",
            is_permanent=True,
        )
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return CouldNotTell("unreachable", f"cannot connect to {host}: {_os_words(error)}")
    if isinstance(error, httpx.LocalProtocolError):
        return CouldNotTell("not_configured", "the request cannot be sent: a header's name is no header name", True)
    if isinstance(error, httpx.RemoteProtocolError) and "location header" in str(error):
        # httpx reads the Location of a redirect even when it is told not to follow it.
        return _refused(f"{host} redirects without a usable Location")
    if isinstance(error, httpx.RemoteProtocolError) and "without sending" not in str(error):
        return CouldNotTell("bad_response", f"{host} answers with something that is not HTTP")
    return CouldNotTell("unreachable", f"{host} gave no answer ({type(error).__name__})")


def _refusal(error: BaseException | None) -> RefusedTargetError | None:
    while error is not None and not isinstance(error, RefusedTargetError):
        error = error.__cause__ or error.__context__
    return error


def _os_words(error: BaseException) -> str:
    """The deepest cause's message: the outer ones say no more than that all attempts failed."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause
    return str(error) or type(error).__name__


def _target(response: httpx.Response, url: httpx.URL) -> httpx.URL | None:
    try:
        target = url.join(response.headers["location"])
    except (KeyError, httpx.InvalidURL):
        return None
    return target if _is_usable(target) else None


def _is_usable(url: httpx.URL) -> bool:
    """Whether a connection can be tried; the socket module raises ValueErrors for a bad port or label."""
    labels = url.raw_host.removesuffix(b".").split(b".")
    return (
        url.scheme in _DEFAULT_PORTS
        and all(0 < len(label) < 64 for label in labels)
        and (url.port is None or 0 < url.port < 65536)
    )


def _may_follow(asked: httpx.URL, target: httpx.URL, allowed: frozenset[str]) -> bool:
    """Whether a redirect may lead to ``target``: the origin that was asked, or an allowed host.

    A bare name allows the scheme's default port only, for another port is another service. A redirect from
    https to http is never followed: the token would travel in the clear.
    """
    if asked.scheme == "https" and target.scheme != "https":
        return False
    if _origin(target) == _origin(asked):
        return True
    return _host(target) in allowed or (target.port is None and target.host in allowed)


def _is_same_host(asked: httpx.URL, url: httpx.URL) -> bool:
    """Whether the feed's headers may go to ``url``: where they were meant to go, or the same host by https."""
    upgraded = asked.copy_with(scheme="https") if asked.port is None and asked.scheme == "http" else asked
    return _origin(url) in (_origin(asked), _origin(upgraded))


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or _DEFAULT_PORTS[url.scheme]


def _host(url: httpx.URL) -> str:
    """``host:port``, and nothing else of a URL that may hold a secret."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port or _DEFAULT_PORTS.get(url.scheme, 0)}"


def _refused(reason: str) -> CouldNotTell:
    return CouldNotTell("redirect_refused", reason, is_permanent=True)


def _named(source: FeedSource, kind: str) -> str:
    """The settings or secrets that the feed's templates name, for a reason that says what to look at."""
    names = dict.fromkeys(
        name
        for template in (source.url, *source.headers.values())
        for template_kind, name in placeholders(template)
        if template_kind == kind
    )
    return " and ".join(names) if names else "the feed's FeedSource"


def _retry_after_s(text: str, now: datetime) -> float | None:
    """Seconds from a Retry-After header, which is a number of seconds or an HTTP date (RFC 9110, 10.2.3)."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds())
