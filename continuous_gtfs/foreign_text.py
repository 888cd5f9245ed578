"""Texts that a vendor, a feed or a caller has decided, made harmless for errors, logs, alerts and terminals.

One line, of bounded length, and nothing in it that a reader obeys: no escape sequence, no line break that begins a log
line of its own, no mark that turns the text around. For Markdown see ``gtfs.escaping``. Feeds themselves are never put
through this: what is in a feed stays as it is. Imports nothing.
"""

from __future__ import annotations

MOST_CHARACTERS = 2000


def printable(text: str) -> str:
    """``text`` on one line, with a space for what a terminal or a log would obey: escapes, line breaks, bidi marks."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def shown(text: str, *, characters: int = MOST_CHARACTERS) -> str:
    """``text`` printable, and cut with an ellipsis where it is longer than ``characters``."""
    if len(text) > characters:
        text = text[: characters - 1] + "…"
    return printable(text)
