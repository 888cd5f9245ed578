"""The static server of the published folder: reads a store, writes nothing, knows nothing of Dagster.

An object's headers are those it was published with. Its ETag is its digest, so a reader that asks
conditionally gets a 304 until the bytes change. What a key may not name (hidden parts, parents) is not found.
"""

from __future__ import annotations

import hashlib
import html
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.manifest import Manifest
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.artifacts.store import ObjectInfo, ObjectNotFoundError, Store
from continuous_gtfs.errors import ConfigurationError, StoreError

# A stable URL without a setting of its own: a cache asks each time, and is answered 304 as a rule.
DEFAULT_CACHE_CONTROL = "no-cache"
MANIFEST_ENDING = ".manifest.json"
SHUTDOWN_S = 2


def build_app(store: Store) -> Starlette:
    """The server as an ASGI application over any store."""

    def index(request: Request) -> Response:
        return HTMLResponse(_page(live_manifests(store)), headers={"Cache-Control": "no-cache"})

    def send(request: Request) -> Response:
        return _object_response(store, request.path_params["key"], request.headers.get("if-none-match"))

    return Starlette(
        routes=[
            Route("/", index, methods=["GET"]),
            Route("/{key:path}", send, methods=["GET"]),
        ]
    )


def serve(folder: Path, *, host: str, port: int) -> None:
    """Serve ``folder`` until told to end. It need not exist yet: the first publication makes it."""
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder")
    application = build_app(LocalStore(folder))
    uvicorn.run(
        application,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def live_manifests(store: Store) -> list[Manifest]:
    """What is live in a store of publications, by name."""
    publisher = Publisher(store)
    names = [key.removesuffix(MANIFEST_ENDING) for key in store.list("") if key.endswith(MANIFEST_ENDING)]
    return [manifest for name in names if (manifest := publisher.current(name)) is not None]


def _object_response(store: Store, key: str, if_none_match: str | None) -> Response:
    try:
        info = store.stat(key)
        if info is None:
            raise ObjectNotFoundError(key)
        if _is_known(info.sha256, if_none_match):
            return Response(status_code=304, headers=_headers(info))
        data = store.read(key)
    except (ConfigurationError, ObjectNotFoundError):
        return PlainTextResponse("not found\n", status_code=404)
    except StoreError as error:
        return PlainTextResponse(f"{error}\n", status_code=503, headers={"Retry-After": "5"})
    if len(data) != info.size or hashlib.sha256(data).hexdigest() != info.sha256:
        # It was replaced between the two looks: the headers must be those of the bytes that are sent.
        return _object_response(store, key, None)
    return Response(data, media_type=info.content_type, headers=_headers(info))


def _headers(info: ObjectInfo) -> dict[str, str]:
    return {
        "ETag": f'"{info.sha256}"',
        "Cache-Control": info.cache_control or DEFAULT_CACHE_CONTROL,
        # Published feeds are public: a map in a browser may read them from another site.
        "Access-Control-Allow-Origin": "*",
        "X-Content-Type-Options": "nosniff",
    }


def _is_known(digest: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match names the digest; weak comparison, as RFC 9110 section 13.1.2 asks for."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return "*" in tags or f'"{digest}"' in tags


def _page(manifests: list[Manifest]) -> str:
    rows = "".join(
        f"<tr><td>{_link(item.path)}</td><td>{item.bytes:,}</td><td><code>{item.sha256[:12]}</code></td>"
        f"<td>{html.escape(manifest.label)}</td><td>{manifest.published_at:%Y-%m-%d %H:%M:%S} UTC</td>"
        f"<td>{_link(manifest.name + MANIFEST_ENDING)}</td></tr>\n"
        for manifest in manifests
        for item in manifest.objects
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Published feeds</title>'
        "<style>body{font-family:sans-serif;margin:2rem}td,th{padding:.3rem .8rem;text-align:left}</style>"
        "<h1>Published feeds</h1><table><tr><th>URL</th><th>Bytes</th><th>SHA-256</th><th>Version</th>"
        f"<th>Published</th><th>Manifest</th></tr>\n{rows}</table>"
        f"{'' if rows else '<p>Nothing has been published yet.</p>'}</html>\n"
    )


def _link(key: str) -> str:
    return f'<a href="/{html.escape(key)}">{html.escape(key)}</a>'
