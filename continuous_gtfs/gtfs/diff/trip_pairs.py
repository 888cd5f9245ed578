"""Which trip of one feed is which trip of the other. Numbers in, pairs out; turned around, the same pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from continuous_gtfs.gtfs.diff.hashing import Hashes, Rows, combined, others, pairs
from continuous_gtfs.gtfs.diff.trip_profiles import Numbers, Profiles

RETIMED_WITHIN_S = (5 * 60, 15 * 60, 60 * 60)
"""A trip that left another id behind is the same trip retimed if it leaves so much earlier or later, nearest first.
Beyond an hour it reads better as one trip removed and another added."""


def pair_trips(before: Profiles, after: Profiles) -> tuple[Rows, Rows]:
    """Places of the same trips on both sides.

    What a trip is (route, direction, first departure, stop pattern) comes before what it is called: after a
    renumbering an old id may name a new trip. Among trips alike in all that, the same id, times, then service dates
    decide.
    """
    found_before, found_after = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
    left_before, left_after = np.arange(len(before.names)), np.arange(len(after.names))
    for one, other in zip(_passes(before), _passes(after), strict=True):
        place_before, place_after = pairs(one[left_before], other[left_after])
        found_before.append(left_before[place_before])
        found_after.append(left_after[place_after])
        left_before = left_before[others(len(left_before), place_before)]
        left_after = left_after[others(len(left_after), place_after)]
    for use_dates in (True, False):
        keys_before = combined(before.path, before.dates) if use_dates else before.path
        keys_after = combined(after.path, after.dates) if use_dates else after.path
        for limit in RETIMED_WITHIN_S:
            near = _near(keys_before, before.departs_s, left_before, keys_after, after.departs_s, left_after, limit)
            found_before.append(near[0])
            found_after.append(near[1])
            left_before = np.setdiff1d(left_before, near[0], assume_unique=True)
            left_after = np.setdiff1d(left_after, near[1], assume_unique=True)
    whole_before, whole_after = np.concatenate(found_before), np.concatenate(found_after)
    order = np.argsort(whole_before)
    return whole_before[order], whole_after[order]


def _passes(side: Profiles) -> Iterator[Hashes]:
    """What must be equal, the strictest first."""
    identity = side.identity
    yield combined(identity, side.names)
    yield combined(identity, side.times, side.dates)
    yield combined(identity, side.times, side.service)
    yield combined(identity, side.dates)
    yield combined(identity, side.service)
    yield combined(identity, side.times)
    yield identity
    yield side.names


def _near(
    keys_before: Hashes,
    departs_before: Numbers,
    rows_before: Rows,
    keys_after: Hashes,
    departs_after: Numbers,
    rows_after: Rows,
    limit: int,
) -> tuple[Rows, Rows]:
    """Trips of the same key that leave at most ``limit`` seconds apart, in the order that they leave."""
    by_key = _by_key(keys_after, departs_after, rows_after)
    found: list[tuple[int, int]] = []
    for key, old in _by_key(keys_before, departs_before, rows_before).items():
        new = by_key.get(key, [])
        i = j = 0
        while i < len(old) and j < len(new):
            if abs(old[i][0] - new[j][0]) <= limit:
                found.append((old[i][1], new[j][1]))
                i, j = i + 1, j + 1
            elif old[i][0] < new[j][0]:
                i += 1
            else:
                j += 1
    both = np.array(found, dtype=np.intp).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _by_key(keys: Hashes, departs: Numbers, rows: Rows) -> dict[int, list[tuple[int, int]]]:
    """For each key its trips' departures and places, in order; trips without a time are left out."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for key, seconds, row in zip(keys[rows].tolist(), departs[rows].tolist(), rows.tolist(), strict=True):
        if seconds >= 0:
            found[key].append((seconds, row))
    for trips in found.values():
        trips.sort()
    return found
