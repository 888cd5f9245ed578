"""As many environments and feeds as a load test asks for, at its stand-in vendors.

The environment says how many (``LOAD_ENVIRONMENTS``, ``LOAD_FEEDS``), where the vendors are (``LOAD_VENDOR_URL``) and
which file takes down how late each request begins (``LOAD_DELAYS``).
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from pathlib import Path

from continuous_gtfs.agencies.agency import Agency, Freshness, RealtimeThresholds, ValidationSampling
from continuous_gtfs.defs import feed_requests
from continuous_gtfs.pims.catalog import FeedKind, FeedSource

POLL_EVERY_S = 5.0
# Slow environments stand still for longer than any test lasts.
_LONG = Freshness(warn_after=timedelta(hours=6), fail_after=timedelta(hours=12))
_AS_OLD_AS_IT_IS = RealtimeThresholds(header_age_s=12 * 3600)


class _DelaysFile(logging.Handler):
    """A line for each request: when it began, the feed, and by how many seconds it was late."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("a", buffering=1)

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == feed_requests.BEGUN_LATE and isinstance(record.args, tuple):
            feed_id, late_s = record.args
            self._file.write(f"{record.created:.3f} {feed_id} {late_s:.4f}\n")


def _take_down(path: str | None) -> None:
    log = logging.getLogger(feed_requests.__name__)
    if path and not any(isinstance(handler, _DelaysFile) for handler in log.handlers):
        log.addHandler(_DelaysFile(Path(path)))
        log.setLevel(logging.DEBUG)


def _source(environment: int, feed: int) -> FeedSource:
    return FeedSource(
        environment=f"e{environment:02}",
        feed=f"feed_{feed}",
        kind=FeedKind.REALTIME,
        url=f"${{config:LOAD_VENDOR_URL}}/{environment}/{feed}",
        poll_every_s=POLL_EVERY_S,
        timeout_s=8,
        max_bytes=1_000_000,
        frozen_after_polls=10_000,
    )


_take_down(os.environ.get("LOAD_DELAYS"))
AGENCY = Agency(
    name="load",
    title="Load test",
    timezone="UTC",
    feeds=tuple(
        _source(environment, feed)
        for environment in range(int(os.environ["LOAD_ENVIRONMENTS"]))
        for feed in range(int(os.environ["LOAD_FEEDS"]))
    ),
    schedule_freshness=_LONG,
    realtime_freshness=_LONG,
    realtime=_AS_OLD_AS_IT_IS,
    realtime_validation=ValidationSampling(every_min=None),
)
