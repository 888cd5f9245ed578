"""Texts of feeds made harmless for where Markdown is shown: whoever serves a feed decides what is in them."""

from __future__ import annotations

from continuous_gtfs.foreign_text import printable

_CHARACTERS = 100
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,;%/")
_NO_WIDTH = "&#8203;"


def escaped(text: object, *, characters: int = _CHARACTERS) -> str:
    """A text of a feed as Markdown shows it letter by letter: on one line, no markup, no link, no bidi marks."""
    shown = printable(str(text))
    cut = shown if len(shown) <= characters else shown[: characters - 1] + "…"
    written = "".join(
        character
        if character in _PLAIN or (character.isalnum() and not character.isascii())
        else f"&#{ord(character)};"
        for character in cut
    )
    # Some readers make links of what looks like an address even after the entities are read.
    return written.replace("&#58;//", f"&#58;{_NO_WIDTH}//").replace("www&#46;", f"www{_NO_WIDTH}&#46;")
