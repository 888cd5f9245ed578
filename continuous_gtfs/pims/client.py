"""Asks the vendor for one feed and tells what came of it. Every fetch is an outcome; nothing is raised.

What a body *means* is not judged here: a body that is no zip or no FeedMessage is for the feed's reader.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self

import httpx

from continuous_gtfs import __version__
from continuous_gtfs.errors import ConfigurationError, SecretsUnavailableError
from continuous_gtfs.pims.bodies import UnusableBodyError, read_body
from continuous_gtfs.pims.catalog import FeedSource
from continuous_gtfs.pims.failures import redirect_refused, without_answer
from continuous_gtfs.pims.guarded import GuardedTransport
from continuous_gtfs.pims.outcomes import Body, CouldNotTell, FetchOutcome, NotModified
from continuous_gtfs.pims.quiet import no_http_records
from continuous_gtfs.pims.retry_after import retry_after_seconds
from continuous_gtfs.pims.secrets import RememberingSecrets, SecretSource
from continuous_gtfs.pims.targets import Targets
from continuous_gtfs.pims.templates import placeholders, render_header, render_url
from continuous_gtfs.pims.urls import is_same_host, is_usable, may_follow, redirect_target, shown_host

__all__ = ["MAX_REDIRECTS", "Body", "CouldNotTell", "FetchOutcome", "NotModified", "PimsClient"]

MAX_REDIRECTS = 3
# A connection is used again for the requests around a due version and for no longer: common servers close idle ones
# after 2 or 5 s, and a request that is sent just then gets no answer.
KEPT_OPEN_S = 1.5
_LONGEST_VALIDATOR = 500
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
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
        if isinstance(outcome, Body) and secrets.are_in(outcome.body):
            outcome = CouldNotTell("repeats_secret", "the body repeats a secret of the request, so it is not kept")
        if isinstance(outcome, CouldNotTell):
            outcome = CouldNotTell(
                kind=outcome.kind,
                reason=secrets.redact(f"{source.feed_id}: {outcome.reason}"),
                is_permanent=outcome.is_permanent,
                retry_after_s=outcome.retry_after_s,
            )
        elif isinstance(outcome, Body):
            outcome = Body(
                outcome.body,
                _worth_keeping(outcome.etag, secrets),
                _worth_keeping(outcome.last_modified, secrets),
            )
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
            return CouldNotTell("timeout", f"no whole answer from {shown_host(url)} in {source.timeout_s:g} s")

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
            own = headers if is_same_host(asked, url) else {}
            try:
                request = http.build_request("GET", url, headers=_USUAL_HEADERS | own | conditions)
                response = await http.send(request, stream=True)
            except httpx.HTTPError as error:
                return without_answer(error, url)
            except UnicodeError:
                # httpx decodes the host of a Location even when it is told not to follow it.
                return redirect_refused(f"{shown_host(url)} redirects without a usable Location")
            try:
                if response.status_code not in _REDIRECT_STATUSES:
                    return await self._answer(source, response, url, is_conditional=bool(conditions))
            except UnusableBodyError as error:
                return CouldNotTell(error.kind, f"{shown_host(url)} sent {error}", is_permanent=error.is_permanent)
            except httpx.HTTPError as error:
                return without_answer(error, url)
            finally:
                await response.aclose()
            target = redirect_target(url, response.headers.get("location"))
            if target is None:
                return redirect_refused(f"{shown_host(url)} redirects without a usable Location")
            if not may_follow(asked, target, source.redirect_hosts):
                return redirect_refused(
                    f"{shown_host(url)} redirects to {target.scheme}://{shown_host(target)}, which is not allowed "
                    "for this feed; if it is right, add it to redirect_hosts of its FeedSource"
                )
            url = target
        return redirect_refused(f"{shown_host(asked)} redirects more than {MAX_REDIRECTS} times")

    async def _answer(
        self, source: FeedSource, response: httpx.Response, url: httpx.URL, *, is_conditional: bool
    ) -> FetchOutcome:
        status, host = response.status_code, shown_host(url)
        if status == 200:
            body = await read_body(response, max_bytes=source.max_bytes)
            return Body(body, response.headers.get("etag"), response.headers.get("last-modified"))
        if status == 304:
            if is_conditional:
                return NotModified()
            return CouldNotTell("unexpected_not_modified", f"{host} answers 304 to a request without a condition")
        retry_after_s = retry_after_seconds(response.headers.get("retry-after", ""), self._now())
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
        if not is_usable(url):
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


def _worth_keeping(validator: str | None, secrets: RememberingSecrets) -> str | None:
    """A validator goes into cursors and records: not one that repeats a secret, nor one that is a text of its own."""
    if validator is None or len(validator) > _LONGEST_VALIDATOR or secrets.redact(validator) != validator:
        return None
    return validator


def _conditions(etag: str | None, last_modified: str | None) -> dict[str, str]:
    """The conditional headers; a validator that no header can carry is left out, and the whole body comes."""
    given = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    return {name: value for name, value in given.items() if value and value.isascii() and value.isprintable()}


def _named(source: FeedSource, kind: str) -> str:
    """The settings or secrets that the feed's templates name, for a reason that says what to look at."""
    names = dict.fromkeys(
        name
        for template in (source.url, *source.headers.values())
        for template_kind, name in placeholders(template)
        if template_kind == kind
    )
    return " and ".join(names) if names else "the feed's FeedSource"
