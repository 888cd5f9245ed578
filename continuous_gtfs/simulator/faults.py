"""Faults on demand: which there are, which are set, how often each still applies. Says nothing of HTTP."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from continuous_gtfs.simulator.sources import EDITIONS, FEEDS, REALTIME_FEEDS

_EVERY_FEED = frozenset(FEEDS)
_REALTIME = frozenset(REALTIME_FEEDS)


class FaultRequestError(ValueError):
    """A fault that cannot be set; the message names what is wrong and what is allowed."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way to go wrong.

    Attributes:
        feeds: The feeds it makes sense for.
        params: Parameter to default; a given value must be of the default's type. ``None`` is a default that
            is worked out when the fault applies.
    """

    feeds: frozenset[str] = _EVERY_FEED
    params: Mapping[str, Any] = field(default_factory=dict)


KINDS: Mapping[str, FaultKind] = {
    "http_500": FaultKind(),
    "http_503": FaultKind(),
    "http_429": FaultKind(params={"retry_after": "30"}),
    "hang": FaultKind(),
    "slow_body": FaultKind(params={"bytes_per_s": 10}),
    "truncated_body": FaultKind(),
    "html_200": FaultKind(),
    "empty_body": FaultKind(),
    "garbage": FaultKind(params={"bytes": 1000}),
    "oversized": FaultKind(params={"bytes": 256 * 1024 * 1024}),
    "redirect": FaultKind(params={"location": None}),
    "echo": FaultKind(params={"status": 200}),
    "header_only": FaultKind(feeds=_REALTIME),
    "frozen_timestamp": FaultKind(feeds=_REALTIME),
    "zip_without_stops": FaultKind(feeds=frozenset({"schedule"})),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that is set.

    Attributes:
        remaining: Requests it will still apply to; None until it is cleared.
        params: Every parameter of its kind, defaults filled in.
    """

    edition: str
    feed: str
    kind: str
    remaining: int | None
    params: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {
            "edition": self.edition,
            "feed": self.feed,
            "kind": self.kind,
            "remaining": self.remaining,
            **self.params,
        }


def parse_fault(fields: Mapping[str, Any], *, served: frozenset[str]) -> Fault:
    """A fault from what a client asked for: ``edition``, ``feed``, ``kind``, ``count`` and the kind's parameters.

    Raises:
        FaultRequestError: Something is unknown, missing, of the wrong type or makes no sense for the feed.
    """
    given = dict(fields)
    edition = _one_of("edition", given.pop("edition", None), EDITIONS)
    feed = _one_of("feed", given.pop("feed", None), FEEDS)
    kind = _one_of("kind", given.pop("kind", None), KINDS)
    count = given.pop("count", None)
    if count is not None and (type(count) is not int or count < 1):
        raise FaultRequestError(f"count must be null (until cleared) or a whole number from 1, not {count!r}")
    declared = KINDS[kind]
    if feed not in declared.feeds:
        raise FaultRequestError(f"{kind} means nothing for {feed}: it is for {_listed(declared.feeds)}")
    if feed not in served:
        raise FaultRequestError(f"this source has no {feed}: it has {_listed(served)}")
    if unknown := sorted(given.keys() - declared.params.keys()):
        allowed = _listed(declared.params) if declared.params else "none"
        raise FaultRequestError(f"unknown parameter {_listed(unknown)} of {kind}: allowed are {allowed}")
    params = dict(declared.params)
    for name, value in given.items():
        params[name] = _param(kind, name, value)
    return Fault(edition, feed, kind, count, params)


class FaultBoard:
    """The faults that are set, in order for each feed: the first applies until it is used up, then the next."""

    def __init__(self) -> None:
        self._faults: dict[tuple[str, str], list[Fault]] = {}
        self._applied: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def put(self, fault: Fault) -> None:
        """Sets a fault; one of the same kind on the same feed is replaced."""
        with self._lock:
            faults = self._faults.setdefault((fault.edition, fault.feed), [])
            faults[:] = [other for other in faults if other.kind != fault.kind] + [fault]

    def clear(self) -> None:
        """Takes all faults away. What has applied stays counted."""
        with self._lock:
            self._faults.clear()

    def take(self, edition: str, feed: str) -> Fault | None:
        """The fault that applies to this request, counted as used."""
        with self._lock:
            faults = self._faults.get((edition, feed))
            if not faults:
                return None
            fault = faults[0]
            self._applied[edition, feed, fault.kind] += 1
            if fault.remaining == 1:
                del faults[0]
            elif fault.remaining is not None:
                faults[0] = Fault(edition, feed, fault.kind, fault.remaining - 1, fault.params)
            return fault

    def active(self) -> list[Fault]:
        """All faults that still apply."""
        with self._lock:
            return list(itertools.chain.from_iterable(self._faults.values()))

    def applied(self, edition: str, feed: str) -> dict[str, int]:
        """How many requests each kind has applied to, since the start."""
        with self._lock:
            return {kind: n for (e, f, kind), n in sorted(self._applied.items()) if (e, f) == (edition, feed)}


def _one_of(name: str, value: object, allowed: tuple[str, ...] | Mapping[str, Any]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise FaultRequestError(f"{name} {value!r} is unknown: allowed are {', '.join(allowed)}")
    return value


def _param(kind: str, name: str, value: object) -> object:
    default = KINDS[kind].params[name]
    if isinstance(default, int):
        if type(value) is not int or value < 1:
            raise FaultRequestError(f"{name} of {kind} must be a whole number from 1, not {value!r}")
        if name == "status" and not 200 <= value <= 599:
            raise FaultRequestError(f"{name} of {kind} must be from 200 to 599, not {value}")
        return value
    if name == "retry_after" and type(value) is int and value >= 0:
        return str(value)
    # The value goes into a header.
    if not (isinstance(value, str) and value.isascii() and value.isprintable() and value):
        raise FaultRequestError(f"{name} of {kind} must be a text that a header can carry, not {value!r}")
    return value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
