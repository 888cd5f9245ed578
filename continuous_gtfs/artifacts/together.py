"""Calls to a store that do not depend on each other: at the same time where each is a request, else one by one.

A request to a bucket waits some 40 ms for its answer, and a publication has a dozen of them. A local folder gains
nothing by threads, and there the order in which the calls are named is that in which they are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from continuous_gtfs.artifacts.store import Store

MOST_AT_ONCE = 8
"""Fewer than the connections that the client library keeps open."""

Answer = TypeVar("Answer")


def together(store: Store, calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """The answers, in the order of ``calls``.

    Raises:
        ContinuousGtfsError: What the first of those that failed has raised. In a bucket the others were made all the
            same, and are over.
    """
    if len(calls) < 2 or not store.is_remote:
        return [call() for call in calls]
    with ThreadPoolExecutor(min(len(calls), MOST_AT_ONCE), thread_name_prefix="store") as threads:
        made = [threads.submit(call) for call in calls]
    return [call.result() for call in made]


def in_turns(store: Store, calls: Sequence[Callable[[], Answer]]) -> Iterator[Answer]:
    """As ``together``, for any number of calls: some at a time, so that few answers are in memory at once."""
    for start in range(0, len(calls), MOST_AT_ONCE):
        yield from together(store, calls[start : start + MOST_AT_ONCE])
