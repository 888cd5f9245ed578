"""The stand-in's HTTP face: the vendor's URLs, its token, conditional GET; faults and control beside them."""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from continuous_gtfs.simulator.answers import MEDIA_TYPES, faulty_answer, spoiled
from continuous_gtfs.simulator.conditional import is_not_modified, validators
from continuous_gtfs.simulator.control import Control
from continuous_gtfs.simulator.faults import FaultBoard
from continuous_gtfs.simulator.vendor import Document, Vendor

TOKEN_HEADER = "X-PIMS-Token"
_PATHS = {
    "schedule": "gtfs/schedule.zip",
    "vehicle_positions": "gtfs-rt/vehicle_positions.pb",
    "trip_updates": "gtfs-rt/trip_updates.pb",
}


def build_app(
    vendor: Vendor,
    *,
    tokens: Mapping[str, str],
    control_token: str,
    is_control_open: bool,
    stopping: asyncio.Event,
) -> Starlette:
    """The application.

    Args:
        vendor: What there is to serve.
        tokens: Edition to the token that its requests must carry.
        control_token: See ``Control``.
        is_control_open: See ``Control``.
        stopping: Set when the server stops; requests that hang or drip end then.
    """
    board = FaultBoard()
    requests: Counter[tuple[str, str, str]] = Counter()
    control = Control(vendor, board, requests, token=control_token, is_open=is_control_open)
    feeds = [
        Route(f"/{edition}/{path}", _FeedEndpoint(vendor, board, requests, edition, feed, token, stopping))
        for edition, token in tokens.items()
        for feed, path in _PATHS.items()
    ]
    return Starlette(routes=[Route("/healthz", _healthz), *feeds, *control.routes()])


async def _healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


class _FeedEndpoint:
    """Serves one feed of one edition and counts every answer by its status, ``no_answer`` for a hang."""

    def __init__(
        self,
        vendor: Vendor,
        board: FaultBoard,
        requests: Counter[tuple[str, str, str]],
        edition: str,
        feed: str,
        token: str,
        stopping: asyncio.Event,
    ) -> None:
        self._vendor = vendor
        self._board = board
        self._requests = requests
        self._edition = edition
        self._feed = feed
        self._token = token.encode()
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method not in ("GET", "HEAD"):
            answer: ASGIApp = PlainTextResponse("method not allowed\n", 405, {"Allow": "GET, HEAD"})
        else:
            answer = await self._answer(request)
        self._requests[self._edition, self._feed, _status(answer)] += 1
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        given = request.headers.get(TOKEN_HEADER, "").encode()
        if not hmac.compare_digest(given, self._token):
            return PlainTextResponse(f"{TOKEN_HEADER} is missing or wrong\n", 401)
        if self._feed not in self._vendor.source.feeds:
            return PlainTextResponse("no such feed\n", 404)
        document = await run_in_threadpool(self._vendor.document, self._edition, self._feed)
        fault = self._board.take(self._edition, self._feed)
        if fault is not None:
            other = await run_in_threadpool(spoiled, document, fault)
            if other is None:
                return faulty_answer(fault, document, request, self._stopping)
            document = other
        return self._plain(request, document)

    def _plain(self, request: Request, document: Document) -> Response:
        headers = validators(document)
        if is_not_modified(request.headers, document):
            return Response(status_code=304, headers=headers)
        return Response(document.body, headers=headers, media_type=MEDIA_TYPES[self._feed])


def _status(answer: ASGIApp) -> str:
    return str(getattr(answer, "status_code", None) or "no_answer")
