"""The control endpoints: set and clear faults, ask for new versions, see what was asked and answered."""

from __future__ import annotations

import hmac
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from continuous_gtfs.simulator.faults import FaultBoard, FaultRequestError, parse_fault
from continuous_gtfs.simulator.feed_header import header_timestamp
from continuous_gtfs.simulator.sources import EDITIONS, FEEDS
from continuous_gtfs.simulator.vendor import Vendor

CONTROL_HEADER = "X-Control-Token"
_Endpoint = Callable[[Request], Awaitable[Response]]


class Control:
    """The endpoints under ``/control``.

    Args:
        requests: Requests counted by (edition, feed, status).
        token: Unless empty, ``X-Control-Token`` must carry it.
        is_open: Whether the endpoints may be used without a token; so only where the server is bound to the
            loopback interface.
    """

    def __init__(
        self,
        vendor: Vendor,
        board: FaultBoard,
        requests: Counter[tuple[str, str, str]],
        *,
        token: str,
        is_open: bool,
    ) -> None:
        self._vendor = vendor
        self._board = board
        self._requests = requests
        self._token = token
        self._is_open = is_open

    def routes(self) -> list[Route]:
        return [
            Route("/control/faults", self._guarded(self._put_fault), methods=["POST"]),
            Route("/control/faults", self._guarded(self._clear_faults), methods=["DELETE"]),
            Route("/control/schedule", self._guarded(self._new_schedule), methods=["POST"]),
            Route("/control/realtime", self._guarded(self._new_realtime), methods=["POST"]),
            Route("/control/state", self._guarded(self._state), methods=["GET"]),
        ]

    def _guarded(self, endpoint: _Endpoint) -> _Endpoint:
        async def guarded(request: Request) -> Response:
            if not self._token and not self._is_open:
                return _error(403, "control is off: the simulator listens beyond this machine and has no control token")
            given = request.headers.get(CONTROL_HEADER, "")
            if self._token and not hmac.compare_digest(given.encode(), self._token.encode()):
                return _error(401, f"{CONTROL_HEADER} is missing or wrong")
            try:
                return await endpoint(request)
            except FaultRequestError as error:
                return _error(400, str(error))

        return guarded

    async def _put_fault(self, request: Request) -> Response:
        fault = parse_fault(await _fields(request), served=self._vendor.source.feeds)
        if fault.kind == "frozen_timestamp":
            document = await run_in_threadpool(self._vendor.document, fault.edition, fault.feed)
            fault = replace(fault, params={"timestamp": header_timestamp(document.body)})
        self._board.put(fault)
        return JSONResponse(fault.to_dict(), 201)

    async def _clear_faults(self, request: Request) -> Response:
        self._board.clear()
        return Response(status_code=204)

    async def _new_schedule(self, request: Request) -> Response:
        edition = await _edition(request)
        if not self._vendor.source.has_schedule_versions:
            return _error(409, "a replay has one schedule only: there is no new version to go to")
        tick = self._vendor.advance_schedule(edition)
        return JSONResponse({"edition": edition, "version": tick.index})

    async def _new_realtime(self, request: Request) -> Response:
        edition = await _edition(request)
        tick = self._vendor.advance_realtime(edition)
        return JSONResponse({"edition": edition, "version": tick.index})

    async def _state(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._describe))

    def _describe(self) -> dict[str, Any]:
        requests = dict(self._requests)
        return {
            "faults": [fault.to_dict() for fault in self._board.active()],
            "editions": {
                edition: {
                    feed: {
                        "requests": {s: n for (e, f, s), n in sorted(requests.items()) if (e, f) == (edition, feed)},
                        "faults_applied": self._board.applied(edition, feed),
                        "current": self._current(edition, feed),
                    }
                    for feed in FEEDS
                }
                for edition in EDITIONS
            },
        }

    def _current(self, edition: str, feed: str) -> dict[str, Any] | None:
        if feed not in self._vendor.source.feeds:
            return None
        document = self._vendor.document(edition, feed)
        current = {
            "version": document.tick.index,
            "at": document.tick.at.isoformat(),
            "etag": document.etag,
            "bytes": len(document.body),
        }
        return current if feed == "schedule" else current | {"header_timestamp": header_timestamp(document.body)}


async def _fields(request: Request) -> dict[str, Any]:
    try:
        fields = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise FaultRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise FaultRequestError("the body must be a JSON object")
    return fields


async def _edition(request: Request) -> str:
    edition = (await _fields(request)).get("edition")
    if not isinstance(edition, str) or edition not in EDITIONS:
        raise FaultRequestError(f"edition {edition!r} is unknown: allowed are {', '.join(EDITIONS)}")
    return edition


def _error(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status)
