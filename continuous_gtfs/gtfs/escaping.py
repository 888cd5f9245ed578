"""Texts of feeds made harmless for where they are shown: whoever serves a feed decides what is in them.

Imports nothing: the realtime location uses it too.
"""

from __future__ import annotations

_CHARACTERS = 100
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,;%/")
_NO_WIDTH = "&#8203;"


def printable(text: str) -> str:
    """``text`` on one line, with a space for what a terminal or a log would obey: escapes, line breaks, bidi marks."""
    return "".join(character if character.isprintable() else " " for character in text)


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
