"""What becomes of a manifest when a release is to go live: pure decisions. The writes are ``publication``'s."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from continuous_gtfs.artifacts.manifest import Manifest, Order, Release, is_older
from continuous_gtfs.errors import ConfigurationError

Outcome = Literal["published", "unchanged", "superseded"]


@dataclass(frozen=True, slots=True)
class Succession:
    """What to do with the manifest.

    Attributes:
        outcome: As told to the publisher.
        manifest: What is live afterwards.
        is_move: Whether the manifest is to be written.
        retired: What the live manifest calls expired and ``manifest`` names no more: its version objects go first.
    """

    outcome: Outcome
    manifest: Manifest
    is_move: bool
    retired: tuple[Release, ...] = ()


def succession(
    name: str,
    live: Manifest | None,
    release: Release,
    facts: Mapping[str, Any],
    *,
    force_older: bool,
    keep_versions: int,
    retire_at: int,
) -> Succession:
    """How ``release`` follows what is live.

    Args:
        retire_at: So many expired releases are let gather before they are retired.
    """
    if live is None:
        return Succession("published", Manifest(name=name, current=release, facts=facts), True)
    if is_same(live, release):
        if force_older or not is_older(live.order, release.order):
            return Succession("unchanged", live, False)
        # The vendor went back to these bytes: what lies between must not come after them.
        current = replace(release, published_at=live.published_at)
        return Succession("unchanged", replace(live, current=current, facts=facts), True)
    if not force_older and _is_barred(live, release.order):
        return Succession("superseded", live, False)
    successor = _succeed(live, release, facts, force_older, keep_versions)
    named = {each.label for each in (release, *successor.previous, *successor.expired)}
    over = tuple(each for each in live.expired if each.label not in named)
    if len(over) < retire_at:
        return Succession("published", replace(successor, expired=successor.expired + over), True)
    return Succession("published", successor, True, over)


def is_same(live: Manifest, release: Release) -> bool:
    return live.label == release.label and live.objects == release.objects


def is_named(live: Manifest | None, label: str) -> bool:
    """Whether the manifest speaks of this label, as what is live, was live or is to be deleted."""
    releases = (live.current, *live.previous, *live.expired) if live else ()
    return any(release.label == label for release in releases)


def _is_barred(live: Manifest, order: Order) -> bool:
    if is_older(order, live.order):
        return True
    barrier = live.rolled_back_from
    return barrier is not None and not is_older(barrier, order)


def _succeed(
    live: Manifest, release: Release, facts: Mapping[str, Any], force_older: bool, keep_versions: int
) -> Manifest:
    history: dict[str, Release] = {}
    for earlier in itertools.chain((live.current,), live.previous):
        if earlier.label != release.label:
            history.setdefault(earlier.label, earlier)
    releases = tuple(history.values())
    return Manifest(
        name=live.name,
        current=release,
        facts=facts,
        previous=releases[:keep_versions],
        expired=releases[keep_versions:],
        rolled_back_from=_barrier_behind(live, release.order) if force_older else None,
    )


def _barrier_behind(live: Manifest, order: Order) -> Order | None:
    """The newest order that going to ``order`` leaves behind; None if it leaves none."""
    try:
        newest = live.order
        if live.rolled_back_from is not None and is_older(newest, live.rolled_back_from):
            newest = live.rolled_back_from
        return None if is_older(newest, order) else newest
    except ConfigurationError:
        # Orders of another kind than before, made live by name: there is no newest among them.
        return None
