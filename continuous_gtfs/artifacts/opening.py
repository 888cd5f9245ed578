"""Which store a URL means."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from continuous_gtfs.artifacts.gcs import GcsStore
from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.store import Store
from continuous_gtfs.errors import ConfigurationError

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):/")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def open_store(url_or_path: str) -> Store:
    """The store at ``gs://bucket[/prefix]``, ``file:///absolute/folder`` or at a plain path. Touches nothing yet.

    Raises:
        ConfigurationError: Nothing given, a scheme that no backend serves, no bucket, or a file URL with a host.
    """
    if not url_or_path.strip():
        raise ConfigurationError("the store's URL is empty; give a folder, file:///absolute/folder or gs://bucket")
    scheme = _SCHEME.match(url_or_path)
    if scheme is None:
        return LocalStore(Path(url_or_path))
    if scheme[1].lower() == "gs":
        return _bucket(url_or_path)
    if scheme[1].lower() != "file":
        raise ConfigurationError(
            f"no store serves {scheme[1]!r} URLs; give a folder, file:///absolute/folder or gs://bucket"
        )
    url = urlsplit(url_or_path)
    if url.netloc not in ("", "localhost") or url.query or url.fragment:
        raise ConfigurationError(
            f"store URL {url_or_path!r} is not a local folder; a file URL has three slashes: file:///absolute/folder"
        )
    return LocalStore(Path(unquote(url.path)))


def _bucket(url: str) -> GcsStore:
    # Not parsed as a URL: '#' and '?' are letters like any other in an object's name.
    bucket, _, prefix = url[len("gs:") :].removeprefix("//").partition("/")
    if not url[len("gs:") :].startswith("//") or not _BUCKET.fullmatch(bucket):
        raise ConfigurationError(
            f"store URL {url!r} names no bucket; it has the form gs://bucket or gs://bucket/prefix"
        )
    return GcsStore(bucket, prefix.removesuffix("/"))
