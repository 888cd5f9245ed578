"""Numbers that stand for texts, lines and rows, and the pairing of equal ones. No feed, no table.

Sixty-four bits each: among two times five million lines a false match is expected once in a million diffs. The numbers
of texts differ from process to process (Python's own), so nothing may depend on them but whether two are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.intp]

_BLOCK_ROWS = 1 << 16
_LONG_LINE_BYTES = 4096
_WORD_BYTES = 8
_LOW_BYTES = np.array([(1 << (8 * count)) - 1 for count in range(_WORD_BYTES + 1)], dtype=np.uint64)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mixed(numbers: Hashes) -> Hashes:
    """Each number spread over all its bits (the finaliser of splitmix64), so that sums of them tell apart."""
    spread = (numbers ^ (numbers >> np.uint64(30))) * _FIRST
    spread = (spread ^ (spread >> np.uint64(27))) * _SECOND
    spread ^= spread >> np.uint64(31)
    return spread


def combined(*columns: Hashes) -> Hashes:
    """One number for each row of several columns; the order of the columns counts."""
    total = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        total = mixed((total + column) * _STEP)
    return total


def blocks(count: int) -> Iterator[slice]:
    """Some rows at a time, so that what is worked out on the way takes little memory."""
    return (slice(first, min(first + _BLOCK_ROWS, count)) for first in range(0, count, _BLOCK_ROWS))


def text_hashes(texts: Iterable[str], count: int) -> Hashes:
    """A number for each text, the same for equal ones in this process."""
    return np.fromiter(map(hash, texts), dtype=np.int64, count=count).view(np.uint64)


def line_hashes(data: bytes | bytearray, starts: npt.NDArray[np.int64], rows: Rows) -> Hashes:
    """A number for each of these lines of ``data``; ``starts`` holds the offset of every line and of the end."""
    if len(data) < _WORD_BYTES:
        data = data.ljust(_WORD_BYTES, b"\0")
    words: Hashes = np.ndarray((len(data) - _WORD_BYTES + 1,), dtype="<u8", buffer=data, strides=(1,))
    hashes = np.empty(len(rows), dtype=np.uint64)
    for block in blocks(len(rows)):
        chosen = rows[block]
        hashes[block] = _block_hashes(data, words, starts[chosen], starts[chosen + 1])
    return hashes


def _block_hashes(
    data: bytes | bytearray, words: Hashes, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> Hashes:
    lengths = ends - begins
    is_long = lengths > _LONG_LINE_BYTES
    hashes = mixed(lengths.astype(np.uint64))
    for line in np.flatnonzero(is_long).tolist():
        hashes[line] = hash(bytes(data[begins[line] : ends[line]])) & 0xFFFF_FFFF_FFFF_FFFF
    last = len(words) - 1
    for offset in range(0, int(lengths[~is_long].max(initial=0)), _WORD_BYTES):
        live = np.flatnonzero((lengths > offset) & ~is_long)
        places = begins[live] + offset
        # The last bytes of the data are the upper ones of the last whole word.
        beyond = np.maximum(places - last, 0).astype(np.uint64)
        word = words[np.minimum(places, last)] >> (beyond * np.uint64(8))
        word &= _LOW_BYTES[np.minimum(lengths[live] - offset, _WORD_BYTES)]
        found = (hashes[live] ^ word) * _STEP
        found ^= found >> np.uint64(29)
        hashes[live] = found
    return mixed(hashes)


def pairs(before: Hashes, after: Hashes) -> tuple[Rows, Rows]:
    """Positions of equal numbers, each used once; turned around, it gives the same pairs.

    They come in the order of ``before``. Equal numbers at the start and at the end of both, which is most of two
    versions of a file, are paired without sorting.
    """
    shorter = min(len(before), len(after))
    head = _equal_run(before[:shorter] == after[:shorter])
    tail = _equal_run((before[len(before) - shorter + head :] == after[len(after) - shorter + head :])[::-1])
    left, right = _sorted_pairs(before[head : len(before) - tail], after[head : len(after) - tail])
    ends = np.arange(tail)
    return (
        np.concatenate([np.arange(head), left + head, ends + (len(before) - tail)]),
        np.concatenate([np.arange(head), right + head, ends + (len(after) - tail)]),
    )


def _equal_run(is_equal: npt.NDArray[np.bool_]) -> int:
    """How many are equal before the first that is not."""
    return len(is_equal) if is_equal.all() else int(np.argmin(is_equal))


def _sorted_pairs(before: Hashes, after: Hashes) -> tuple[Rows, Rows]:
    """The first of equal numbers on one side with the first on the other, and so on."""
    if not len(before) or not len(after):
        nothing = np.empty(0, dtype=np.intp)
        return nothing, nothing
    order_before, order_after = np.argsort(before, kind="stable"), np.argsort(after, kind="stable")
    sorted_before, sorted_after = before[order_before], after[order_after]
    places = np.searchsorted(sorted_before, sorted_after) + _places_among_equals(sorted_after)
    inside = np.minimum(places, len(sorted_before) - 1)
    found = (places < len(sorted_before)) & (sorted_before[inside] == sorted_after)
    left, right = order_before[places[found]], order_after[found]
    order = np.argsort(left)
    return left[order], right[order]


def _places_among_equals(ascending: Hashes) -> npt.NDArray[np.intp]:
    numbers = np.arange(len(ascending))
    is_first = np.ones(len(ascending), dtype=bool)
    is_first[1:] = ascending[1:] != ascending[:-1]
    return numbers - np.maximum.accumulate(np.where(is_first, numbers, 0))


def others(count: int, taken: Rows) -> Rows:
    """The positions below ``count`` that are not taken."""
    is_left = np.ones(count, dtype=bool)
    is_left[taken] = False
    return np.flatnonzero(is_left)
