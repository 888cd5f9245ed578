"""What an operator accepts for one run: checks and notice codes by name, never everything at once."""

from __future__ import annotations

import re

from continuous_gtfs.errors import ConfigurationError

_NAME = re.compile(r"[a-z0-9_]+")
_EVERYTHING = ("all", "any", "everything")


def accepted_names(*texts: str) -> frozenset[str]:
    """The names in comma-separated lists, ``does_not_shrink,invalid_currency_amount``.

    Raises:
        ConfigurationError: Something in them is no name, or a word for everything: an operator who has not read what
            is accepted has not accepted it.
    """
    found = {word.strip() for text in texts for word in text.split(",")} - {""}
    for word in sorted(found):
        if word.lower() in _EVERYTHING or not _NAME.fullmatch(word):
            raise ConfigurationError(
                f"accept names {word!r}; name the failed checks or notice codes one by one, with commas between, "
                "e.g. does_not_shrink,feed_covers_next_days"
            )
    return frozenset(found)
