"""The content digest of a feed: what makes two zips the same version.

No table is parsed and no pandas is imported: the sensor takes the digest of every schedule it fetches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from continuous_gtfs.gtfs.zipped import FeedLimits, ZippedFeed

_BOM = b"\xef\xbb\xbf"
_TEXT_SUFFIXES = (".txt", ".csv", ".json", ".geojson")
# A change of what counts as the same content is a change of this line, so that old digests never match.
_FORM = b"continuous_gtfs content digest 1\n"


def content_digest(data: bytes, *, limits: FeedLimits | None = None) -> str:
    """SHA-256 (hex) over the canonical bytes of a zipped feed's members.

    The same for another entry order, timestamps, compression, an enclosing folder, hidden files, and in text
    members another line end (CRLF or LF) or a byte order mark. Any other byte makes another digest, a
    member's name and the order of rows included.

    Raises:
        FeedStructureError: Not a readable feed, see ``ZippedFeed``.
    """
    zipped = ZippedFeed(data, limits=limits)
    digest = hashlib.sha256(_FORM)
    for name in sorted(zipped.names):
        member = hashlib.sha256()
        chunks: Iterable[bytes] = zipped.chunks(name)
        for chunk in _canonical(chunks) if name.endswith(_TEXT_SUFFIXES) else chunks:
            member.update(chunk)
        # A name holds no NUL (ZippedFeed), so no two lists of members give the same bytes here.
        digest.update(name.encode() + b"\0" + member.digest())
    return digest.hexdigest()


def _canonical(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Text without its byte order mark, CRLF as LF, whatever the pieces it comes in."""
    held = b""
    is_first = True
    for chunk in chunks:
        piece = held + chunk
        if is_first:
            if len(piece) < len(_BOM) and _BOM.startswith(piece):
                held = piece
                continue
            piece = piece.removeprefix(_BOM)
            is_first = False
        # A CR at the end of a piece may be the first half of a CRLF.
        held = piece[-1:] if piece.endswith(b"\r") else b""
        yield piece[: len(piece) - len(held)].replace(b"\r\n", b"\n")
    yield held.removeprefix(_BOM) if is_first else held
