"""Keeps the HTTP library's own log records of our requests out of every log.

httpx logs each URL at INFO and httpcore each response header at DEBUG; a URL template may hold a secret, and
a vendor may send one back. Our own record of a fetch names feed and outcome and replaces theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LOGGERS = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)
_is_quiet: ContextVar[bool] = ContextVar("continuous_gtfs_pims_is_quiet", default=False)


class _DropOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _is_quiet.get()


_DROP_OURS = _DropOurs()


@contextmanager
def no_http_records() -> Iterator[None]:
    """Drops the records that httpx and httpcore make inside the block, in this task and the tasks it starts.

    The filter then stays on their loggers: it is the same one object, and lets everything through that is
    not in such a block. Taking it off could uncover a fetch that runs in another thread.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_DROP_OURS)
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)
