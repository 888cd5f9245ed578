"""Turns what httpx raises, and a redirect that is not followed, into outcomes that hold no secret. Asks nothing."""

from __future__ import annotations

import httpx

from continuous_gtfs.pims.guarded import RefusedTargetError
from continuous_gtfs.pims.outcomes import CouldNotTell
from continuous_gtfs.pims.targets import ALLOW_SETTING
from continuous_gtfs.pims.urls import shown_host


def without_answer(error: httpx.HTTPError, url: httpx.URL) -> CouldNotTell:
    """The outcome of a request that got no usable answer. Only the operating system's words are passed on."""
    host = shown_host(url)
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
        return redirect_refused(f"{host} redirects without a usable Location")
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


def redirect_refused(reason: str) -> CouldNotTell:
    return CouldNotTell("redirect_refused", reason, is_permanent=True)
