"""Doing the same with both feeds at once: inflating, parsing and hashing leave Python's lock for most of their time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Given = TypeVar("_Given")
_Found = TypeVar("_Found")


def on_both(work: Callable[[_Given], _Found], before: _Given, after: _Given) -> tuple[_Found, _Found]:
    """``work`` for both, in two threads; the first error of the two is raised."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        one, other = pool.submit(work, before), pool.submit(work, after)
        return one.result(), other.result()
