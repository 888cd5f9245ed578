"""The content digest of a feed: what makes two zips the same version.

No table library is loaded: the sensor takes the digest of every schedule it fetches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from continuous_gtfs.gtfs.canonical import NotATableError, canonical_blocks, canonical_text, sorted_blocks
from continuous_gtfs.gtfs.spec import PRIMARY_KEYS
from continuous_gtfs.gtfs.zipped import FeedLimits, ZippedFeed

_TABLE_SUFFIXES = (".txt", ".csv")
_TEXT_SUFFIXES = (".json", ".geojson")
# A change of what counts as the same content is a change of this line, so that old digests never match.
_FORM = b"continuous_gtfs content digest 2\n"


def content_digest(data: bytes, *, limits: FeedLimits | None = None) -> str:
    """SHA-256 (hex) over the canonical bytes of a zipped feed's members.

    The same for another entry order, timestamps, compression, an enclosing folder and hidden files; in tables for
    another line end (CRLF or LF), a byte order mark, quotation marks that a cell does not need, blank lines, a missing
    last line end, and in the files of the GTFS reference for another order of rows, which means nothing there. Any
    other change of a cell, a column's name or place, a row's number of copies or a file makes another digest.

    A table that cannot be parsed counts by its bytes, as they are, and so does what is neither table nor JSON.

    Raises:
        FeedStructureError: Not a readable feed, see ``ZippedFeed``.
    """
    zipped = ZippedFeed(data, limits=limits)
    digest = hashlib.sha256(_FORM)
    for name in sorted(zipped.names):
        # A name holds no NUL (ZippedFeed) and the rest has one length, so no two feeds give the same bytes here.
        digest.update(name.encode() + b"\0" + _member_digest(zipped, name))
    return digest.hexdigest()


def _member_digest(zipped: ZippedFeed, name: str) -> bytes:
    if name.endswith(_TABLE_SUFFIXES):
        try:
            return _table_digest(zipped.chunks(name), is_ordered=name not in PRIMARY_KEYS)
        except NotATableError:
            return _digest_of(b"bytes", zipped.chunks(name))
    if name.endswith(_TEXT_SUFFIXES):
        return _digest_of(b"text", canonical_text(zipped.chunks(name)))
    return _digest_of(b"bytes", zipped.chunks(name))


def _table_digest(chunks: Iterable[bytes], *, is_ordered: bool) -> bytes:
    blocks = canonical_blocks(chunks)
    header = next(blocks)
    if is_ordered:
        return _digest_of(b"rows in order", blocks, header)
    return _digest_of(b"rows", sorted_blocks(blocks), header)


def _digest_of(kind: bytes, blocks: Iterable[bytes], start: bytes = b"") -> bytes:
    digest = hashlib.sha256(kind + b"\n" + start)
    for block in blocks:
        digest.update(block)
    return digest.digest()
